//! What an evaluation leaves behind: `report.json` for machines, and beside it one self-contained `report.html` for
//! people, without scripts or anything from elsewhere.
//!
//! The page is made of the same numbers and nothing else. `report/page` is its table of contents; `report/markup`
//! escapes whatever it is given.

pub(crate) mod compare;
mod confusion;
mod curve;
mod facts;
mod markup;
mod page;
mod plot;
pub(crate) mod run;
pub(crate) mod sweep;
mod tables;
mod words;
mod wrong;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use wardsmith_eval::evaluate::{Comparison, SystemResult};
use wardsmith_model::weights::write_atomically;
use wardsmith_records::manifest::Manifest;

pub(crate) use wrong::draw_wrong;

/// The `format` of every report.
pub(crate) const FORMAT: &str = "wardsmith-report";
/// The version of `report.json` that this code reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The page's title.
    pub title: String,
    /// The task that was evaluated.
    pub task: String,
    /// The split whose examples were answered.
    pub split: String,
    /// The name of the system that the report is about, such as `tuned`.
    pub main_system: String,
    /// Every system, in the order of columns.
    pub systems: Vec<SystemResult>,
    /// Paired differences; the summary shows the first metric of each.
    pub comparisons: Vec<Comparison>,
    /// Titles of labels, such as `Cross-site Scripting` for `CWE-79`.
    pub titles: BTreeMap<String, String>,
    /// The losses of the run that made the main system; empty where it is not known.
    pub curve: Vec<CurvePoint>,
    /// Wrong answers of the main system, drawn by [`draw_wrong`].
    pub wrong: Vec<WrongAnswer>,
    /// The dataset's manifest, without the lists of files inside inputs.
    pub dataset: Option<Manifest>,
    /// Facts of the run, in the order in which they are shown: model, machine, time, speed.
    pub facts: Vec<(String, String)>,
    /// The resolved recipe as TOML.
    pub recipe: Option<String>,
}

/// The losses at one step, in nats per supervised token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CurvePoint {
    /// Steps of the optimiser so far.
    pub step: u64,
    /// Of the step's own examples.
    pub train_loss: Option<f64>,
    /// Of the validation examples, where they were looked at.
    pub validation_loss: Option<f64>,
}

/// A wrong answer to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WrongAnswer {
    /// The example.
    pub id: String,
    /// What was to be classified.
    pub text: String,
    /// The right label.
    pub truth: String,
    /// The label that was answered; `None` where none could be read.
    pub answer: Option<String>,
    /// The likeliest labels, best first; empty for systems that give no probabilities.
    pub top: Vec<Scored>,
    /// How many labels were scored.
    pub scored: usize,
}

/// A label with its probability among all labels that were scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// The label.
    pub label: String,
    /// 0..=1.
    pub probability: f64,
}

impl Report {
    /// A report of `systems` on `task`, with everything else empty. The first system is the main one.
    #[must_use]
    pub(crate) fn new(title: &str, task: &str, split: &str, systems: Vec<SystemResult>) -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            title: title.into(),
            task: task.into(),
            split: split.into(),
            main_system: systems.first().map(|system| system.name.clone()).unwrap_or_default(),
            systems,
            comparisons: Vec::new(),
            titles: BTreeMap::new(),
            curve: Vec::new(),
            wrong: Vec::new(),
            dataset: None,
            facts: Vec::new(),
            recipe: None,
        }
    }

    /// Adds the dataset's facts.
    pub(crate) fn set_dataset(&mut self, manifest: &Manifest) {
        let mut manifest = manifest.clone();
        for input in &mut manifest.report.inputs {
            input.members.clear();
            input.skipped.clear();
        }
        self.dataset = Some(manifest);
    }

    /// Writes `report.json` and `report.html` into `folder`, which is made where it does not exist. Each file is
    /// complete or not there at all.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        let mut json = serde_json::to_vec_pretty(self).context("the report cannot be written as JSON")?;
        json.push(b'\n');
        write_atomically(&folder.join("report.json"), &json)?;
        write_atomically(&folder.join("report.html"), self.to_html().as_bytes())?;
        Ok(())
    }

    /// Reads the `report.json` of `folder`.
    ///
    /// # Errors
    /// Where it is missing, is no report, or comes from a version that this one does not know.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
            format_version: u32,
        }
        let path = folder.join("report.json");
        let shown = path.display();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{shown}`\nhint: `wardsmith eval --out DIR` writes one"))?;
        let format: Format = serde_json::from_str(&text)
            .with_context(|| format!("`{shown}` is not a report\nhint: name a folder that `wardsmith eval` wrote"))?;
        if format.format != FORMAT || format.format_version != FORMAT_VERSION {
            anyhow::bail!(
                "`{shown}` has format `{}` version `{}`\nhint: this version reads `{FORMAT}` version `{FORMAT_VERSION}`",
                format.format,
                format.format_version
            );
        }
        serde_json::from_str(&text).with_context(|| format!("`{shown}` is damaged\nhint: run `wardsmith eval` again"))
    }

    /// The page.
    #[must_use]
    pub(crate) fn to_html(&self) -> String {
        page::html(self)
    }

    fn main(&self) -> Option<&SystemResult> {
        self.systems.iter().find(|system| system.name == self.main_system)
    }

    /// The label's title; empty where there is none.
    fn title_of(&self, label: &str) -> &str {
        self.titles.get(label).map_or("", String::as_str)
    }

    /// The label with its title.
    fn titled(&self, label: &str) -> String {
        match self.title_of(label) {
            "" => label.to_owned(),
            title => format!("{label} {title}"),
        }
    }
}

#[cfg(test)]
mod tests;
