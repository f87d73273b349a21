//! Metrics against their Python references: `reference/golden_metrics.py` wrote the answers and the values.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use wardsmith_eval::metric::{Answer, by_name};
use wardsmith_eval::metrics::bleu::SIGNATURE;

/// How near a value must come to its reference.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    bleu_signature: String,
    texts: Vec<Texts>,
    labels: Vec<Labels>,
}

#[derive(Deserialize)]
struct Texts {
    pairs: Vec<(String, String)>,
    values: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Labels {
    answers: Vec<Row>,
    values: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Row {
    gold: String,
    said: Option<String>,
    probabilities: BTreeMap<String, f64>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/metrics/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn holds(values: &BTreeMap<String, f64>, answers: &[Answer]) {
    for (name, expected) in values {
        let metric = by_name(name).unwrap_or_else(|| panic!("no metric {name}"));
        let value = metric.compute(answers, &vec![1; answers.len()]).unwrap();
        assert!((value - expected).abs() <= TOLERANCE, "{name}: {value}, its reference says {expected}");
    }
}

#[test]
fn texts_agree_with_sacrebleu_rouge_score_and_squad() {
    let golden = golden();
    assert_eq!(golden.bleu_signature, SIGNATURE);
    for case in golden.texts {
        let answer = |(said, expected): &(String, String)| Answer {
            parsed: Some(said.clone()),
            expected: Some(expected.clone()),
            ..Answer::default()
        };
        let answers: Vec<Answer> = case.pairs.iter().map(answer).collect();
        assert_eq!(case.values.len(), 5);
        holds(&case.values, &answers);
    }
}

#[test]
fn labels_agree_with_scikit_learn_and_torchmetrics() {
    for mut case in golden().labels {
        let answer = |row: &Row| {
            let mut ranked: Vec<(String, f64)> = row.probabilities.iter().map(|(l, p)| (l.clone(), p.ln())).collect();
            ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
            Answer { gold: row.gold.clone(), parsed: row.said.clone(), ranked, ..Answer::default() }
        };
        let mut answers: Vec<Answer> = case.answers.iter().map(answer).collect();
        let ece = case.values.remove("ece_of_best").unwrap();
        assert_eq!(case.values.len(), 15);
        holds(&case.values, &answers);
        for answer in &mut answers {
            answer.parsed = answer.ranked.first().map(|(label, _)| label.clone());
        }
        holds(&BTreeMap::from([("ece".to_owned(), ece)]), &answers);
    }
}
