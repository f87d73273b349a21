//! Numbers and metrics in words: how values are written, what metrics are called and what a difference shows.

use wardsmith_eval::evaluate::Difference;
use wardsmith_eval::metric::Estimate;

pub(super) use crate::say::count;

/// A metric's title and what it says, by its name.
const METRICS: &[(&str, &str, &str)] = &[
    ("accuracy", "Accuracy", "answers that name the right label"),
    ("top_3", "Top-3 accuracy", "answers with the right label among their three likeliest"),
    ("macro_f1", "Macro F1", "F1 of each label, averaged so that rare labels weigh as much as frequent ones"),
    ("micro_f1", "Micro F1", "F1 over all answers together; differs from accuracy only by unparseable answers"),
    (
        "hierarchical_accuracy",
        "Hierarchical accuracy",
        "partial credit for answers near the right label in the CWE hierarchy",
    ),
    ("unparseable", "Unparseable answers", "answers that name no label; everywhere else they count as wrong"),
    ("perplexity", "Perplexity", "how surprised the model is by a token of the right answer; 1 is certain"),
    (
        "bits_per_byte",
        "Bits per byte",
        "bits that the model needs for a byte of the right answer; comparable between tokenizers",
    ),
    ("top_5", "Top-5 accuracy", "answers with the right label among their five likeliest"),
    ("weighted_f1", "Weighted F1", "F1 of each label, averaged by how often it is right"),
    ("macro_precision", "Macro precision", "how far a label can be trusted when it is said, averaged over labels"),
    ("macro_recall", "Macro recall", "how much of each label is found, averaged over labels"),
    ("micro_precision", "Micro precision", "right answers among those that name a label"),
    ("micro_recall", "Micro recall", "right answers among all"),
    ("weighted_precision", "Weighted precision", "precision of each label, averaged by how often it is right"),
    ("weighted_recall", "Weighted recall", "recall of each label, averaged by how often it is right; equals accuracy"),
    ("mcc", "Matthews correlation", "agreement beyond chance; 0 for every constant answer"),
    ("hierarchical_f1", "Hierarchical F1", "F1 of the labels with all their ancestors in the CWE hierarchy"),
    ("roc_auc", "ROC-AUC", "how often a right example is ranked above a wrong one, label by label"),
    ("pr_auc", "PR-AUC", "average precision over all thresholds, label by label"),
    ("cvss_exact", "CVSS vector", "answers with every base metric right"),
    ("cvss_metrics", "CVSS metrics", "base metrics that are right"),
    ("cvss_band", "CVSS severity", "answers whose base score falls into the right severity"),
    (
        "cvss_score_mad",
        "CVSS score distance",
        "mean distance of the base scores; an unreadable answer is as far off as can be",
    ),
    ("cvss_av", "CVSS AV", "attack vector right"),
    ("cvss_ac", "CVSS AC", "attack complexity right"),
    ("cvss_at", "CVSS AT", "attack requirements right"),
    ("cvss_pr", "CVSS PR", "privileges required right"),
    ("cvss_ui", "CVSS UI", "user interaction right"),
    ("cvss_s", "CVSS S", "scope right"),
    ("cvss_c", "CVSS C", "confidentiality right"),
    ("cvss_i", "CVSS I", "integrity right"),
    ("cvss_a", "CVSS A", "availability right"),
    ("cvss_vc", "CVSS VC", "confidentiality of the vulnerable system right"),
    ("cvss_vi", "CVSS VI", "integrity of the vulnerable system right"),
    ("cvss_va", "CVSS VA", "availability of the vulnerable system right"),
    ("cvss_sc", "CVSS SC", "confidentiality of subsequent systems right"),
    ("cvss_si", "CVSS SI", "integrity of subsequent systems right"),
    ("cvss_sa", "CVSS SA", "availability of subsequent systems right"),
    ("recall_at_1", "Recall at 1", "right labels that are said first"),
    ("recall_at_3", "Recall at 3", "right labels among the first three said"),
    ("recall_at_10", "Recall at 10", "right labels among the first ten said"),
    ("mrr", "Mean reciprocal rank", "how early the first right label is said"),
    ("jaccard", "Jaccard index", "labels said and right among labels said or right"),
    ("exact_match", "Exact match", "answers with the words of the expected text"),
    ("token_f1", "Token F1", "words shared with the expected text"),
    ("bleu", "BLEU", "runs of words shared with the expected text, as sacreBLEU counts them"),
    ("chrf", "chrF", "runs of letters shared with the expected text, as sacreBLEU counts them"),
    ("rouge_l", "ROUGE-L", "the longest common run of words, gaps allowed"),
    ("invented_identifiers", "Invented identifiers", "CVE, CWE, CAPEC and ATT&CK IDs in answers that do not exist"),
    ("grounded", "Grounded", "sentences of the answer that the cited entry supports"),
    ("ece", "Calibration error", "how far the stated probability is from the share of right answers"),
    ("brier", "Brier score", "squared error of the probabilities of all labels"),
    ("coverage_at_95", "Coverage at 95 % precision", "answers that could be taken unseen while 95 % of them are right"),
    ("seconds", "Time", "mean time of an answer"),
    ("written_tokens", "Written tokens", "mean length of an answer"),
];

/// What people call the metric.
pub(super) fn title(metric: &str) -> &str {
    let found = METRICS.iter().find(|(name, ..)| *name == metric);
    found.map_or(metric, |(_, title, _)| title)
}

/// What the metric says; empty for one that this version does not know.
pub(super) fn meaning(metric: &str) -> &'static str {
    let found = METRICS.iter().find(|(name, ..)| *name == metric);
    found.map_or("", |(.., meaning)| meaning)
}

/// Which direction is better.
pub(super) fn direction(higher_is_better: bool) -> &'static str {
    match higher_is_better {
        true => "higher is better",
        false => "lower is better",
    }
}

/// What `unit` is called where values are written by [`value`].
pub(super) fn unit(unit: &str) -> &str {
    match unit {
        "share" => "% of answers",
        other => other,
    }
}

/// A value in its unit: shares as a percentage.
pub(super) fn value(unit: &str, value: f64) -> String {
    match unit {
        "share" => format!("{} %", decimals(value * 100.0, 1)),
        _ => significant(value),
    }
}

/// The bounds of an interval in the unit of [`value`], without the unit.
pub(super) fn interval(unit: &str, estimate: &Estimate) -> String {
    let bound = |value: f64| match unit {
        "share" => decimals(value * 100.0, 1),
        _ => significant(value),
    };
    format!("{} to {}", bound(estimate.low), bound(estimate.high))
}

/// A difference with its sign: shares in percentage points.
pub(super) fn difference(unit: &str, value: f64) -> String {
    let (number, unit) = match unit {
        "share" => (decimals(value * 100.0, 1), " points"),
        _ => (significant(value), ""),
    };
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{number}{unit}")
}

/// What a paired difference shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    Worse,
    NotShown,
}

impl Verdict {
    /// A difference is shown where its 95 % interval excludes zero.
    pub(super) fn of(difference: &Difference) -> Self {
        let Estimate { low, high, .. } = difference.estimate;
        match (low > 0.0, high < 0.0) {
            (true, _) if difference.higher_is_better => Self::Better,
            (true, _) => Self::Worse,
            (_, true) if difference.higher_is_better => Self::Worse,
            (_, true) => Self::Better,
            _ => Self::NotShown,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotShown => "no difference shown",
        }
    }

    /// The CSS class of the words.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Better => "verdict better",
            Self::Worse => "verdict worse",
            Self::NotShown => "verdict",
        }
    }
}

/// A number with a proper minus sign and never a negative zero.
pub(super) fn decimals(number: f64, places: usize) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "undefined" } else { "∞" }.into();
    }
    let text = format!("{number:.places$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|digit| matches!(digit, '0' | '.')) => zero.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A number with about three significant digits.
pub(super) fn significant(number: f64) -> String {
    match number.abs() {
        large if large >= 1e7 && large.is_finite() => format!("{number:.2e}"),
        hundreds if hundreds >= 100.0 => decimals(number, 0),
        tens if tens >= 10.0 => decimals(number, 1),
        _ => decimals(number, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardsmith_eval::metric;

    fn difference_between(low: f64, high: f64, higher_is_better: bool) -> Verdict {
        Verdict::of(&Difference {
            name: "x".into(),
            unit: "share".into(),
            higher_is_better,
            estimate: Estimate { value: (low + high) / 2.0, low, high, denominator: 10 },
            share_not_better: 0.5,
        })
    }

    #[test]
    fn every_metric_has_a_title_and_a_meaning() {
        for metric in metric::ALL {
            assert_ne!(title(metric.name()), metric.name());
            assert!(!meaning(metric.name()).is_empty());
        }
    }

    #[test]
    fn a_verdict_needs_an_interval_without_zero_and_heeds_the_direction() {
        assert_eq!(difference_between(0.1, 0.2, true), Verdict::Better);
        assert_eq!(difference_between(0.1, 0.2, false), Verdict::Worse);
        assert_eq!(difference_between(-0.2, -0.1, false), Verdict::Better);
        assert_eq!(difference_between(-0.2, -0.1, true), Verdict::Worse);
        assert_eq!(difference_between(0.0, 0.2, true), Verdict::NotShown);
        assert_eq!(difference_between(-0.1, 0.2, true), Verdict::NotShown);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(value("share", 0.1234), "12.3 %");
        assert_eq!(difference("share", -0.0123), "−1.2 points");
        assert_eq!(difference("share", -0.000_01), "0.0 points");
        assert_eq!(difference("per token", 12.34), "+12.3");
        assert_eq!(value("per token", f64::INFINITY), "∞");
    }
}
