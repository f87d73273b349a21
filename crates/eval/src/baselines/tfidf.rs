//! The classical text classifier: TF-IDF rows and one-vs-all linear classifiers, with the settings of the scikit-learn
//! pipeline `TfidfVectorizer` + `SGDClassifier(loss="modified_huber")` that it is measured against.
//!
//! Labels are ranked by decision value. Their log-probabilities are the log-softmax of the decision values: in the same
//! order and never infinite, unlike scikit-learn's clipped `predict_proba` of this loss, but not calibrated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::linear::{Linear, LinearOptions};
use super::vectorizer::{Vectorizer, VectorizerOptions};

/// Why a baseline could not be trained.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FitError {
    /// No label is frequent enough.
    #[error(
        "no label has `{min}` training examples (the most frequent one has `{most}`)\nhint: prepare more training data, or lower the smallest count of a label"
    )]
    NothingToLearn {
        /// Examples that a label must have.
        min: usize,
        /// Examples that the most frequent label has.
        most: usize,
    },
}

/// How the baseline is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TfidfOptions {
    /// Which terms are looked at.
    pub vectorizer: VectorizerOptions,
    /// How the classifiers learn; holds the seed.
    pub linear: LinearOptions,
    /// Rows of rarer labels are left out, so that such labels are never predicted.
    pub min_label_count: usize,
}

impl Default for TfidfOptions {
    fn default() -> Self {
        Self { vectorizer: VectorizerOptions::default(), linear: LinearOptions::default(), min_label_count: 5 }
    }
}

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Passes done, each over all rows for one block of classes.
    pub done: usize,
    /// Passes in all.
    pub total: usize,
}

/// A trained classifier.
#[derive(Debug, Clone)]
pub struct TfidfLinear {
    vectorizer: Vectorizer,
    linear: Linear,
    /// Name of each class, ascending.
    labels: Vec<String>,
}

impl TfidfLinear {
    /// Trains on `texts` and their `labels`; `progress` is called from several threads.
    ///
    /// # Errors
    /// If no label has `options.min_label_count` texts.
    ///
    /// # Panics
    /// If `texts` and `labels` differ in length.
    pub fn fit(
        texts: &[&str],
        labels: &[&str],
        options: &TfidfOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, FitError> {
        assert_eq!(texts.len(), labels.len(), "one label a text");
        let classes = frequent(labels, options.min_label_count)?;
        let (texts, gold): (Vec<&str>, Vec<usize>) = texts
            .iter()
            .zip(labels)
            .filter_map(|(&text, label)| Some((text, classes.binary_search(label).ok()?)))
            .unzip();
        let vectorizer = Vectorizer::fit(&texts, options.vectorizer);
        let rows = vectorizer.transform_all(&texts);
        let (done, total) = (AtomicUsize::new(0), Linear::passes(classes.len(), options.linear));
        let on_epoch = || progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
        let shape = (vectorizer.features(), classes.len());
        let linear = Linear::fit(&rows, &gold, shape, options.linear, &on_epoch);
        Ok(Self { vectorizer, linear, labels: classes.into_iter().map(str::to_owned).collect() })
    }

    /// The labels it can predict, ascending.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Number of terms it looks at.
    #[must_use]
    pub fn features(&self) -> usize {
        self.vectorizer.features()
    }

    /// Every label with its log-probability in nats, best first; equal ones ascending by name.
    #[must_use]
    pub fn predict_ranked(&self, text: &str) -> Vec<(String, f64)> {
        let values = self.linear.decide(&self.vectorizer.transform(text));
        let mut ranked: Vec<(&String, f64)> = self.labels.iter().zip(log_softmax(&values)).collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        ranked.into_iter().map(|(label, log)| (label.clone(), log)).collect()
    }

    /// The first `most` of [`Self::predict_ranked`] for each text, in parallel.
    #[must_use]
    pub fn predict_all(&self, texts: &[&str], most: usize) -> Vec<Vec<(String, f64)>> {
        let predict = |text: &&str| {
            let mut ranked = self.predict_ranked(text);
            ranked.truncate(most);
            ranked
        };
        texts.par_iter().map(predict).collect()
    }
}

/// The labels that occur at least `min` times, ascending.
fn frequent<'a>(labels: &[&'a str], min: usize) -> Result<Vec<&'a str>, FitError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);
    let kept: Vec<&str> = counts.into_iter().filter(|&(_, count)| count >= min).map(|(label, _)| label).collect();
    if kept.is_empty() { Err(FitError::NothingToLearn { min, most }) } else { Ok(kept) }
}

fn log_softmax(values: &[f32]) -> Vec<f64> {
    let largest = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = values.iter().map(|&value| (f64::from(value) - largest).exp()).sum();
    values.iter().map(|&value| f64::from(value) - largest - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invented advisories: four flaws, each told over six invented products.
    fn advisories() -> (Vec<String>, Vec<&'static str>) {
        let flaws = [
            ("CWE-79", "lets a visitor run script in the browser of an editor through the title field"),
            ("CWE-89", "joins the order number into a database query, so anyone can read every table"),
            ("CWE-22", "follows dots and slashes in an archive name and writes outside its folder"),
            ("CWE-787", "writes one element past the end of its buffer when a header is too long"),
        ];
        let products = ["Quillmoor", "Tarnbridge", "Okapi Ledger", "Fennwick", "Larkspur Mail", "Brindle"];
        let all = products.iter().flat_map(|product| flaws.map(|(label, flaw)| (format!("{product} {flaw}."), label)));
        all.unzip()
    }

    fn fit(options: &TfidfOptions) -> Result<TfidfLinear, FitError> {
        let (texts, labels) = advisories();
        TfidfLinear::fit(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &labels, options, &|_| ())
    }

    #[test]
    fn the_flaw_decides_not_the_product() {
        let trained = fit(&TfidfOptions::default()).unwrap();
        let best = |text| trained.predict_ranked(text)[0].0.clone();
        assert_eq!(best("In Okapi Ledger 4 a script in the title field runs in another visitor's browser."), "CWE-79");
        assert_eq!(best("Gorsefield lets anyone read a table through a database query."), "CWE-89");
        assert_eq!(best("An archive whose name has dots and slashes writes outside of the folder."), "CWE-22");
        assert_eq!(best("Brindle: a long header writes past the end of a buffer."), "CWE-787");
    }

    #[test]
    fn probabilities_of_all_labels_sum_to_one_and_descend() {
        let ranked = fit(&TfidfOptions::default()).unwrap().predict_ranked("a buffer in the browser");
        assert_eq!(ranked.len(), 4);
        assert!((ranked.iter().map(|(_, log)| log.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(ranked.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }

    #[test]
    fn an_unknown_text_is_ranked_too() {
        let trained = fit(&TfidfOptions::default()).unwrap();
        assert_eq!(trained.predict_all(&["", "zzz 雪"], 3).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    }

    #[test]
    fn too_rare_labels_are_an_error_that_says_how_rare() {
        let error = fit(&TfidfOptions { min_label_count: 7, ..TfidfOptions::default() }).unwrap_err();
        assert_eq!(error, FitError::NothingToLearn { min: 7, most: 6 });
        assert!(error.to_string().contains("\nhint: "));
    }
}
