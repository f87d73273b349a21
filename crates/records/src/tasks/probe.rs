//! Is the answer the weakness's, or the wording's? Turned test questions of [`super::cwe_classify`], beside the untouched
//! ones; [`crate::probes`] says how they are turned and what must become of the answer.
//!
//! There are test examples alone. Of each kind at most [`MOST_OF_A_KIND`] originals are turned, the first ones in an
//! order that the seed draws, so that the kinds share most originals; each of these is there untouched too.
//! **The label set** is that of `cwe_classify`, so that a model that was tuned for it can answer.
//! **The grade.** As in `cwe_classify`. Where the text denies the weakness, gold is `not CWE-…`: every answer that does
//! not name that CWE is right and earns full credit, the refusal to name any included.

use std::collections::BTreeSet;

use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::phrasing::draw;
use crate::probes::{Kind, Making, NOT, Pool, probe};
use crate::record::{CweId, Product};
use crate::task::{Grade, Made, Task};
use crate::tasks::cwe_classify::CweClassify;

/// So many originals are turned in each way.
pub const MOST_OF_A_KIND: usize = 500;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Probe;

impl Task for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn about(&self) -> &'static str {
        "test questions of cwe_classify denied, reworded, renamed, misspelt, shortened and lengthened"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let base = CweClassify.make(corpus)?;
        let test = base.examples.into_iter().filter(|(split, _)| *split == Split::Test).map(|(_, one)| one);
        let probes = self.probes(test.collect(), corpus);
        let mut made = Made::of(probes.into_iter().map(|one| (Split::Test, one)).collect());
        made.counts.labels = base.labels.len() as u64;
        made.labels = base.labels;
        Ok(made)
    }

    fn answer(&self, label: &LabelInfo) -> String {
        CweClassify.answer(label)
    }

    fn grade(&self, example: &Example, answer: &str, hierarchy: &Hierarchy) -> Option<Grade> {
        let gold = example.gold.as_deref()?;
        let Some(denied) = gold.strip_prefix(NOT) else {
            return CweClassify.grade(example, answer, hierarchy);
        };
        let parsed = CweId::find_in(answer).map(|id| id.to_string());
        let strict = parsed.as_deref() != Some(denied);
        let parsed = if strict { gold } else { denied };
        Some(Grade { parsed: Some(parsed.into()), strict, credit: f64::from(u8::from(strict)), ..Grade::default() })
    }
}

impl Probe {
    /// The probes of `test`, by original and kind.
    fn probes(self, mut test: Vec<Example>, corpus: &Corpus<'_>) -> Vec<Example> {
        let seed = corpus.settings.seed;
        test.sort_by_cached_key(|one| (draw(seed, "probe", &one.id).to_bits(), one.id.clone()));
        test.iter_mut().for_each(|one| one.task = self.name().into());
        let pool = Pool::of(corpus.knowledge);
        let mut turned: BTreeSet<usize> = BTreeSet::new();
        let mut probes: Vec<(usize, Kind, Example)> = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Untouched) {
            let all = test.iter().enumerate().filter_map(|(at, one)| Some((at, kind, turn(kind, one, corpus, &pool)?)));
            for probe in all.take(MOST_OF_A_KIND) {
                turned.insert(probe.0);
                probes.push(probe);
            }
        }
        let untouched = Kind::Untouched;
        probes
            .extend(turned.iter().filter_map(|&at| Some((at, untouched, turn(untouched, &test[at], corpus, &pool)?))));
        probes.sort_by(|left, right| (&test[left.0].id, left.1).cmp(&(&test[right.0].id, right.1)));
        probes.into_iter().map(|(_, _, probe)| probe).collect()
    }
}

fn turn(kind: Kind, example: &Example, corpus: &Corpus<'_>, pool: &Pool) -> Option<Example> {
    let record = example.id.parse().ok().and_then(|id| corpus.knowledge.vulnerability(id));
    let products: &[Product] = record.map_or(&[], |one| &one.products);
    probe(kind, example, &Making { products, pool, seed: corpus.settings.seed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::small;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::names::tests::product;
    use crate::record::{Label, Vulnerability};

    fn made(count: usize) -> Made {
        let record = |at: usize| Vulnerability {
            cwes: vec![Label {
                value: "CWE-79".parse().unwrap(),
                source: "nvd".into(),
                primary: true,
                from_text: false,
            }],
            products: vec![product("Acme", "Whisk"), product("Teatime", "Saucer")],
            ..vulnerability(
                &format!("CVE-2024-{at:04}"),
                &format!("Acme Whisk {at} is vulnerable to XSS due to a hole."),
            )
        };
        let vulnerabilities: Vec<_> = (1..=count).map(record).collect();
        let knowledge = Knowledge { vulnerabilities, catalogue: small(), ..Knowledge::default() };
        let mut places = all_in(&knowledge, Split::Test);
        places.vulnerabilities[0].as_mut().unwrap().split = Split::Train;
        let settings = Settings { min_train_examples: 1, ..Settings::default() };
        Probe.make(&Corpus { knowledge: &knowledge, places: &places, settings: &settings }).unwrap()
    }

    #[test]
    fn test_records_alone_give_probes_each_beside_its_untouched_original() {
        let made = made(4);
        assert!(made.examples.iter().all(|(split, one)| *split == Split::Test && one.task == "probe"));
        let ids: Vec<&str> = made.examples.iter().map(|(_, one)| one.id.as_str()).collect();
        assert!(ids.is_sorted_by_key(|id| &id[..13]), "{ids:?}");
        assert_eq!(ids[..2], ["CVE-2024-0002#probe-untouched", "CVE-2024-0002#probe-negation"]);
        assert!(ids.iter().all(|id| !id.starts_with("CVE-2024-0001")));
        for (_, kind) in made.examples.iter().filter_map(|(_, one)| Kind::of_id(&one.id).map(|(kind, id)| (id, kind))) {
            assert!(kind != Kind::Shorter, "there is only one sentence");
        }
        assert_eq!((made.labels.len(), made.counts.examples[&Split::Test]), (1, ids.len() as u64));
    }

    #[test]
    fn no_kind_has_more_than_its_share() {
        let made = made(MOST_OF_A_KIND + 20);
        let of = |kind| made.examples.iter().filter(|(_, one)| Kind::of_id(&one.id).unwrap().0 == kind).count();
        for kind in [Kind::Untouched, Kind::Negation, Kind::Paraphrase, Kind::Typo, Kind::Longer] {
            assert_eq!(of(kind), MOST_OF_A_KIND, "{kind:?}");
        }
    }

    #[test]
    fn a_denied_weakness_is_answered_by_anything_but_its_name() {
        let made = made(3);
        let of = |kind| &made.examples.iter().find(|(_, one)| Kind::of_id(&one.id).unwrap().0 == kind).unwrap().1;
        let grade = |kind, answer| Probe.grade(of(kind), answer, small().research()).unwrap();
        for answer in ["CWE-89", "Not enough information.", ""] {
            let grade = grade(Kind::Negation, answer);
            assert_eq!((grade.strict, grade.credit, grade.parsed.as_deref()), (true, 1.0, Some("not CWE-79")));
        }
        let wrong = grade(Kind::Negation, "Cross-site Scripting (CWE-79)");
        assert_eq!((wrong.strict, wrong.credit, wrong.parsed.as_deref()), (false, 0.0, Some("CWE-79")));
        assert!(grade(Kind::Typo, "CWE-79").strict && !grade(Kind::Typo, "").strict);
    }
}
