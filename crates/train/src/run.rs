//! The loop: steps, evaluations, checkpoints, early stopping, and a clean end on request.

use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wardsmith_model::Batch;
use wardsmith_vault::Key;

use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::progress::{Line, Progress};
use crate::resume::{Checkpoints, State};
use crate::schedule::Schedule;
use crate::step::Trainer;
use crate::world::{self, World, agree, any};

/// How a run goes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Learning rates; its `total_steps` is the run's length.
    pub schedule: Schedule,
    /// Evaluate every so many steps; 0 for only at the end.
    pub eval_every_steps: u64,
    /// Save every so many steps; 0 for only at the end.
    pub save_every_steps: u64,
    /// Stop after so many evaluations without improvement; 0 for never.
    pub patience: u32,
    /// Identifies recipe, data and base; a checkpoint with another one is not resumed.
    pub fingerprint: String,
    /// Show a bar or lines.
    pub show_progress: bool,
    /// Seals the checkpoints, and opens them again.
    pub key: Option<Key>,
    /// Evaluate, save and pause after this step; the schedule is that of the whole run.
    pub pause_at_step: Option<u64>,
}

/// Who looks on while a run goes. An [`AtomicBool`] is a watch that only stops it.
pub trait Watch {
    /// Asked before each step, on every rank: whether to save and stop. One that says so stops all.
    fn stop(&self) -> bool;
    /// Told after each evaluation, on the rank that leads, when its line stands in `metrics.jsonl`.
    fn evaluated(&self) {}
}

impl Watch for AtomicBool {
    fn stop(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// All steps were made.
    Finished,
    /// Validation stopped improving.
    EarlyStop,
    /// It was asked to stop; the state is saved.
    Interrupted,
    /// It reached the step at which it was to pause; the state is saved.
    Paused,
}

/// What a run leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Where it stood then.
    pub state: State,
}

struct Run<'a> {
    trainer: &'a mut Trainer,
    validation: &'a [Batch],
    options: &'a RunOptions,
    world: Rc<dyn World>,
    checkpoints: Checkpoints,
    /// Of the rank that leads.
    progress: Option<Progress>,
    state: State,
}

/// Trains until the end, early stopping, the pause, or `watch` says stop. Goes on from the run folder's checkpoint if there is
/// one, with as many ranks as there are now. Only the rank that leads touches the folder; what stops one rank stops all.
///
/// After a finished run the trainer's model holds the best weights (by validation loss), or the last without validation data.
pub fn run(
    trainer: &mut Trainer,
    feed: &mut dyn Feed,
    validation: &[Batch],
    folder: &Path,
    options: &RunOptions,
    watch: &dyn Watch,
) -> Result<Outcome> {
    let world = Rc::clone(&trainer.world);
    world::same(&*world, "fingerprints (recipe, dataset, base)", options.fingerprint.as_bytes())?;
    let checkpoints = Checkpoints::new(folder, options.key.clone());
    agree(&*world, if world.leads() { checkpoints.make_folder() } else { Ok(()) })?;
    let mut state = State::start(options.fingerprint.clone());
    if let Some(saved) = checkpoints.state(&*world)? {
        if saved.fingerprint != options.fingerprint {
            let reason = "it belongs to another recipe, dataset or base model".to_owned();
            return Err(Error::Checkpoint { path: folder.to_path_buf(), reason });
        }
        checkpoints.restore(&saved, trainer)?;
        agree(&*world, feed.seek(saved.cursor()))?;
        state = saved;
    }
    let open = || Progress::open(folder, state.step, options.schedule.total_steps, options.show_progress);
    let progress = agree(&*world, world.leads().then(open).transpose())?;
    let mut run = Run { trainer, validation, options, world, checkpoints, progress, state };
    let ending = run.go(feed, watch)?;
    if let Some(progress) = &run.progress {
        progress.finish();
    }
    if matches!(ending, Ending::Finished | Ending::EarlyStop) && !validation.is_empty() {
        run.checkpoints.restore_best(run.trainer)?;
    }
    Ok(Outcome { ending, state: run.state })
}

impl Run<'_> {
    fn go(&mut self, feed: &mut dyn Feed, watch: &dyn Watch) -> Result<Ending> {
        let total = self.options.schedule.total_steps;
        let pause = self.options.pause_at_step.filter(|pause| *pause < total);
        while self.state.step < total {
            if self.exhausted() {
                return Ok(Ending::EarlyStop);
            }
            if pause.is_some_and(|pause| self.state.step >= pause) {
                return Ok(Ending::Paused);
            }
            if any(&*self.world, watch.stop())? {
                self.save()?;
                return Ok(Ending::Interrupted);
            }
            let line = self.step(feed)?;
            self.record(&line)?;
            let last = self.state.step == total || pause == Some(self.state.step);
            if last || due(self.state.step, self.options.eval_every_steps) {
                self.evaluate(feed)?;
                if self.world.leads() {
                    watch.evaluated();
                }
            }
            if last || due(self.state.step, self.options.save_every_steps) || self.exhausted() {
                self.save()?;
            }
        }
        Ok(if self.exhausted() { Ending::EarlyStop } else { Ending::Finished })
    }

    fn exhausted(&self) -> bool {
        self.options.patience > 0 && self.state.stale_evaluations >= self.options.patience
    }

    fn step(&mut self, feed: &mut dyn Feed) -> Result<Line> {
        let begun = Instant::now();
        let number = self.state.step + 1;
        let rate = self.options.schedule.rate(number);
        let packs = feed.next_share(self.world.rank(), self.world.size());
        let report = self.trainer.step(&packs, rate, number)?;
        let cursor = feed.cursor();
        self.state.step = number;
        (self.state.epoch, self.state.position) = (cursor.epoch, cursor.position);
        self.state.tokens += report.tokens as u64;
        self.state.elapsed_s += begun.elapsed().as_secs_f64();
        Ok(Line {
            loss_nats: Some(report.loss_nats),
            learning_rate: Some(rate),
            grad_norm: Some(report.grad_norm),
            ..self.line(feed)
        })
    }

    fn record(&mut self, line: &Line) -> Result<()> {
        let recorded = self.progress.as_mut().map_or(Ok(()), |progress| progress.record(line));
        agree(&*self.world, recorded)
    }

    fn line(&self, feed: &dyn Feed) -> Line {
        let state = &self.state;
        Line {
            step: state.step,
            tokens: state.tokens,
            epoch: feed.epochs_done(),
            elapsed_s: state.elapsed_s,
            ..Line::default()
        }
    }

    fn evaluate(&mut self, feed: &dyn Feed) -> Result<()> {
        if self.validation.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let loss = self.trainer.evaluate(self.validation)?;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "validation loss", step: self.state.step, value: loss });
        }
        if self.state.best.is_none_or(|(best, _)| loss < best) {
            self.lead(|run| run.checkpoints.save_best(&run.trainer.model))?;
            self.state.best = Some((loss, self.state.step));
            self.state.stale_evaluations = 0;
        } else {
            self.state.stale_evaluations += 1;
        }
        self.state.elapsed_s += begun.elapsed().as_secs_f64();
        self.record(&Line { validation_loss_nats: Some(loss), ..self.line(feed) })
    }

    fn save(&self) -> Result<()> {
        self.lead(|run| run.checkpoints.save(&run.state, &run.trainer.model, &run.trainer.optimiser))
    }

    /// Has the rank that leads write the weights, once it is known that all ranks have the same.
    fn lead(&self, write: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if self.world.size() > 1 {
            self.trainer.check_alike()?;
        }
        agree(&*self.world, if self.world.leads() { write(self) } else { Ok(()) })
    }
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
