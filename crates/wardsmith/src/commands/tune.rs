//! `wardsmith tune`: recipe + dataset + base → run folder with metrics, checkpoints, curves and the model.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, bail};
use wardsmith_model::weights::Precision;
use wardsmith_model::{adapter, checkpoint};
use wardsmith_train::run::{Ending, Watch};
use wardsmith_train::world::{World, agree, from_first};

use crate::estimate::Estimate;
use crate::job::{Done, Going, Job, Plan, RECIPE};
use crate::ranks::{self, one_after_the_other};
use crate::recipe::{Recipe, Start};
use crate::report::run::RunReport;
use crate::say::{self, Interrupted, count};
use crate::{cli, interrupt, machine, resolved};

/// Runs the command.
pub(crate) fn run(args: &cli::Tune, world: &Rc<dyn World>) -> Result<()> {
    let Some(out) = args.resume.as_ref().or(args.out.as_ref()) else {
        bail!("a recipe and --out are needed, or --resume RUN");
    };
    let text = from_first(&**world, || Ok::<_, anyhow::Error>(recipe(args, out)?.to_toml().into_bytes()))?;
    let recipe = Recipe::parse(&String::from_utf8(text)?, "the recipe", &[])?;
    tune(&recipe, out, args.force, world)
}

/// The recipe of a new run, or of the one to go on with.
fn recipe(args: &cli::Tune, out: &Path) -> Result<Recipe> {
    match &args.recipe {
        Some(path) if args.resume.is_none() => {
            let mut sets = args.set.clone();
            if let Some(data) = &args.data {
                sets.push(format!("train.dataset={}", serde_json::to_string(data)?));
            }
            let recipe = Recipe::load(path, &sets)?;
            check_new(out)?;
            Ok(recipe)
        }
        _ => Ok(Recipe::load(&out.join(RECIPE), &[])?),
    }
}

/// Fails where the folder already holds a run.
fn check_new(out: &Path) -> Result<()> {
    if out.join(RECIPE).exists() {
        let shown = out.display();
        bail!(
            "`{shown}` already holds a run\nhint: go on with `wardsmith tune --resume {shown}`, or choose another --out"
        );
    }
    Ok(())
}

/// Stops on Ctrl-C, and keeps the run's page fresh.
struct Fresh<'a> {
    report: RunReport,
    out: &'a Path,
}

impl Fresh<'_> {
    fn write(&self) {
        if let Err(error) = self.report.write_to(self.out) {
            say::note(format_args!("warning: no report.html: {error:#}"));
        }
    }
}

impl Watch for Fresh<'_> {
    fn stop(&self) -> bool {
        interrupt::flag().load(std::sync::atomic::Ordering::Relaxed)
    }

    fn evaluated(&self) {
        self.write();
    }
}

/// Trains as the recipe says, in the run folder `out`; goes on where a checkpoint there ends. With `force` even where the
/// memory will not do. All ranks train; the one that leads writes.
pub(crate) fn tune(recipe: &Recipe, out: &Path, force: bool, world: &Rc<dyn World>) -> Result<()> {
    let plan = one_after_the_other(&**world, || Plan::new(recipe, &out.join("shards")))?;
    let (job, estimate) = agree(&**world, load(plan, out, force, world))?;
    let watch = Fresh { report: RunReport::new(recipe, &estimate), out };
    let begun = Instant::now();
    let done = job.train(out, Going { pause_at_step: None, show_progress: true }, &watch)?;
    say_how_it_went(&done, begun);
    let state = &done.outcome.state;
    if done.outcome.ending == Ending::Interrupted {
        if world.leads() {
            watch.write();
        }
        let text = format!("stopped at step {}; go on with: wardsmith tune --resume {}", state.step, out.display());
        return Err(Interrupted(text).into());
    }
    if done.outcome.ending == Ending::EarlyStop {
        say::note("stopped early: the validation loss no longer falls");
    }
    if let Some((loss, step)) = state.best {
        say::note(format_args!("best validation loss {loss:.4} nats at step {step}"));
    }
    agree(&**world, if world.leads() { finish(recipe, done, estimate, out) } else { Ok(()) })
}

/// Loads what was planned, and says what it takes.
fn load<'a>(plan: Plan<'a>, out: &Path, force: bool, world: &Rc<dyn World>) -> Result<(Job<'a>, Estimate)> {
    plan.check_shares(world.size())?;
    let (setting, estimate) = plan.estimate()?;
    let estimate = estimate.shared(world.size(), ranks::on_this_machine(&**world));
    say::note(estimate.sentence());
    if !force {
        estimate.check(&setting)?;
    }
    let job = plan.load(out, world)?;
    job.announce();
    if world.leads() {
        estimate.write(out)?;
    }
    Ok((job, estimate))
}

/// Writes the model, and the run's page with what it came to.
fn finish(recipe: &Recipe, done: Done, estimate: Estimate, out: &Path) -> Result<()> {
    save(recipe, done, out)?;
    let estimate = estimate.measured();
    estimate.write(out)?;
    Fresh { report: RunReport::new(recipe, &estimate), out }.write();
    if let Some(peak) = estimate.peak_bytes {
        say::note(format_args!("it took at most {} of memory", machine::bytes(peak)));
    }
    Ok(())
}

fn say_how_it_went(done: &Done, begun: Instant) {
    let state = &done.outcome.state;
    let over_all = begun.elapsed().as_secs_f64() + 1.0 < state.elapsed_s;
    say::note(format_args!(
        "{} steps, {} tokens in {:.0} s{}, {:.0} tokens/s",
        count(state.step),
        count(state.tokens),
        state.elapsed_s,
        if over_all { " over all sessions" } else { "" },
        state.tokens as f64 / state.elapsed_s.max(1e-9),
    ));
}

/// Writes `model/` (complete, in Hugging Face layout) and, for LoRA, `adapter/` (PEFT's layout).
pub(crate) fn save(recipe: &Recipe, done: Done, out: &Path) -> Result<()> {
    let Done { model, renderer, manifest, .. } = done;
    if let Some(lora) = &recipe.lora {
        let base = match recipe.model.as_ref().map(|m| &m.start) {
            Some(Start::Base(base)) => base.display().to_string(),
            _ => String::new(),
        };
        let folder = out.join("adapter");
        adapter::save(&model, &resolved::lora_config(lora), &base, &folder)?;
        renderer.save_to(&folder)?;
        manifest.write(&folder)?;
        say::result(format_args!("adapter: {}", folder.display()));
    }
    let folder = out.join("model");
    let precision = recipe.train.as_ref().map_or(Precision::F32, |t| resolved::precision(t.precision));
    checkpoint::save(&model, &folder, precision)?;
    renderer.save_to(&folder)?;
    manifest.write(&folder)?;
    say::result(format_args!("model: {}", folder.display()));
    Ok(())
}
