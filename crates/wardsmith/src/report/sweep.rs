//! What a search leaves: `sweep.json` for machines, and beside it `sweep.html`: every trial's loss, the parameters side by
//! side, and which of them mattered.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use wardsmith_model::weights::write_atomically;

use super::markup::{Element, el, text_in};
use super::page::document;
use super::plot::{Axis, Mark, Plot, Series};
use super::tables::{column, number, scrolling};
use super::{facts, words};

/// The `format` of every `sweep.json`.
const FORMAT: &str = "wardsmith-sweep";
/// The version that this code writes.
const FORMAT_VERSION: u32 = 1;
/// The picture of parallel axes.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 230.0;
const SIDE: f64 = 46.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 46.0;

/// `sweep.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SweepReport {
    format: &'static str,
    format_version: u32,
    /// The recipe's name.
    pub title: String,
    /// What was searched.
    pub parameters: Vec<ParameterColumn>,
    /// Optimiser steps at each rung.
    pub rungs: Vec<u64>,
    /// Every trial.
    pub trials: Vec<TrialRow>,
    /// The best trial's number.
    pub best: Option<u64>,
    /// How the search went, in the order in which it is shown.
    pub facts: Vec<(String, String)>,
    /// The resolved recipe with its table `sweep`.
    pub recipe: String,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ParameterColumn {
    /// The recipe's key.
    pub key: String,
    /// Its least and its most, or its first and last choice, as they are written.
    pub ends: [String; 2],
    /// Even in the logarithm.
    pub log: bool,
    /// It is one of several things without an order.
    pub choice: bool,
    /// The share of the loss's variance that it explains alone; absent where too few trials ended.
    pub importance: Option<f64>,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TrialRow {
    /// From 0.
    pub number: u64,
    /// The values as a recipe has them, in the order of the parameters.
    pub values: Vec<String>,
    /// The values as numbers; of a choice, its place.
    pub point: Vec<f64>,
    /// Their places within their ranges, 0..=1.
    pub units: Vec<f64>,
    /// The lowest validation loss at each rung that it reached, nats; absent where it diverged.
    pub losses: Vec<Option<f64>>,
    /// Steps made.
    pub steps: u64,
    /// Seconds of training.
    pub elapsed_s: f64,
    /// What there is to say.
    pub note: String,
}

impl TrialRow {
    /// The loss at the highest rung that it reached.
    pub(crate) fn last(&self) -> Option<f64> {
        self.losses.last().copied().flatten()
    }
}

impl SweepReport {
    /// An empty report.
    pub(crate) fn new(title: &str, rungs: &[u64], recipe: String) -> Self {
        Self {
            format: FORMAT,
            format_version: FORMAT_VERSION,
            title: title.to_owned(),
            parameters: Vec::new(),
            rungs: rungs.to_vec(),
            trials: Vec::new(),
            best: None,
            facts: Vec::new(),
            recipe,
        }
    }

    /// Writes both files, each whole or not at all.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_atomically(&folder.join("sweep.json"), json.as_bytes())?;
        Ok(write_atomically(&folder.join("sweep.html"), self.html().as_bytes())?)
    }

    /// Trials from the best on: those that went furthest first, then by loss.
    pub(crate) fn ranked(&self) -> Vec<&TrialRow> {
        let mut ranked: Vec<&TrialRow> = self.trials.iter().collect();
        let key = |trial: &TrialRow| trial.last().unwrap_or(f64::INFINITY);
        ranked.sort_by(|left, right| {
            let further = right.losses.len().cmp(&left.losses.len());
            let diverged = key(left).is_infinite().cmp(&key(right).is_infinite());
            diverged.then(further).then(key(left).total_cmp(&key(right))).then(left.number.cmp(&right.number))
        });
        ranked
    }

    fn html(&self) -> String {
        let count = words::count(self.trials.len() as u64);
        let header = el("header")
            .child(text_in("h1", format!("Search {}", self.title)))
            .child(text_in("p", format!("{count} trials; what was to be small is the validation loss.")).class("about"))
            .child(self.tiles());
        let run = el("section")
            .with("id", "search")
            .child(text_in("h2", "Search"))
            .child(facts::pairs(&self.facts))
            .child(text_in("h3", "Resolved recipe"))
            .child(text_in("pre", &self.recipe));
        let sections = [self.losses(), self.importance(), self.parallel(), Some(self.scatter()), Some(self.table())];
        let main = el("main").children(sections.into_iter().flatten()).child(run);
        document(&self.title, header, main, "The numbers behind this page stand beside it in sweep.json.")
    }

    fn best(&self) -> Option<&TrialRow> {
        self.trials.iter().find(|trial| Some(trial.number) == self.best)
    }

    fn tiles(&self) -> Element {
        let Some(best) = self.best() else { return el("ul").class("tiles") };
        let tile = |name: &str, value: String, note: String| {
            el("li").child(text_in("span", name)).child(text_in("strong", value)).child(text_in("small", note))
        };
        let loss = words::decimals(best.last().unwrap_or(f64::NAN), 4);
        let note = format!("trial {}, after {} steps", best.number, words::count(best.steps));
        let values = self.parameters.iter().zip(&best.values);
        let values = values.map(|(parameter, value)| tile(&parameter.key, value.clone(), "of the best trial".into()));
        el("ul").class("tiles").child(tile("Best validation loss", loss, note)).children(values)
    }

    /// Each trial's loss at each rung, over the trials in their order.
    fn losses(&self) -> Option<Element> {
        let at = |rung: usize| {
            let points = self.trials.iter().filter_map(|t| Some((t.number as f64, (*t.losses.get(rung)?)?))).collect();
            let name = format!("after {} steps", words::count(self.rungs[rung]));
            Series { name, points, mark: Mark::Dots }
        };
        let plot = Plot {
            id: "losses",
            title: "Validation loss of each trial".into(),
            x: Axis { title: "trial", log: false },
            y: Axis { title: "loss (nats per token)", log: false },
            series: (0..self.rungs.len()).map(at).collect(),
        };
        let figure = plot.figure("The lowest validation loss up to each rung; lower is better.")?;
        Some(el("section").with("id", "losses-of-trials").child(text_in("h2", "Loss of each trial")).child(figure))
    }

    fn importance(&self) -> Option<Element> {
        let mut known: Vec<(&str, f64)> =
            self.parameters.iter().filter_map(|p| Some((p.key.as_str(), p.importance?))).collect();
        if known.is_empty() {
            return None;
        }
        known.sort_by(|left, right| right.1.total_cmp(&left.1));
        let bar = |(key, share): &(&str, f64)| {
            let bar = el("svg")
                .class("key")
                .with("viewBox", "0 0 100 8")
                .with("aria-hidden", "true")
                .child(el("rect").class("bar").with("width", format!("{:.1}", share * 100.0)).with("height", 8));
            let share = el("td").child(bar).text(words::value("share", *share));
            el("tr").child(text_in("th", key).with("scope", "row")).child(share)
        };
        let table = el("table")
            .class("importance")
            .child(text_in("caption", "The share of the loss's variance that each parameter explains alone"))
            .child(el("tbody").children(known.iter().map(bar)));
        let about = "Main effects of a functional ANOVA over a random forest (Hutter, Hoos & Leyton-Brown 2014) of the \
                     trials at the highest rung that enough of them reached. What is left to 100 % are interactions and \
                     chance. With few trials these shares are rough.";
        let section = el("section").with("id", "importance").child(text_in("h2", "Which parameter mattered"));
        Some(section.child(scrolling("Importance", table)).child(text_in("p", about).class("about")))
    }

    /// One upright axis a parameter and one for the loss; each trial is a thread through its values.
    fn parallel(&self) -> Option<Element> {
        let losses: Vec<f64> = self.trials.iter().filter_map(TrialRow::last).collect();
        let (low, high) = losses.iter().fold((f64::MAX, f64::MIN), |(low, high), l| (low.min(*l), high.max(*l)));
        if losses.len() < 2 || self.parameters.is_empty() {
            return None;
        }
        let axes = self.parameters.len();
        let across = |at: usize| SIDE + at as f64 / axes as f64 * (WIDTH - 2.0 * SIDE);
        let upwards = |unit: f64| HEIGHT - BOTTOM - unit * (HEIGHT - TOP - BOTTOM);
        let thread = |trial: &TrialRow| {
            let loss = (trial.last()? - low) / (high - low).max(1e-12);
            let units = trial.units.iter().copied().chain([loss]).enumerate();
            let path: String = units
                .map(|(at, unit)| format!("{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, across(at), upwards(unit)))
                .collect();
            let class = if Some(trial.number) == self.best { "thread best" } else { "thread" };
            Some(el("path").with("class", class).with("d", path).child(text_in("title", self.told(trial))))
        };
        let ends = [words::decimals(low, 3), words::decimals(high, 3)];
        let keys = self.parameters.iter().map(|parameter| (last_part(&parameter.key), &parameter.ends));
        let mut picture = el("svg")
            .with("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
            .with("role", "img")
            .with("aria-label", "Each trial as a line through its parameters and its loss");
        for (at, (key, ends)) in keys.chain([("loss", &ends)]).enumerate() {
            picture = picture.child(upright((across(at), at), key, ends));
        }
        // The best one lies on top.
        let mut ordered: Vec<&TrialRow> = self.ranked();
        ordered.reverse();
        let picture = picture.children(ordered.into_iter().filter_map(thread));
        let caption =
            "One line a trial, the best one in the second colour. The loss is the one at the trial's last rung.";
        let figure = el("figure").child(picture).child(text_in("figcaption", caption));
        Some(el("section").with("id", "parallel").child(text_in("h2", "Parameters side by side")).child(figure))
    }

    fn told(&self, trial: &TrialRow) -> String {
        let values = self.parameters.iter().zip(&trial.values).map(|(p, value)| format!("{} = {value}", p.key));
        let values: Vec<String> = values.collect();
        let loss = trial.last().map_or("diverged".to_owned(), |loss| words::decimals(loss, 4));
        format!("trial {}: {}; loss {loss}", trial.number, values.join(", "))
    }

    /// The loss over each parameter.
    fn scatter(&self) -> Element {
        const IDS: [&str; 8] = ["over-1", "over-2", "over-3", "over-4", "over-5", "over-6", "over-7", "over-8"];
        let figure = |(at, id): (usize, &'static str)| {
            let parameter = self.parameters.get(at)?;
            let best_rung = self.trials.iter().map(|trial| trial.losses.len()).max()?;
            let series = |rung: usize| {
                let there = self.trials.iter().filter(|trial| trial.losses.len() == rung);
                let points = there.filter_map(|trial| Some((trial.point[at], trial.last()?))).collect();
                let name = format!("ended after {} steps", words::count(self.rungs[rung - 1]));
                Series { name, points, mark: Mark::Dots }
            };
            let title = if parameter.choice { "choice, counted from 0" } else { "value" };
            let plot = Plot {
                id,
                title: format!("Loss over {}", parameter.key),
                x: Axis { title, log: parameter.log },
                y: Axis { title: "loss (nats per token)", log: false },
                series: (1..=best_rung).map(series).collect(),
            };
            Some(el("div").child(text_in("h3", &parameter.key)).child(plot.figure("")?))
        };
        let figures = IDS.into_iter().enumerate().filter_map(figure);
        el("section").with("id", "scatter").child(text_in("h2", "Loss over each parameter")).children(figures)
    }

    fn table(&self) -> Element {
        let row = |trial: &TrialRow| {
            let values = trial.values.iter().map(|value| number(value.clone()));
            let loss = trial.last().map_or("diverged".to_owned(), |loss| words::decimals(loss, 4));
            let row = el("tr").child(text_in("th", trial.number).with("scope", "row"));
            let row = if Some(trial.number) == self.best { row.class("main") } else { row };
            row.child(number(loss))
                .child(number(words::count(trial.steps)))
                .children(values)
                .child(number(crate::machine::duration(trial.elapsed_s)))
        };
        let keys = self.parameters.iter().map(|parameter| column(last_part(&parameter.key)));
        let head = ["Trial", "Loss", "Steps"].map(column).into_iter().chain(keys).chain([column("Time")]);
        let table = el("table")
            .child(text_in("caption", "From the best on: those that went furthest first"))
            .child(el("thead").child(el("tr").children(head)))
            .child(el("tbody").children(self.ranked().into_iter().map(row)));
        el("section").with("id", "trials").child(text_in("h2", "Trials")).child(scrolling("Trials", table))
    }
}

/// An axis with its ends and its name; names of neighbours stand at two heights, so that they do not meet.
fn upright((x, at): (f64, usize), name: &str, [low, high]: &[String; 2]) -> Element {
    let text = |text: &str, y: f64| {
        text_in("text", text).with("x", format!("{x:.1}")).with("y", format!("{y:.1}")).with("text-anchor", "middle")
    };
    let bottom = HEIGHT - BOTTOM;
    el("g")
        .class("axes")
        .child(el("path").class("tick").with("d", format!("M{x:.1} {TOP}V{bottom}")))
        .child(text(high, TOP - 6.0))
        .child(text(low, bottom + 13.0))
        .child(text(name, bottom + if at.is_multiple_of(2) { 27.0 } else { 40.0 }))
}

/// What a key is called where there is little room.
fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: u64, unit: f64, losses: &[Option<f64>]) -> TrialRow {
        TrialRow {
            number,
            values: vec![format!("{unit}"), "\"<b>\"".into()],
            point: vec![unit, 0.0],
            units: vec![unit, 0.5],
            losses: losses.to_vec(),
            steps: 10,
            elapsed_s: 1.0,
            note: String::new(),
        }
    }

    fn report() -> SweepReport {
        let column = |key: &str, choice| ParameterColumn {
            key: key.into(),
            ends: ["0".into(), "1".into()],
            log: false,
            choice,
            importance: Some(0.5),
        };
        let mut report = SweepReport::new("tiny", &[10, 30], "name = 'tiny'".into());
        report.parameters = vec![column("train.learning_rate", false), column("model.head", true)];
        report.trials = vec![
            trial(0, 0.1, &[Some(2.0)]),
            trial(1, 0.2, &[Some(2.5), Some(1.5)]),
            trial(2, 0.3, &[None]),
            trial(3, 0.4, &[Some(1.0)]),
        ];
        report.best = Some(1);
        report
    }

    #[test]
    fn who_went_furthest_comes_first_and_who_diverged_last() {
        let numbers: Vec<u64> = report().ranked().iter().map(|trial| trial.number).collect();
        assert_eq!(numbers, [1, 3, 0, 2]);
    }

    #[test]
    fn the_page_has_every_picture_and_no_foreign_markup() {
        let html = report().html();
        for id in ["losses-title", "importance", "parallel", "over-1-title", "over-2-title", "trials"] {
            assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert_eq!(html.matches("class=\"thread").count(), 3, "one that diverged has no loss to lead to");
        assert!(!html.contains("<b>") && !html.contains("<script"));
        assert!(SweepReport::new("x", &[1], String::new()).html().contains("</html>"));
    }
}
