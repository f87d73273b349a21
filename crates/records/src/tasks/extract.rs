//! A text → what is in it, as JSON: products, versions, CVE and CWE IDs, indicators, techniques.
//!
//! Only what the text itself says is asked for: products come from a record's fields and are kept where the text names
//! them; everything else has a shape that can be found in the text ([`Facts::in_text`]).
//! **The grade.** Strictly the same sets; partial credit is the mean over the six fields of the F1 of sets, in lower
//! case; a field that is empty on both sides counts as right. An answer without a JSON object counts as wrong.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::phrasing::{draw, question};
use crate::record::Product;
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::mitigation::shorten;

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Extract the facts of the text below as JSON with the keys products, versions, cves, cwes, indicators, techniques.",
    "List products, versions, cves, cwes, indicators and techniques of this text as a JSON object of lists.",
    "Turn the following text into JSON: products, versions, cves, cwes, indicators, techniques.",
];
/// CVEs that teach it: one in so many, as their texts are much alike.
const TRAINING_SHARE: f64 = 0.1;
/// CVEs that test it.
const TEST_SHARE: f64 = 0.1;
/// A document's text is cut here.
const MOST_TEXT_BYTES: usize = 4000;
/// Things that one field lists at most.
const MOST_ITEMS: usize = 20;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Extract;

/// What a text says, each list sorted and without repetition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Names of products.
    pub products: BTreeSet<String>,
    /// Versions as written.
    pub versions: BTreeSet<String>,
    /// CVE IDs.
    pub cves: BTreeSet<String>,
    /// CWE IDs.
    pub cwes: BTreeSet<String>,
    /// Addresses, hashes, links and file names of programs.
    pub indicators: BTreeSet<String>,
    /// Techniques of ATT&CK.
    pub techniques: BTreeSet<String>,
}

static CVE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\bCVE-\d{4}-\d{4,19}\b"));
static CWE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\bCWE-\d{1,5}\b"));
static TECHNIQUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bT1\d{3}(?:\.\d{3})?\b"));
/// A number with a dot, or a number behind a word that announces a version.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:v|version |versions |before |prior to |through |up to )?(\d{1,5}(?:\.\d{1,6}){1,4}[a-z]?\d{0,3}(?:-(?:alpha|beta|rc)\.?\d*)?)\b",
    )
});
static INDICATOR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|hxxps?://[^\s)>\x22,]+|https?://[^\s)>\x22,]+|\d{1,3}(?:\[\.\]|\.)\d{1,3}(?:\[\.\]|\.)\d{1,3}(?:\[\.\]|\.)\d{1,3})",
    )
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are well-formed")
}

impl Facts {
    /// What has a shape of its own in `text`, and those of `products` that it names, as it writes them.
    #[must_use]
    pub fn in_text(text: &str, products: &[Product]) -> Self {
        let trimmed = |one: &str| one.trim_end_matches('.').to_owned();
        let indicators: BTreeSet<String> =
            INDICATOR.find_iter(text).map(|one| trimmed(one.as_str())).filter(|one| is_address(one)).collect();
        // An address is no version.
        let plain = INDICATOR.replace_all(text, |found: &regex::Captures<'_>| {
            if is_address(&trimmed(&found[0])) { " ".to_owned() } else { found[0].to_owned() }
        });
        let upper = |pattern: &Regex| -> BTreeSet<String> {
            pattern.find_iter(text).map(|one| one.as_str().to_ascii_uppercase()).take(MOST_ITEMS).collect()
        };
        Self {
            products: products.iter().filter_map(|one| named_in(text, &one.product)).take(MOST_ITEMS).collect(),
            versions: VERSION.captures_iter(&plain).map(|one| one[1].to_owned()).take(MOST_ITEMS).collect(),
            cves: upper(&CVE),
            cwes: upper(&CWE),
            indicators: indicators.into_iter().take(MOST_ITEMS).collect(),
            techniques: upper(&TECHNIQUE),
        }
    }

    fn fields(&self) -> [(&'static str, &BTreeSet<String>); 6] {
        [
            ("products", &self.products),
            ("versions", &self.versions),
            ("cves", &self.cves),
            ("cwes", &self.cwes),
            ("indicators", &self.indicators),
            ("techniques", &self.techniques),
        ]
    }

    fn is_empty(&self) -> bool {
        self.fields().iter().all(|(_, set)| set.is_empty())
    }
}

/// `name` as `text` writes it, where it stands there as words of its own; names in records join words by `_`.
fn named_in(text: &str, name: &str) -> Option<String> {
    let spaced = name.replace('_', " ");
    let wanted = spaced.trim();
    if wanted.len() < 3 {
        return None;
    }
    // Byte by byte alike but for the case of ASCII letters, so that places in the two texts agree.
    let (lower, wanted) = (text.to_ascii_lowercase(), wanted.to_ascii_lowercase());
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let whole = |at: &usize| edge(text[..*at].chars().next_back()) && edge(text[at + wanted.len()..].chars().next());
    let at = lower.match_indices(&wanted).map(|(at, _)| at).find(whole)?;
    Some(text[at..at + wanted.len()].to_owned())
}

/// Four numbers are an address only where each is below 256; versions with four parts may look like one.
fn is_address(text: &str) -> bool {
    let plain = text.replace("[.]", ".");
    let parts: Vec<&str> = plain.split('.').collect();
    let dotted = parts.len() == 4 && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    !dotted
        || (text.contains("[.]") || parts[0].parse::<u16>().is_ok_and(|first| first >= 20))
            && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

impl Task for Extract {
    fn name(&self) -> &'static str {
        "extract"
    }

    fn about(&self) -> &'static str {
        "products, versions, identifiers and indicators of a text as JSON"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let mut examples = Vec::new();
        let seed = corpus.settings.seed;
        for (one, placed) in corpus.vulnerabilities() {
            let subject = Subject::vulnerability(one, placed);
            let share = if placed.split == Split::Train { TRAINING_SHARE } else { TEST_SHARE };
            if draw(seed, self.name(), &subject.id) < share {
                examples.extend(self.example(subject, &one.description, &one.products, corpus));
            }
        }
        for (one, placed) in corpus.documents() {
            let published = one.published.map(|date| date.to_string()).unwrap_or_default();
            let sources = vec![one.source.to_owned()];
            let subject = Subject { id: one.id.clone(), published, placed, sources };
            let text = shorten(&one.text, MOST_TEXT_BYTES);
            examples.extend(self.example(subject, &text, &one.products, corpus));
        }
        if examples.is_empty() {
            let what = "texts that say something".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `nvd`, `cvelist` or `csaf`" });
        }
        Ok(Made::of(corpus.settings.caps.draw(examples, |(split, _)| *split)))
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold: Facts = serde_json::from_str(example.gold.as_deref()?).ok()?;
        let Some(found) = object_in(answer) else {
            return Some(Grade::default());
        };
        let (gold, found) = (lower(&gold), lower(&found));
        let parts = gold.fields().into_iter().zip(found.fields());
        let parts: std::collections::BTreeMap<&'static str, f64> =
            parts.map(|((name, left), (_, right))| (name, f1(left, right))).collect();
        let credit = parts.values().sum::<f64>() / parts.len() as f64;
        Some(Grade {
            parsed: Some(serde_json::to_string(&found).unwrap_or_default()),
            strict: gold == found,
            credit,
            parts,
        })
    }
}

impl Extract {
    fn example(
        self,
        subject: Subject,
        text: &str,
        products: &[Product],
        corpus: &Corpus<'_>,
    ) -> Option<(Split, Example)> {
        let facts = Facts::in_text(text, products);
        if facts.is_empty() {
            return None;
        }
        let Placed { split, .. } = subject.placed;
        let phrasing = corpus.phrase(PHRASINGS, split, &subject.id);
        let answer = serde_json::to_string(&facts).expect("lists of texts have a JSON form");
        let conversation = Conversation::question(question(phrasing, text), answer.as_str());
        Some(subject.example(&self, conversation, Some(answer)))
    }
}

/// The first JSON object of an answer, which may stand in prose or in a code block.
fn object_in(answer: &str) -> Option<Facts> {
    let from = answer.find('{')?;
    let mut values = serde_json::Deserializer::from_str(&answer[from..]).into_iter::<Facts>();
    values.next()?.ok()
}

fn lower(facts: &Facts) -> Facts {
    let each = |set: &BTreeSet<String>| set.iter().map(|one| one.to_lowercase()).collect();
    Facts {
        products: each(&facts.products),
        versions: each(&facts.versions),
        cves: each(&facts.cves),
        cwes: each(&facts.cwes),
        indicators: each(&facts.indicators),
        techniques: each(&facts.techniques),
    }
}

fn f1(gold: &BTreeSet<String>, found: &BTreeSet<String>) -> f64 {
    match gold.len() + found.len() {
        0 => 1.0,
        both => 2.0 * gold.intersection(found).count() as f64 / both as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;

    fn product(name: &str) -> Product {
        Product { vendor: "acme".into(), product: name.into() }
    }

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn what_a_text_says_is_found_and_nothing_else() {
        let text = "Kettle before 2.3.1 and 3.0-rc1 (CVE-2024-0001, cwe-79) calls hxxp://tea[.]example/x and 198[.]51[.]100[.]7, \
                    see T1059.001; md5 d41d8cd98f00b204e9800998ecf8427e.";
        let facts = Facts::in_text(text, &[product("Kettle"), product("Saucer")]);
        assert_eq!(facts.products, set(&["Kettle"]));
        assert_eq!(facts.versions, set(&["2.3.1", "3.0-rc1"]).union(&BTreeSet::new()).cloned().collect());
        assert_eq!((facts.cves, facts.cwes), (set(&["CVE-2024-0001"]), set(&["CWE-79"])));
        assert_eq!(facts.techniques, set(&["T1059.001"]));
        assert!(facts.indicators.contains("198[.]51[.]100[.]7"), "{:?}", facts.indicators);
        assert!(facts.indicators.contains("d41d8cd98f00b204e9800998ecf8427e"));
    }

    #[test]
    fn a_version_of_four_parts_is_no_address() {
        let facts = Facts::in_text("Firmware 1.0.4.88 and 10.3.0.1 are affected.", &[]);
        assert!(facts.indicators.is_empty(), "{facts:?}");
        assert_eq!(facts.versions, set(&["1.0.4.88", "10.3.0.1"]));
    }

    #[test]
    fn a_product_is_named_once_as_the_text_writes_it() {
        let products = [product("Tea Pot"), product("tea_pot"), product("ea p"), product("pot2")];
        let facts = Facts::in_text("The Tea Pot of Acme boils.", &products);
        assert_eq!(facts.products, set(&["Tea Pot"]));
    }

    #[test]
    fn answers_are_graded_field_by_field() {
        let one = crate::record::Vulnerability {
            products: vec![product("Kettle")],
            ..vulnerability("CVE-2024-0001", "Kettle before 2.3 boils over.")
        };
        let knowledge = Knowledge { vulnerabilities: vec![one; 1], ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Test);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let subject = Subject::vulnerability(&knowledge.vulnerabilities[0], places.vulnerabilities[0].unwrap());
        let one = &knowledge.vulnerabilities[0];
        let example = Extract.example(subject, &one.description, &one.products, &corpus).unwrap().1;
        let grade = |answer: &str| Extract.grade(&example, answer, &Hierarchy::default()).unwrap();
        assert!(grade(example.gold.as_deref().unwrap()).strict);
        assert!(grade("Here:\n```json\n{\"products\": [\"KETTLE\"], \"versions\": [\"2.3\"]}\n```").strict);
        let half = grade("{\"products\": []}");
        assert_eq!((half.parts["products"], half.parts["cves"], half.strict), (0.0, 1.0, false));
        assert_eq!(grade("no JSON").parsed, None);
        assert_eq!(grade("{\"products\": 3}").parsed, None);
    }
}
