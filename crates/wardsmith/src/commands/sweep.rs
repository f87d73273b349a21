//! `wardsmith sweep`: searches what a recipe's table `sweep` names → a study, its pages, and the best recipe.
//!
//! The trials are runs as `tune` makes them. Any number of processes may work on one study; each does what is left to do.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use wardsmith_model::weights::write_atomically;
use wardsmith_train::Error as TrainError;
use wardsmith_train::run::{Ending, Watch};
use wardsmith_train::sweep::importance::importance;
use wardsmith_train::sweep::study::{Report, observations};
use wardsmith_train::sweep::{Claim, Dimension, Halving, Job, Plan, Sampler, Space, Study, Trial};
use wardsmith_train::world::{Alone, World, agree};

use crate::job::{self, Going};
use crate::ranks::one_after_the_other;
use crate::recipe::{ParameterRecipe, Recipe, SweepMethod, SweepRecipe};
use crate::report::sweep::{ParameterColumn, SweepReport, TrialRow};
use crate::say::{self, Interrupted, count};
use crate::{cli, interrupt, resolved};

/// The study in a search's folder.
const STUDY: &str = "study.sqlite3";
/// Locked in a trial's folder while somebody runs it.
const LOCK: &str = "lock";
/// The best recipe there.
const BEST: &str = "best.toml";
/// Trials where the recipe names no number.
const TRIALS: u64 = 20;
/// How often a process that has nothing to do asks again.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Runs the command.
pub(crate) fn run(args: &cli::Sweep, world: &dyn World) -> Result<()> {
    let mut sets = args.set.clone();
    if let Some(data) = &args.data {
        sets.push(format!("train.dataset={}", serde_json::to_string(data)?));
    }
    let recipe = Recipe::load(&args.recipe, &sets)?;
    let stop = interrupt::flag();
    let (search, mut study) = one_after_the_other(world, || {
        let search = Search::new(recipe.clone(), &args.out, args.force)?;
        let study = Study::open(&args.out.join(STUDY), &search.plan.fingerprint)?;
        Ok((search, study))
    })?;
    let done = study.trials()?.len();
    if done > 0 {
        say::note(format_args!("going on with a study of {} trials", count(done as u64)));
    }
    // A rank that fails gives its trial back, and the others go on with the study until it is done.
    agree(world, search.work(&mut study, stop))?;
    if world.leads() { search.finish(&mut study) } else { Ok(()) }
}

/// What is searched, ready to run trials.
struct Search {
    /// The recipe without its table `sweep`, as TOML.
    base: String,
    /// With it.
    recipe: Recipe,
    parameters: BTreeMap<String, ParameterRecipe>,
    plan: Plan,
    out: PathBuf,
    owner: String,
    force: bool,
}

impl Search {
    fn new(recipe: Recipe, out: &Path, force: bool) -> Result<Self> {
        let Some(sweep) = &recipe.sweep else {
            bail!("the recipe has no table [sweep]\nhint: name what is searched in [sweep.parameters]; see recipes/");
        };
        if sweep.parameters.is_empty() {
            bail!("nothing is searched\nhint: name a key of the recipe with a range in [sweep.parameters]");
        }
        let base = Recipe { sweep: None, ..recipe.clone() };
        check(&base, &sweep.parameters)?;
        std::fs::create_dir_all(out).with_context(|| format!("cannot create `{}`", out.display()))?;
        let whole = job::Plan::new(&base, &out.join("shards"))?;
        if !whole.validates() {
            bail!("the dataset has no validation examples to choose by\nhint: prepare it with other dates");
        }
        let (_, estimate) = whole.estimate()?;
        say::note(format_args!("a whole trial {}", estimate.sentence()));
        let plan = plan(&recipe, sweep, whole.steps(), &whole.dataset_sha256()?);
        let parameters = sweep.parameters.clone();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let owner = format!("{}-{since}", std::process::id());
        Ok(Self { base: base.to_toml(), recipe, parameters, plan, out: out.to_path_buf(), owner, force })
    }

    /// Claims and runs trials until nothing is left to do.
    fn work(&self, study: &mut Study, stop: &AtomicBool) -> Result<()> {
        self.bury(study)?;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(stopped(&self.out));
            }
            let mut lock = Ok(None);
            match study.claim_with(&self.plan, &self.owner, |job| lock = self.lock(job.trial))? {
                Claim::Finished => return Ok(()),
                Claim::Wait => {
                    std::thread::sleep(ASK_AGAIN);
                    self.bury(study)?;
                }
                Claim::Job(job) => match lock.context("cannot lock the trial's folder")? {
                    Some(_held) => self.trial(study, &job, stop)?,
                    // Its former owner fell silent and still lives. Nobody beats for it now, so it is asked for again.
                    None => std::thread::sleep(ASK_AGAIN),
                },
            }
        }
    }

    /// The system lets go of a dead process's locks: whose trial is running by the study and not locked is gone, and its
    /// trial need not wait until the silence was long enough.
    fn bury(&self, study: &mut Study) -> Result<()> {
        let free = |lock: File| lock.try_lock().is_ok();
        study.abandon(|trial| File::open(self.folder(trial).join(LOCK)).is_ok_and(free))?;
        Ok(())
    }

    /// Makes the trial's folder and locks it; `None` where somebody else has it.
    fn lock(&self, trial: u64) -> std::io::Result<Option<File>> {
        let folder = self.folder(trial);
        std::fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        Ok(lock.try_lock().is_ok().then_some(lock))
    }

    fn folder(&self, trial: u64) -> PathBuf {
        self.out.join("trials").join(trial.to_string())
    }

    /// Runs one trial up to its rung, and writes down what it came to.
    fn trial(&self, study: &mut Study, job: &Job, stop: &AtomicBool) -> Result<()> {
        let folder = self.folder(job.trial);
        let heart = Heart::start(study.path(), job.trial, &self.owner, self.plan.stale_after)?;
        let steps = self.plan.rungs[job.rung];
        let again = if job.taken_over { "goes on" } else { "goes" };
        say::note(format_args!("trial {} {again} to step {}: {}", job.trial, count(steps), self.told(&job.point)));
        let report = self.train(job, &folder, &Beating { stop, heart: &heart });
        drop(heart);
        match report {
            Ok(Some(report)) => {
                let loss = report.loss_nats.map_or(report.note.clone(), |loss| format!("validation loss {loss:.4}"));
                say::note(format_args!("trial {}: {loss} after {} steps", job.trial, count(report.step)));
                if !study.report(job, &self.owner, &report)? {
                    say::note(format_args!("trial {} had been given to another process", job.trial));
                }
                Ok(())
            }
            Ok(None) => {
                study.release(job.trial, &self.owner)?;
                Ok(())
            }
            Err(error) => {
                study.release(job.trial, &self.owner)?;
                Err(error.context(format!("trial {} ({})", job.trial, self.told(&job.point))))
            }
        }
    }

    /// The run itself; `None` where it was stopped.
    fn train(&self, job: &Job, folder: &Path, watch: &dyn Watch) -> Result<Option<Report>> {
        let recipe = self.recipe_of(&job.point)?;
        let plan = job::Plan::new(&recipe, &self.out.join("shards"))?;
        if !self.force {
            let (setting, estimate) = plan.estimate()?;
            estimate.check(&setting)?;
        }
        let last = job.rung + 1 == self.plan.rungs.len();
        let going = Going { pause_at_step: (!last).then(|| self.plan.rungs[job.rung]), show_progress: false };
        // A trial is one process's; the ranks of a search take different ones.
        let alone: Rc<dyn World> = Rc::new(Alone);
        let done = match plan.load(folder, &alone)?.train(folder, going, watch) {
            Ok(done) => done,
            Err(error) => return diverged(error).map(Some),
        };
        let state = &done.outcome.state;
        if done.outcome.ending == Ending::Interrupted {
            return Ok(None);
        }
        let (loss_nats, note) = (state.best.map(|(loss, _)| loss), String::new());
        Ok(Some(Report { step: state.step, loss_nats, elapsed_s: state.elapsed_s, note }))
    }

    /// The recipe of one trial.
    fn recipe_of(&self, point: &[f64]) -> Result<Recipe> {
        let sets = self.parameters.iter().zip(point);
        let sets: Vec<String> = sets.map(|((key, range), value)| format!("{key}={}", written(range, *value))).collect();
        Ok(Recipe::parse(&self.base, "the trial's recipe", &sets)?)
    }

    fn told(&self, point: &[f64]) -> String {
        let one =
            |((key, range), value): ((&String, &ParameterRecipe), &f64)| format!("{key} = {}", written(range, *value));
        self.parameters.iter().zip(point).map(one).collect::<Vec<_>>().join(", ")
    }

    /// Writes table, pages and the best recipe.
    fn finish(&self, study: &mut Study) -> Result<()> {
        let trials = study.trials()?;
        let report = self.report(&trials);
        let best = trials.iter().find(|trial| Some(trial.number) == report.best);
        let recipe = best.map(|trial| self.recipe_of(&trial.point)).transpose()?;
        // Another process may be done at the same moment.
        study.alone(|| -> Result<()> {
            report.write_to(&self.out)?;
            if let (Some(recipe), Some(best)) = (&recipe, best) {
                let loss = best.last().and_then(|report| report.loss_nats).unwrap_or(f64::NAN);
                let text =
                    format!("# Trial {} of a search: validation loss {loss:.4}.\n{}", best.number, recipe.to_toml());
                write_atomically(&self.out.join(BEST), text.as_bytes())?;
            }
            Ok(())
        })??;
        table(&report).iter().for_each(say::result);
        let Some(best) = best else { bail!("every trial diverged\nhint: lower the learning rates") };
        let at = |name: &str| self.out.join(name).display().to_string();
        say::result(format_args!("best: trial {}; recipe: {}", best.number, at(BEST)));
        say::note(format_args!("wrote {}", at("sweep.html")));
        let trial = format!("trials/{}", best.number);
        if best.rung + 1 == self.plan.rungs.len() {
            say::note(format_args!("its model: wardsmith tune --resume {}", at(&trial)));
        }
        Ok(())
    }

    fn report(&self, trials: &[Trial]) -> SweepReport {
        let space = &self.plan.space;
        let mut report = SweepReport::new(&self.recipe.name, &self.plan.rungs, self.recipe.to_toml());
        let shares = importance(space, &observations(trials, self.plan.rungs.len()), self.plan.seed);
        let column = |(at, (key, range)): (usize, (&String, &ParameterRecipe))| ParameterColumn {
            key: key.clone(),
            ends: ends(range),
            log: matches!(range, ParameterRecipe::LogUniform { .. } | ParameterRecipe::Int { log: true, .. }),
            choice: matches!(range, ParameterRecipe::Choice { .. }),
            importance: shares.as_ref().map(|shares| shares[at]),
        };
        report.parameters = self.parameters.iter().enumerate().map(column).collect();
        let row = |trial: &Trial| TrialRow {
            number: trial.number,
            values: self.parameters.values().zip(&trial.point).map(|(range, value)| written(range, *value)).collect(),
            point: trial.point.clone(),
            units: space.to_unit(&trial.point),
            losses: trial.results.iter().map(|(_, report)| report.loss_nats).collect(),
            steps: trial.last().map_or(0, |report| report.step),
            elapsed_s: trial.last().map_or(0.0, |report| report.elapsed_s),
            note: trial.last().map_or(String::new(), |report| report.note.clone()),
        };
        report.trials = trials.iter().filter(|trial| !trial.results.is_empty()).map(row).collect();
        report.best = report.ranked().first().filter(|trial| trial.last().is_some()).map(|trial| trial.number);
        let seconds = report.trials.iter().map(|trial| trial.elapsed_s).sum();
        let method = match self.plan.sampler {
            Sampler::Grid(_) => "every combination of a grid",
            Sampler::Random => "random points",
            Sampler::Tpe => "tree-structured Parzen estimator (Bergstra et al. 2011)",
        };
        let rungs: Vec<String> = self.plan.rungs.iter().map(|steps| count(*steps)).collect();
        report.facts = vec![
            ("Method".into(), method.into()),
            ("Seed".into(), self.plan.seed.to_string()),
            ("Steps at each rung".into(), format!("{}; one of {} goes on", rungs.join(", "), self.plan.factor)),
            ("Training in all".into(), crate::machine::duration(seconds)),
        ];
        report
    }
}

fn stopped(out: &Path) -> anyhow::Error {
    Interrupted(format!("stopped; the same command goes on with the search in {}", out.display())).into()
}

/// A run whose loss is no longer a number is a result; everything else is an error.
fn diverged(error: anyhow::Error) -> Result<Report> {
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::NonFinite { step, .. }) => {
            let (step, told) = (*step, error.to_string());
            let note = format!("diverged: {}", told.lines().next().unwrap_or_default());
            Ok(Report { step, loss_nats: None, elapsed_s: 0.0, note })
        }
        _ => Err(error),
    }
}

/// The plan of a search whose whole runs take `steps`.
fn plan(recipe: &Recipe, sweep: &SweepRecipe, steps: u64, dataset: &str) -> Plan {
    let space = Space { dimensions: sweep.parameters.values().map(dimension).collect() };
    let sampler = match sweep.method {
        SweepMethod::Tpe => Sampler::Tpe,
        SweepMethod::Random => Sampler::Random,
        SweepMethod::Grid => Sampler::Grid(sweep.parameters.values().map(grid_points).collect()),
    };
    let limit = sampler.limit(&space);
    let trials = sweep.trials.map_or(limit.unwrap_or(TRIALS), |trials| trials as u64);
    let halving = sweep.halving.map(|h| Halving { min_steps: h.min_steps as u64, factor: h.factor as u64 });
    // More trials may be asked for later; everything else is a part of what the study is.
    let named = SweepRecipe { trials: None, stale_after_s: 0, ..sweep.clone() };
    let text = Recipe { sweep: Some(named), ..recipe.clone() }.to_toml();
    let fingerprint = resolved::hex(&Sha256::new().chain_update(text).chain_update(dataset).finalize());
    Plan {
        fingerprint,
        space,
        sampler,
        seed: sweep.seed,
        trials: trials.min(limit.unwrap_or(u64::MAX)),
        rungs: halving.map_or_else(|| vec![steps], |halving| halving.rungs(steps)),
        factor: halving.map_or(2, |halving| halving.factor),
        stale_after: Duration::from_secs(sweep.stale_after_s as u64),
    }
}

fn dimension(range: &ParameterRecipe) -> Dimension {
    match range {
        ParameterRecipe::LogUniform { low, high, .. } => Dimension::Float { low: *low, high: *high, log: true },
        ParameterRecipe::Uniform { low, high, .. } => Dimension::Float { low: *low, high: *high, log: false },
        ParameterRecipe::Int { low, high, log, .. } => Dimension::Integer { low: *low, high: *high, log: *log },
        ParameterRecipe::Choice { values } => Dimension::Choice { count: values.len() },
    }
}

fn grid_points(range: &ParameterRecipe) -> usize {
    match range {
        ParameterRecipe::LogUniform { points, .. }
        | ParameterRecipe::Uniform { points, .. }
        | ParameterRecipe::Int { points, .. } => *points,
        ParameterRecipe::Choice { values } => values.len(),
    }
}

/// A value as a recipe has it. Numbers keep six digits: what is searched is not known better, and recipes stay readable.
fn written(range: &ParameterRecipe, value: f64) -> String {
    match range {
        ParameterRecipe::Choice { values } => values.get(value as usize).map_or(String::new(), ToString::to_string),
        ParameterRecipe::Int { .. } => format!("{value:.0}"),
        _ => {
            let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
            format!("{rounded:?}")
        }
    }
}

fn ends(range: &ParameterRecipe) -> [String; 2] {
    let written = |value: Option<&serde_json::Value>| value.map_or(String::new(), ToString::to_string);
    let extremes = range.extremes();
    [written(extremes.first()), written(extremes.last())]
}

/// Every range's ends have to make a recipe, so that a search does not fail at its twentieth trial.
fn check(base: &Recipe, parameters: &BTreeMap<String, ParameterRecipe>) -> Result<()> {
    let text = base.to_toml();
    for (key, range) in parameters {
        for value in range.extremes() {
            let set = format!("{key}={value}");
            Recipe::parse(&text, "the recipe", &[set])
                .with_context(|| format!("the range of `{key}` in [sweep.parameters] leads to a bad recipe"))?;
        }
    }
    Ok(())
}

/// The trials from the best on, for the terminal.
fn table(report: &SweepReport) -> Vec<String> {
    let keys: Vec<String> = report.parameters.iter().map(|p| format!("{:>24}", p.key)).collect();
    let mut lines = vec![format!("{:>6} {:>9} {:>8}{}", "trial", "loss", "steps", keys.join(""))];
    for trial in report.ranked() {
        let values: Vec<String> = trial.values.iter().map(|value| format!("{value:>24}")).collect();
        let loss = trial.last().map_or("diverged".to_owned(), |loss| format!("{loss:.4}"));
        lines.push(format!("{:>6} {loss:>9} {:>8}{}", trial.number, count(trial.steps), values.join("")));
    }
    let shares = report.parameters.iter().filter_map(|p| Some(format!("{} {:.0} %", p.key, p.importance? * 100.0)));
    let shares: Vec<String> = shares.collect();
    if !shares.is_empty() {
        lines.push(format!("variance explained alone: {}", shares.join(", ")));
    }
    lines
}

/// Beats for a trial on a thread of its own, so that a long step is no silence.
struct Heart {
    lost: Arc<AtomicBool>,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    fn start(study: &Path, trial: u64, owner: &str, stale_after: Duration) -> Result<Self> {
        let mut study = Study::connect(study)?;
        let (owner, lost) = (owner.to_owned(), Arc::new(AtomicBool::new(false)));
        let (end, ended) = mpsc::channel::<()>();
        let flag = Arc::clone(&lost);
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(stale_after / 4) == Err(RecvTimeoutError::Timeout) {
                // A study that cannot be written to now may be so again; only a clear answer counts.
                if matches!(study.beat(trial, &owner), Ok(false)) {
                    flag.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        Ok(Self { lost, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell; a panic in it was told on standard error.
            let _ = thread.join();
        }
    }
}

/// Stops a trial on Ctrl-C, or where it belongs to another process now.
struct Beating<'a> {
    stop: &'a AtomicBool,
    heart: &'a Heart,
}

impl Watch for Beating<'_> {
    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.heart.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_a_recipe_reads_them() {
        let log = ParameterRecipe::LogUniform { low: 1e-6, high: 1.0, points: 3 };
        assert_eq!(written(&log, 0.000_012_345_678), "1.23457e-5");
        assert_eq!(written(&log, 1.0), "1.0");
        assert_eq!(written(&ParameterRecipe::Int { low: 1, high: 9, log: false, points: 3 }, 4.0), "4");
        let choice = ParameterRecipe::Choice { values: vec!["linear".into(), serde_json::json!(["a", "b"])] };
        assert_eq!([written(&choice, 0.0), written(&choice, 1.0)], ["\"linear\"", "[\"a\",\"b\"]"]);
    }

    #[test]
    fn a_range_that_makes_no_recipe_is_refused_at_once() {
        let text = "name='x'\n[model]\nbase='m'\n[train]\nepochs=1\n";
        let base = Recipe::parse(text, "r", &[]).unwrap();
        let with = |key: &str, range| BTreeMap::from([(key.to_owned(), range)]);
        let int = |low, high| ParameterRecipe::Int { low, high, log: false, points: 5 };
        assert!(check(&base, &with("train.packs_per_step", int(1, 8))).is_ok());
        let error = check(&base, &with("train.packs_per_step", int(0, 8))).unwrap_err();
        assert!(format!("{error:#}").contains("`train.packs_per_step`"), "{error:#}");
        assert!(check(&base, &with("train.learning_rat", int(1, 8))).is_err());
    }
}
