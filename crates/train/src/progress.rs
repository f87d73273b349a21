//! What a run shows and writes down: a bar on a terminal, lines otherwise, one JSON line a step in the
//! run folder, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use wardsmith_model::weights::write_atomically;

use crate::error::{Error, Result};
use crate::tfevents::EventFile;

/// One line of `metrics.jsonl`: a step, or an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Optimiser steps made.
    pub step: u64,
    /// Mean training loss of the step, nats per supervised token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_nats: Option<f64>,
    /// Mean loss on the validation data, nats per supervised token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss_nats: Option<f64>,
    /// Learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Gradient norm before clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Tokens read so far.
    pub tokens: u64,
    /// Passes over the data so far.
    pub epoch: f64,
    /// Seconds of training so far, over all sessions of the run.
    pub elapsed_s: f64,
}

/// Reads a run's metrics; lines that are cut off are passed over.
pub fn read_lines(run: &Path) -> Vec<Line> {
    let Ok(file) = File::open(run.join("metrics.jsonl")) else { return Vec::new() };
    BufReader::new(file)
        .lines()
        .map_while(std::result::Result::ok)
        .filter_map(|l| serde_json::from_str(&l).ok())
        .collect()
}

/// The metrics file and the bar.
pub struct Progress {
    path: PathBuf,
    file: File,
    events: EventFile,
    bar: Option<ProgressBar>,
    total: u64,
    spoken: Option<Instant>,
    rate: f64,
    last: Option<(f64, u64)>,
}

impl Progress {
    /// Opens the metrics file, dropping lines past `step` (of a session that was cut off), and shows a bar when asked.
    pub fn open(run: &Path, step: u64, total: u64, show: bool) -> Result<Self> {
        let path = run.join("metrics.jsonl");
        let kept: Vec<Line> = read_lines(run).into_iter().filter(|l| l.step <= step).collect();
        let text: String = kept.iter().map(|l| serde_json::to_string(l).expect("plain data") + "\n").collect();
        write_atomically(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        let events = EventFile::open(run, &kept)?;
        let bar = (show && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(total).with_position(step);
            let template = "{bar:24} {pos}/{len} steps  {msg}";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let spoken = show.then(Instant::now);
        Ok(Self { path, file, events, bar, total, spoken, rate: 0.0, last: None })
    }

    /// Writes one line and shows where the run stands.
    pub fn record(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line).expect("plain data");
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|e| Error::io("write", &self.path, e))?;
        self.events.append(line)?;
        if let Some((elapsed, tokens)) = self.last.replace((line.elapsed_s, line.tokens))
            && line.elapsed_s > elapsed
            && line.tokens > tokens
        {
            let now = (line.tokens - tokens) as f64 / (line.elapsed_s - elapsed);
            self.rate = if self.rate == 0.0 { now } else { 0.9 * self.rate + 0.1 * now };
        }
        self.show(line);
        Ok(())
    }

    fn show(&mut self, line: &Line) {
        let left = line.elapsed_s / line.step.max(1) as f64 * self.total.saturating_sub(line.step) as f64;
        let loss = match (line.loss_nats, line.validation_loss_nats) {
            (_, Some(v)) => format!("validation loss {v:.4}"),
            (Some(l), None) => format!("loss {l:.4}"),
            _ => String::new(),
        };
        let left = format!("{}m{:02}s", left as u64 / 60, left as u64 % 60);
        let message = format!("{loss}  {:.0} tokens/s  epoch {:.2}  {left} left", self.rate, line.epoch);
        if let Some(bar) = &self.bar {
            bar.set_position(line.step);
            bar.set_message(message);
            if line.validation_loss_nats.is_some() {
                bar.println(format!("step {}: {loss}", line.step));
            }
        } else if let Some(spoken) = self.spoken
            && (line.validation_loss_nats.is_some() || spoken.elapsed() >= Duration::from_secs(10))
        {
            self.spoken = Some(Instant::now());
            say(&format!("step {}/{}  {message}", line.step, self.total));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Without a terminal there is no bar; a line now and then goes to standard error instead.
fn say(text: &str) {
    // A closed standard error is no reason to stop training.
    let _ = writeln!(std::io::stderr(), "{text}");
}
