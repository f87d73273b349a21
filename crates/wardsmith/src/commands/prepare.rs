//! `wardsmith prepare`: feeds → dataset.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use wardsmith_records::dataset::{Dataset, check_target};
use wardsmith_records::manifest::Report;
use wardsmith_records::prepare::{PrepareOptions, Progress, prepare};

use crate::cli;
use crate::recipe::{PrepareRecipe, Recipe};
use crate::say::{self, count};

/// Runs the command.
pub(crate) fn run(args: &cli::Prepare) -> Result<()> {
    let recipe = match &args.recipe {
        Some(path) => Recipe::load(path, &args.set)?,
        None => from_flags(args)?,
    };
    let seed = recipe.seed;
    let Some(recipe) = recipe.prepare else {
        bail!("the recipe has no [prepare] table\nhint: it says sources, task and dates; see recipes/");
    };
    say::note(format_args!("preparing {} from {}", recipe.tasks.join(", "), sources(&recipe)));
    let dataset = make(&recipe, seed, &args.out, args.overwrite)?;
    for line in summary(&dataset.manifest.report) {
        say::result(line);
    }
    say::note(format_args!("wrote {}", args.out.display()));
    Ok(())
}

fn sources(recipe: &PrepareRecipe) -> String {
    recipe.sources.iter().map(|(name, path)| format!("{name}={}", path.display())).collect::<Vec<_>>().join(", ")
}

/// A recipe out of flags alone: the defaults of every key but the named ones.
fn from_flags(args: &cli::Prepare) -> Result<Recipe> {
    let mut sets = vec!["name=prepare".to_owned()];
    for source in &args.source {
        let (name, path) = source
            .split_once('=')
            .with_context(|| format!("`--source {source}` is not NAME=PATH\nhint: such as --source nvd=feeds/nvd"))?;
        let key = format!("prepare.sources.{name}=");
        if sets.iter().any(|set| set.starts_with(&key)) {
            bail!("--source {name} is given twice\nhint: put its files into one folder and name that");
        }
        sets.push(format!("{key}{}", serde_json::to_string(path)?));
    }
    if !args.task.is_empty() {
        sets.push(format!("prepare.tasks={}", serde_json::to_string(&args.task)?));
    }
    sets.extend(args.set.iter().cloned());
    Ok(Recipe::parse("", "(flags)", &sets)?)
}

/// Makes a dataset as a recipe says.
pub(crate) fn make(recipe: &PrepareRecipe, seed: u64, out: &Path, overwrite: bool) -> Result<Dataset> {
    check_target(out, overwrite)?;
    let sources: Vec<(String, PathBuf)> = recipe.sources.clone().into_iter().collect();
    let mut options = PrepareOptions::new(sources, recipe.tasks.clone(), recipe.validation_from, recipe.test_from);
    options.min_train_examples = recipe.min_train_examples;
    options.near_duplicate_threshold = recipe.near_duplicate_similarity;
    options.max_reject_rate = recipe.max_reject_rate;
    options.caps.train = recipe.max_examples.train;
    options.caps.validation = recipe.max_examples.validation;
    options.caps.test = recipe.max_examples.test;
    options.caps.seed = seed;
    let bar = say::bar(1, "reading");
    let dataset = prepare(&options, out, overwrite, &|progress| show(&bar, progress));
    bar.finish_and_clear();
    Ok(dataset?)
}

fn show(bar: &ProgressBar, progress: Progress<'_>) {
    match progress {
        Progress::Reading { done_bytes, total_bytes } => {
            bar.set_length(total_bytes);
            bar.set_position(done_bytes);
        }
        Progress::Grouping { texts } => bar.set_message(format!("grouping {}", count(texts as u64))),
        Progress::Making { task } => bar.set_message(format!("making {task}")),
    }
}

/// What was counted, a line each.
pub(crate) fn summary(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, source) in &report.sources {
        let rejected: u64 = source.rejected.values().sum();
        let withdrawn: u64 = source.withdrawn.values().sum();
        lines.push(format!(
            "source {name}: {} records, {} rejected, {} withdrawn",
            count(source.records),
            count(rejected),
            count(withdrawn)
        ));
        lines.extend(source.rejected.iter().map(|(reason, n)| format!("  rejected {}: {reason:?}", count(*n))));
    }
    let (merge, groups, split) = (&report.merge, &report.groups, &report.split);
    lines.push(format!("described CVEs: {}", count(merge.described)));
    lines.push(format!("with a CWE source label: {}", count(merge.with_cwe)));
    lines.push(format!(
        "near-duplicate groups: {} of several descriptions, {} descriptions in them",
        count(groups.groups_of_several),
        count(groups.members_of_several)
    ));
    for (kind, reasons) in &split.left_out {
        lines.extend(reasons.iter().map(|(reason, n)| format!("{kind} left out, {reason}: {}", count(*n))));
    }
    lines.push(format!("leaks between splits: {}", split.leaks));
    for (task, counts) in &report.tasks {
        let splits = counts.examples.iter().map(|(split, n)| format!("{} {}", split.name(), count(*n)));
        let splits = splits.collect::<Vec<_>>().join(", ");
        lines.push(format!("task {task}: {splits}; {} labels", counts.labels));
        lines.extend(counts.left_out.iter().map(|(reason, n)| format!("  left out {}: {reason}", count(*n))));
    }
    lines
}
