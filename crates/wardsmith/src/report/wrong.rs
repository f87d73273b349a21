//! Wrong answers to read: drawn without looking at them, shown whole.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use wardsmith_eval::metric::Answer;

use super::markup::{Element, el, text_in};
use super::words;
use super::{Report, Scored, WrongAnswer};

/// How many of the likeliest labels are shown.
const TOP: usize = 3;

/// Draws `count` of the wrong answers, by the digest of their id: at random, and the same ones on every run.
/// `texts` holds what was to be classified, by id.
#[must_use]
pub(crate) fn draw_wrong(answers: &[Answer], texts: &HashMap<String, String>, count: usize) -> Vec<WrongAnswer> {
    let mut wrong: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_correct()).collect();
    wrong.sort_by_cached_key(|answer| Sha256::digest(answer.id.as_bytes()));
    let drawn = wrong.into_iter().take(count).map(|answer| WrongAnswer {
        id: answer.id.clone(),
        text: texts.get(&answer.id).cloned().unwrap_or_default(),
        truth: answer.gold.clone(),
        answer: answer.parsed.clone(),
        top: top(&answer.ranked),
        scored: answer.ranked.len(),
    });
    drawn.collect()
}

/// The likeliest labels with their probabilities among all that were scored.
fn top(ranked: &[(String, f64)]) -> Vec<Scored> {
    let best = ranked.iter().map(|(_, nats)| *nats).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = ranked.iter().map(|(_, nats)| (nats - best).exp()).sum();
    let scored = ranked
        .iter()
        .take(TOP)
        .map(|(label, nats)| Scored { label: label.clone(), probability: (nats - best).exp() / sum });
    scored.filter(|scored| scored.probability.is_finite()).collect()
}

/// The section; `None` where there is nothing wrong.
pub(super) fn section(report: &Report) -> Option<Element> {
    if report.wrong.is_empty() {
        return None;
    }
    let about = format!(
        "{} wrong answers of {}, drawn at random. Some are near misses, and some truths are themselves open to \
         doubt.",
        words::count(report.wrong.len() as u64),
        report.main_system
    );
    Some(
        el("section")
            .with("id", "wrong")
            .child(text_in("h2", "Wrong answers to read"))
            .child(text_in("p", about))
            .children(report.wrong.iter().map(|wrong| article(report, wrong))),
    )
}

fn article(report: &Report, wrong: &WrongAnswer) -> Element {
    let answer = match &wrong.answer {
        Some(answer) => report.titled(answer),
        None => "no label could be read from the answer".into(),
    };
    let mut facts = el("dl")
        .child(text_in("dt", "Truth"))
        .child(text_in("dd", report.titled(&wrong.truth)))
        .child(text_in("dt", "Answer"))
        .child(text_in("dd", answer));
    if !wrong.top.is_empty() {
        let likeliest = wrong.top.iter().map(|scored| {
            let label = report.titled(&scored.label);
            text_in("li", format!("{} {label}", words::value("share", scored.probability)))
        });
        facts = facts
            .child(text_in(
                "dt",
                format!("Likeliest of the {} that had to be scored", words::count(wrong.scored as u64)),
            ))
            .child(el("dd").child(el("ul").children(likeliest)));
    }
    el("article").child(text_in("h3", &wrong.id)).child(text_in("blockquote", &wrong.text)).child(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str, gold: &str, parsed: &str) -> Answer {
        Answer {
            id: id.into(),
            gold: gold.into(),
            parsed: Some(parsed.into()),
            ranked: vec![(parsed.into(), -1.0), (gold.into(), -2.0)],
            ..Answer::default()
        }
    }

    #[test]
    fn only_wrong_answers_are_drawn_and_always_the_same() {
        let answers: Vec<_> = (0..50)
            .map(|index| answer(&format!("case-{index}"), "a", if index % 2 == 0 { "a" } else { "b" }))
            .collect();
        let texts = HashMap::from([("case-1".to_owned(), "text".to_owned())]);
        let drawn = draw_wrong(&answers, &texts, 10);
        assert_eq!(drawn.len(), 10);
        assert!(drawn.iter().all(|wrong| wrong.answer.as_deref() == Some("b")));
        let mut turned = answers;
        turned.reverse();
        assert_eq!(draw_wrong(&turned, &texts, 10), drawn);
    }

    #[test]
    fn probabilities_are_shares_among_the_scored_labels() {
        let drawn = draw_wrong(&[answer("x", "a", "b")], &HashMap::new(), 1);
        let probabilities: Vec<_> = drawn[0].top.iter().map(|scored| scored.probability).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((probabilities[0] / probabilities[1] - 1_f64.exp()).abs() < 1e-12);
    }
}
