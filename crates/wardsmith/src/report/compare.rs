//! Runs side by side: `compare.json` for machines, and beside it `compare.html`: where their recipes differ, how their
//! losses went, and where their answers differ on the same examples.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use wardsmith_eval::evaluate::Comparison;
use wardsmith_eval::flips::{Flip, Flips};
use wardsmith_model::weights::write_atomically;
use wardsmith_train::progress::Line;

use super::markup::{Element, el, text_in};
use super::page::document;
use super::plot::{Axis, Mark, Plot, Points, Series};
use super::tables::{column, comparison, number, scrolling};
use super::words;

/// The `format` of every `compare.json`.
const FORMAT: &str = "wardsmith-comparison";
/// The version that this code writes.
const FORMAT_VERSION: u32 = 1;
/// Flips of each direction that the page shows; the file has all.
const SHOWN_FLIPS: usize = 50;

/// `compare.json`.
#[derive(Debug, Serialize)]
pub(crate) struct CompareReport {
    format: &'static str,
    format_version: u32,
    /// What is compared; the others are held against the first.
    pub names: Vec<String>,
    /// Keys of the recipes whose values differ, with the value of each; absent where a recipe is silent.
    pub recipe: Vec<(String, Vec<Option<String>>)>,
    /// What each run came to, in the order of the names.
    pub summaries: Vec<Summary>,
    /// Where both answered the same examples.
    pub pairs: Vec<Paired>,
    /// The runs' metrics; they stand in their own files.
    #[serde(skip)]
    pub lines: Vec<Vec<Line>>,
}

/// What a run came to. All is absent where there is no run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// The last step's loss, nats per token.
    pub training_loss: Option<f64>,
    /// The last validation loss.
    pub last_validation_loss: Option<f64>,
    /// The lowest validation loss, and its step.
    pub best_validation_loss: Option<(f64, u64)>,
    /// Tokens.
    pub tokens: Option<u64>,
    /// Seconds of training.
    pub elapsed_s: Option<f64>,
}

impl Summary {
    /// Of a run's metrics.
    pub(crate) fn of(lines: &[Line]) -> Self {
        let validated = lines.iter().filter_map(|line| Some((line.validation_loss_nats?, line.step)));
        Self {
            steps: lines.last().map(|line| line.step),
            training_loss: lines.iter().rev().find_map(|line| line.loss_nats),
            last_validation_loss: lines.iter().rev().find_map(|line| line.validation_loss_nats),
            best_validation_loss: validated.min_by(|left, right| left.0.total_cmp(&right.0)),
            tokens: lines.last().map(|line| line.tokens),
            elapsed_s: lines.last().map(|line| line.elapsed_s),
        }
    }

    /// The summary as rows of text: what it is, and the value.
    pub(crate) fn rows(&self) -> [(&'static str, Option<String>); 6] {
        let loss = |loss: f64| format!("{loss:.4}");
        let rate = self.tokens.zip(self.elapsed_s).map(|(tokens, seconds)| tokens as f64 / seconds.max(1e-9));
        let best =
            self.best_validation_loss.map(|(value, step)| format!("{} at step {}", loss(value), words::count(step)));
        [
            ("steps", self.steps.map(words::count)),
            ("training loss, last step", self.training_loss.map(loss)),
            ("validation loss, last", self.last_validation_loss.map(loss)),
            ("validation loss, best", best),
            ("tokens a second", rate.map(|rate| words::count(rate as u64))),
            ("time", self.elapsed_s.map(crate::machine::duration)),
        ]
    }
}

/// Two systems on the same examples.
#[derive(Debug, Serialize)]
pub(crate) struct Paired {
    /// The split and the task.
    pub on: String,
    /// Every metric, with paired intervals.
    pub comparison: Comparison,
    /// Which answers flipped.
    pub flips: Flips,
}

impl CompareReport {
    /// A report of what is called `names`.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            format_version: FORMAT_VERSION,
            names,
            recipe: Vec::new(),
            summaries: Vec::new(),
            pairs: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Writes both files into `folder`, which is made where it does not exist, each whole or not at all.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_atomically(&folder.join("compare.json"), json.as_bytes())?;
        Ok(write_atomically(&folder.join("compare.html"), self.html().as_bytes())?)
    }

    fn html(&self) -> String {
        let title = self.names.join(" · ");
        let header = el("header")
            .child(text_in("h1", "Runs side by side"))
            .child(text_in("p", format!("{title}. The first one is what the others are held against.")).class("about"));
        let curves = [
            self.curve("validation", "Validation loss", |line| line.validation_loss_nats),
            self.curve("training", "Training loss", |line| line.loss_nats),
        ];
        let sections = [Some(self.runs()), self.recipes()].into_iter().chain(curves).flatten();
        let main = el("main").children(sections).children(self.pairs.iter().map(paired));
        document(&title, header, main, "The numbers behind this page stand beside it in compare.json.")
    }

    fn head(&self, first: &str) -> Element {
        let names = self.names.iter().map(|name| column(name));
        el("thead").child(el("tr").child(column(first)).children(names))
    }

    fn runs(&self) -> Element {
        let all: Vec<_> = self.summaries.iter().map(Summary::rows).collect();
        let row = |at: usize| {
            let cells = all.iter().map(|rows| number(rows[at].1.clone().unwrap_or_else(|| "–".into())));
            el("tr").child(text_in("th", all[0][at].0).with("scope", "row")).children(cells)
        };
        let rows = all.first().map_or(0, |rows| rows.len());
        let table = el("table")
            .child(text_in("caption", "What each came to; losses in nats per token"))
            .child(self.head("Run"))
            .child(el("tbody").children((0..rows).map(row)));
        el("section").with("id", "runs").child(text_in("h2", "Runs")).child(scrolling("Runs", table))
    }

    fn recipes(&self) -> Option<Element> {
        if self.recipe.is_empty() {
            return None;
        }
        let row = |(key, values): &(String, Vec<Option<String>>)| {
            let cells = values.iter().map(|value| number(value.as_deref().unwrap_or("–")));
            el("tr").child(el("th").with("scope", "row").child(text_in("code", key))).children(cells)
        };
        let table = el("table")
            .child(text_in("caption", "Keys of the resolved recipes that are not the same in all"))
            .child(self.head("Key"))
            .child(el("tbody").children(self.recipe.iter().map(row)));
        let section = el("section").with("id", "recipes").child(text_in("h2", "Where the recipes differ"));
        Some(section.child(scrolling("Recipes", table)))
    }

    fn curve(&self, id: &'static str, title: &str, value: impl Fn(&Line) -> Option<f64>) -> Option<Element> {
        let points = |lines: &Vec<Line>| -> Points {
            lines.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect()
        };
        let series = self.names.iter().zip(&self.lines).map(|(name, lines)| {
            let points = points(lines);
            let mark = if points.len() < 60 { Mark::Dotted } else { Mark::Line };
            Series { name: name.clone(), points, mark }
        });
        let plot = Plot {
            id,
            title: format!("{title} over steps"),
            x: Axis { title: "step", log: false },
            y: Axis { title: "loss (nats per token)", log: false },
            series: series.collect(),
        };
        Some(
            el("section")
                .child(text_in("h2", title))
                .child(plot.figure("In nats per supervised token; lower is better.")?),
        )
    }
}

fn paired(pair: &Paired) -> Element {
    let (candidate, reference) = (&pair.comparison.candidate, &pair.comparison.reference);
    let flips = &pair.flips;
    let said = format!(
        "{} answers are right only in {candidate}, {} only in {reference}, {} in both and {} in neither. McNemar's exact \
         test gives p = {}: how often a fair coin would split the flips at least so unevenly.",
        words::count(flips.gained.len() as u64),
        words::count(flips.lost.len() as u64),
        words::count(flips.both_right as u64),
        words::count(flips.both_wrong as u64),
        p_value(flips.p_value),
    );
    el("section")
        .child(text_in("h2", format!("{candidate} against {reference}")))
        .child(text_in("p", &pair.on).class("about"))
        .child(text_in("p", said))
        .child(comparison(&pair.comparison))
        .children(flipped(&format!("Right only in {candidate}"), (candidate, reference), &flips.gained))
        .children(flipped(&format!("Right only in {reference}"), (candidate, reference), &flips.lost))
}

/// A p-value with two digits, and no false zero.
pub(crate) fn p_value(p: f64) -> String {
    if p < 1e-4 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn flipped(title: &str, (candidate, reference): (&str, &str), flips: &[Flip]) -> Option<Element> {
    let head = ["Example", "Truth", candidate, reference].map(column);
    let said = |label: &Option<String>| text_in("td", label.as_deref().unwrap_or("unreadable"));
    let row = |flip: &Flip| {
        el("tr")
            .child(text_in("th", &flip.id).with("scope", "row"))
            .child(text_in("td", &flip.gold))
            .child(said(&flip.candidate))
            .child(said(&flip.reference))
    };
    let table = el("table")
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(flips.iter().take(SHOWN_FLIPS).map(row)));
    let many = words::count(flips.len() as u64);
    let summary = match flips.len() > SHOWN_FLIPS {
        true => format!("{title}: the first {SHOWN_FLIPS} of {many}"),
        false => format!("{title}: {many}"),
    };
    (!flips.is_empty()).then(|| el("details").child(text_in("summary", &summary)).child(scrolling(&summary, table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_answers_have_a_page_and_names_are_no_markup() {
        let mut report = CompareReport::new(vec!["<a>".into(), "b".into()]);
        let line = |step: u64, loss: f64| Line {
            step,
            loss_nats: Some(loss),
            validation_loss_nats: Some(loss + 1.0),
            tokens: step * 10,
            elapsed_s: step as f64,
            ..Line::default()
        };
        report.lines = vec![vec![line(1, 3.0), line(2, 2.0)], vec![line(1, 3.5), line(2, 4.0)]];
        report.summaries = report.lines.iter().map(|lines| Summary::of(lines)).collect();
        report.recipe = vec![("train.beta1".into(), vec![Some("0.9".into()), None])];
        assert_eq!(report.summaries[1].best_validation_loss, Some((4.5, 1)));
        let html = report.html();
        assert!(html.contains("validation-title") && html.contains("train.beta1") && !html.contains("<a>"));
        assert!(CompareReport::new(vec!["x".into()]).html().contains("</html>"));
    }

    #[test]
    fn small_p_values_are_not_zero() {
        assert_eq!([p_value(0.03857), p_value(3e-9)], ["0.0386", "3.0e-9"]);
    }
}
