//! The page of a run: its curves, its recipe and where it ran. It is made anew at each evaluation and at the end, of
//! `metrics.jsonl` and nothing else that changes.

use std::path::Path;

use anyhow::{Context as _, Result};
use wardsmith_model::weights::write_atomically;
use wardsmith_train::progress::{Line, read_lines};

use super::markup::{Element, el, text_in};
use super::page::document;
use super::plot::{Axis, Mark, Plot, Points, Series};
use super::{CurvePoint, curve, facts, words};
use crate::estimate::Estimate;
use crate::machine;
use crate::recipe::Recipe;

/// What stands on the page beside the curves.
pub(crate) struct RunReport {
    title: String,
    recipe: String,
    facts: Vec<(String, String)>,
}

impl RunReport {
    /// Of a run of `recipe`.
    pub(crate) fn new(recipe: &Recipe, estimate: &Estimate) -> Self {
        let mut facts = vec![
            ("Made by".to_owned(), concat!("wardsmith ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("Threads".to_owned(), rayon::current_num_threads().to_string()),
        ];
        facts.extend(machine::processor().map(|name| ("Processor".to_owned(), name)));
        facts.push(("System".to_owned(), format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH)));
        facts.push(("Expected".to_owned(), estimate.sentence()));
        facts.extend(estimate.peak_bytes.map(|peak| ("Memory at most".to_owned(), machine::bytes(peak))));
        Self { title: recipe.name.clone(), recipe: recipe.to_toml(), facts }
    }

    /// Writes `report.html` into the run folder, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write_to(&self, run: &Path) -> Result<()> {
        let path = run.join("report.html");
        write_atomically(&path, self.html(&read_lines(run)).as_bytes())
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// The page.
    fn html(&self, lines: &[Line]) -> String {
        let header = el("header")
            .child(text_in("h1", format!("Run {}", self.title)))
            .child(text_in("p", "A training run; this page is made anew at each evaluation.").class("about"))
            .child(tiles(lines));
        let environment = el("section")
            .with("id", "environment")
            .child(text_in("h2", "Environment"))
            .child(facts::pairs(&self.facts));
        let recipe = el("section")
            .with("id", "recipe")
            .child(text_in("h2", "Resolved recipe"))
            .child(text_in("pre", &self.recipe));
        let main = el("main").children(curves(lines)).child(environment).child(recipe);
        document(&self.title, header, main, "The numbers behind this page stand beside it in metrics.jsonl.")
    }
}

/// Where the run stands, in large.
fn tiles(lines: &[Line]) -> Element {
    let tile = |name: &str, value: String, note: String| {
        el("li").child(text_in("span", name)).child(text_in("strong", value)).child(text_in("small", note))
    };
    let best = lines.iter().filter_map(|l| Some((l.validation_loss_nats?, l.step)));
    let best = best.min_by(|left, right| left.0.total_cmp(&right.0));
    let mut tiles = Vec::new();
    if let Some((loss, step)) = best {
        let at = format!("nats per token, at step {}", words::count(step));
        tiles.push(tile("Best validation loss", words::decimals(loss, 4), at));
    }
    if let Some(loss) = lines.iter().rev().find_map(|line| line.loss_nats) {
        tiles.push(tile("Training loss", words::decimals(loss, 4), "nats per token, of the last step".into()));
    }
    if let Some(last) = lines.last() {
        let passes = format!("{} epochs, {} tokens", words::decimals(last.epoch, 2), words::count(last.tokens));
        tiles.push(tile("Steps", words::count(last.step), passes));
        let rate = last.tokens as f64 / last.elapsed_s.max(1e-9);
        let time = format!("over all of {}", machine::duration(last.elapsed_s));
        tiles.push(tile("Tokens a second", words::count(rate as u64), time));
    }
    el("ul").class("tiles").children(tiles)
}

/// The sections with pictures.
fn curves(lines: &[Line]) -> Vec<Element> {
    let point = |line: &Line| CurvePoint {
        step: line.step,
        train_loss: line.loss_nats,
        validation_loss: line.validation_loss_nats,
    };
    let losses: Vec<CurvePoint> = lines.iter().map(point).collect();
    let rate = "How far a step goes: it rises, then falls as the recipe says.";
    let norm = "The length of the gradient before it is cut to the recipe's limit.";
    let speed = "Of each step; evaluations are not counted.";
    let others = [
        over_steps("rate", ("Learning rate", "rate"), of_steps(lines, |l| l.learning_rate), rate),
        over_steps("norm", ("Gradient norm", "norm"), of_steps(lines, |l| l.grad_norm), norm),
        over_steps("speed", ("Speed", "tokens/s"), speeds(lines), speed),
    ];
    curve::section(&losses).into_iter().chain(others.into_iter().flatten()).collect()
}

fn over_steps(
    id: &'static str,
    (title, unit): (&'static str, &'static str),
    points: Points,
    summary: &str,
) -> Option<Element> {
    let plot = Plot {
        id,
        title: format!("{title} over steps"),
        x: Axis { title: "step", log: false },
        y: Axis { title: unit, log: false },
        series: vec![Series { name: title.to_lowercase(), points, mark: Mark::Line }],
    };
    Some(el("section").child(text_in("h2", title)).child(plot.figure(summary)?))
}

fn of_steps(lines: &[Line], value: impl Fn(&Line) -> Option<f64>) -> Points {
    lines.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect()
}

/// Tokens a second of each step.
fn speeds(lines: &[Line]) -> Points {
    let between = |pair: &[Line]| {
        let (seconds, tokens) = (pair[1].elapsed_s - pair[0].elapsed_s, pair[1].tokens.saturating_sub(pair[0].tokens));
        (tokens > 0 && seconds > 0.0).then(|| (pair[1].step as f64, tokens as f64 / seconds))
    };
    lines.windows(2).filter_map(between).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[Line]) -> String {
        let report = RunReport { title: "<tiny>".into(), recipe: "name = \"<x>\"".into(), facts: Vec::new() };
        report.html(lines)
    }

    #[test]
    fn a_run_has_all_its_curves_and_nothing_of_it_becomes_markup() {
        let step = |step: u64| Line {
            step,
            loss_nats: Some(2.0),
            learning_rate: Some(1e-3),
            grad_norm: Some(0.5),
            tokens: step * 100,
            elapsed_s: step as f64,
            validation_loss_nats: None,
            epoch: 0.1,
        };
        let html = page(&[step(1), step(2), step(3)]);
        for id in ["curve-title", "rate-title", "norm-title", "speed-title"] {
            assert!(html.contains(id), "{id}");
        }
        assert!(!html.contains("<tiny>") && !html.contains("<x>") && !html.contains("<script"));
        assert!(page(&[]).contains("</html>"), "a run without a step has a page too");
    }
}
