//! All texts of a [`Knowledge`] made plain, and freed of secrets and personal data, before anything is grouped or split.
//!
//! [`crate::clean`] and [`crate::scrub`] do it text by text; this is where every text of every kind passes through them,
//! and where everything that was changed is counted. Code stays as it is: its exact words are what is asked about.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clean::{Boilerplate, Language, Layout, Noise, Policy, clean};
use crate::knowledge::Knowledge;
use crate::manifest::RefineReport;
use crate::scrub::{Counts, scrub};

/// What a recipe wants of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefinePolicy {
    /// Sentences that say nothing about a vulnerability.
    pub boilerplate: Boilerplate,
    /// Version numbers.
    pub versions: Noise,
    /// Hexadecimal digests.
    pub hashes: Noise,
    /// Secrets and personal data become placeholders.
    pub scrub: bool,
    /// Texts in other languages than English are kept.
    pub other_languages: bool,
}

impl Default for RefinePolicy {
    fn default() -> Self {
        Self {
            boilerplate: Boilerplate::Remove,
            versions: Noise::Keep,
            hashes: Noise::Keep,
            scrub: true,
            other_languages: false,
        }
    }
}

/// What was done to one thing.
#[derive(Default)]
struct Done {
    removed: BTreeMap<&'static str, u64>,
    scrubbed: Counts,
    language: Option<Language>,
}

impl RefinePolicy {
    /// Makes `text` plain and free of secrets; notes what it did.
    fn refine(&self, text: &mut String, layout: Layout, done: &mut Done) {
        if text.is_empty() {
            return;
        }
        let policy = Policy { layout, boilerplate: self.boilerplate, versions: self.versions, hashes: self.hashes };
        let cleaned = clean(text, &policy);
        for (name, count) in cleaned.removed {
            *done.removed.entry(name).or_default() += count;
        }
        done.language.get_or_insert(cleaned.language);
        *text = cleaned.text;
        if self.scrub {
            let scrubbed = scrub(text);
            done.scrubbed.add(&scrubbed.counts);
            if let std::borrow::Cow::Owned(free) = scrubbed.text {
                *text = free;
            }
        }
    }
}

/// Refines every text of `knowledge`, and leaves out what is in another language unless the policy keeps it.
#[must_use]
pub fn refine(knowledge: &mut Knowledge, policy: &RefinePolicy) -> RefineReport {
    let mut report = RefineReport::default();
    let cves = &mut knowledge.vulnerabilities;
    report.pass("vulnerabilities", cves, policy, |one, done| {
        policy.refine(&mut one.description, Layout::Line, done);
    });
    report.pass("documents", &mut knowledge.documents, policy, |one, done| {
        policy.refine(&mut one.text, Layout::Paragraphs, done);
        for (text, layout) in [
            (&mut one.title, Layout::Line),
            (&mut one.summary, Layout::Paragraphs),
            (&mut one.remedy, Layout::Paragraphs),
        ] {
            policy.refine(text, layout, done);
        }
    });
    report.pass("sentences", &mut knowledge.sentences, policy, |one, done| {
        policy.refine(&mut one.text, Layout::Line, done);
        // A single sentence is too short to tell its language by.
        done.language = None;
    });
    report
}

impl RefineReport {
    /// Refines `things` side by side and counts in their order.
    fn pass<T: Send>(
        &mut self,
        kind: &str,
        things: &mut Vec<T>,
        policy: &RefinePolicy,
        each: impl Fn(&mut T, &mut Done) + Sync,
    ) {
        let refined = |mut thing: T| {
            let mut done = Done::default();
            each(&mut thing, &mut done);
            (thing, done)
        };
        let all: Vec<(T, Done)> = std::mem::take(things).into_par_iter().map(refined).collect();
        things.reserve(all.len());
        for (thing, done) in all {
            self.count(&done);
            let other = done.language.is_some_and(|language| !language.is_english());
            if other && !policy.other_languages {
                *self.left_out.entry(kind.to_owned()).or_default() += 1;
            } else {
                things.push(thing);
            }
        }
    }

    fn count(&mut self, done: &Done) {
        for (name, count) in &done.removed {
            *self.removed.entry((*name).to_owned()).or_default() += count;
        }
        for (name, count) in &done.scrubbed.0 {
            *self.scrubbed.entry(name.clone()).or_default() += count;
        }
        if let Some(language) = done.language {
            *self.languages.entry(language.code().to_owned()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::vulnerability;

    fn knowledge() -> Knowledge {
        let texts = [
            "A script in the search field of Acme Kettle runs in the browser of whoever follows a link. Write to eva@acme-kettles.com for more.",
            "Una vulnerabilidad en la tetera permite a los atacantes remotos ejecutar código arbitrario a través de un parámetro manipulado en la página de búsqueda.",
        ];
        let one = |(at, text): (usize, &&str)| vulnerability(&format!("CVE-2024-{:04}", at + 1), text);
        Knowledge { vulnerabilities: texts.iter().enumerate().map(one).collect(), ..Knowledge::default() }
    }

    #[test]
    fn addresses_become_placeholders_and_other_languages_go() {
        let mut found = knowledge();
        let report = refine(&mut found, &RefinePolicy::default());
        assert_eq!(found.vulnerabilities.len(), 1);
        assert!(found.vulnerabilities[0].description.contains("<EMAIL>"), "{:?}", found.vulnerabilities);
        assert_eq!(report.scrubbed.values().sum::<u64>(), 1);
        assert_eq!(report.left_out["vulnerabilities"], 1);
        assert_eq!(report.languages.len(), 2);
    }

    #[test]
    fn a_recipe_may_keep_all_of_it() {
        let mut found = knowledge();
        let policy = RefinePolicy { scrub: false, other_languages: true, ..RefinePolicy::default() };
        let report = refine(&mut found, &policy);
        assert_eq!(found.vulnerabilities.len(), 2);
        assert!(found.vulnerabilities[0].description.contains("eva@acme-kettles.com"));
        assert!(report.left_out.is_empty() && report.scrubbed.is_empty());
    }
}
