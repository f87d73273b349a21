//! `wardsmith prepare`: feeds → dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use wardsmith_records::benchmark::OverlapKind;
use wardsmith_records::dataset::{Dataset, Split, check_target};
use wardsmith_records::explain::{Explanation, explain};
use wardsmith_records::manifest::Report;
use wardsmith_records::prepare::{PrepareOptions, Progress, prepare_sealed};
use wardsmith_records::record::RejectReason;
use wardsmith_vault::Key;

use crate::recipe::{Paths, PrepareRecipe, Recipe};
use crate::say::{self, count};
use crate::{cli, keys};

/// Runs the command.
pub(crate) fn run(args: &cli::Prepare) -> Result<()> {
    let recipe = match &args.recipe {
        Some(path) => Recipe::load(path, &args.set)?,
        None => from_flags(args)?,
    };
    let seed = recipe.seed;
    let Some(mut recipe) = recipe.prepare else {
        bail!("the recipe has no [prepare] table\nhint: it says sources, task and dates; see recipes/");
    };
    // A flag makes more private than the recipe does, never less.
    recipe.private.extend(args.private.iter().cloned());
    recipe.private.sort_unstable();
    recipe.private.dedup();
    for benchmark in &args.decontaminate {
        let (name, path) = benchmark.split_once('=').with_context(|| {
            format!("`--decontaminate {benchmark}` is not NAME=PATH\nhint: such as --decontaminate cybermetric=bench/")
        })?;
        recipe.decontaminate.insert(name.to_owned(), PathBuf::from(path));
    }
    if let Some(id) = &args.explain {
        return tell(&explained(&recipe, seed, id)?, args.json);
    }
    let out = args.out.as_deref().expect("the command line asks for it where nothing is explained");
    say::note(format_args!("preparing {} from {}", recipe.tasks.join(", "), sources(&recipe)));
    let dataset = if args.encrypt {
        make_sealed(&recipe, seed, out, args.overwrite)?
    } else {
        make(&recipe, seed, out, args.overwrite)?
    };
    for line in summary(&dataset.manifest.report) {
        say::result(line);
    }
    say::note(format_args!("wrote {}", out.display()));
    Ok(())
}

/// What becomes of the record `id`.
fn explained(recipe: &PrepareRecipe, seed: u64, id: &str) -> Result<Explanation> {
    let bar = say::bar(1, "reading");
    let explanation = explain(&options(recipe, seed), id, &|progress| show(&bar, progress));
    bar.finish_and_clear();
    Ok(explanation?)
}

fn tell(explanation: &Explanation, as_json: bool) -> Result<()> {
    if as_json {
        say::result(serde_json::to_string_pretty(explanation)?);
    } else {
        say::result(explanation.to_string().trim_end());
    }
    Ok(())
}

fn sources(recipe: &PrepareRecipe) -> String {
    let inputs = inputs(recipe);
    inputs.iter().map(|(name, path)| format!("{name}={}", path.display())).collect::<Vec<_>>().join(", ")
}

/// Every path with the source that reads it.
fn inputs(recipe: &PrepareRecipe) -> Vec<(String, PathBuf)> {
    let pairs = |(name, paths): (&String, &Paths)| -> Vec<(String, PathBuf)> {
        paths.0.iter().map(|path| (name.clone(), path.clone())).collect()
    };
    recipe.sources.iter().flat_map(pairs).collect()
}

/// A recipe out of flags alone: the defaults of every key but the named ones.
fn from_flags(args: &cli::Prepare) -> Result<Recipe> {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in &args.source {
        let (name, path) = source
            .split_once('=')
            .with_context(|| format!("`--source {source}` is not NAME=PATH\nhint: such as --source nvd=feeds/nvd"))?;
        paths.entry(name).or_default().push(path);
    }
    let mut sets = vec!["name=prepare".to_owned()];
    for (name, paths) in paths {
        sets.push(format!("prepare.sources.{name}={}", serde_json::to_string(&paths)?));
    }
    if !args.task.is_empty() {
        sets.push(format!("prepare.tasks={}", serde_json::to_string(&args.task)?));
    }
    sets.extend(args.set.iter().cloned());
    Ok(Recipe::parse("", "(flags)", &sets)?)
}

/// Makes a dataset as a recipe says.
pub(crate) fn make(recipe: &PrepareRecipe, seed: u64, out: &Path, overwrite: bool) -> Result<Dataset> {
    make_with(recipe, seed, (out, overwrite), None)
}

/// As [`make`], encrypted with the key of this run.
fn make_sealed(recipe: &PrepareRecipe, seed: u64, out: &Path, overwrite: bool) -> Result<Dataset> {
    make_with(recipe, seed, (out, overwrite), Some(&keys::needed()?))
}

fn make_with(recipe: &PrepareRecipe, seed: u64, (out, overwrite): (&Path, bool), key: Option<&Key>) -> Result<Dataset> {
    check_target(out, overwrite)?;
    let bar = say::bar(1, "reading");
    let dataset = prepare_sealed(&options(recipe, seed), out, overwrite, key, &|progress| show(&bar, progress));
    bar.finish_and_clear();
    Ok(dataset?)
}

/// What a recipe says, as the library wants it.
fn options(recipe: &PrepareRecipe, seed: u64) -> PrepareOptions {
    let mut options =
        PrepareOptions::new(inputs(recipe), recipe.tasks.clone(), recipe.validation_from, recipe.test_from);
    options.min_train_examples = recipe.min_train_examples;
    options.near_duplicate_threshold = recipe.near_duplicate_similarity;
    options.template_threshold = recipe.template_similarity;
    options.decontaminate = recipe.decontaminate.clone().into_iter().collect();
    options.max_reject_rate = recipe.max_reject_rate;
    options.cwe_labels = recipe.cwe_labels.clone();
    options.texts = recipe.texts.clone();
    options.sampling = recipe.sampling;
    options.mask_names_share = recipe.mask_names_share;
    options.phrasings = recipe.phrasings;
    options.decline_share = recipe.decline_share;
    options.caps.train = recipe.max_examples.train;
    options.caps.validation = recipe.max_examples.validation;
    options.caps.test = recipe.max_examples.test;
    options.caps.seed = seed;
    options.private_sources = recipe.private.clone();
    options
}

fn show(bar: &ProgressBar, progress: Progress<'_>) {
    match progress {
        Progress::Reading { done_bytes, total_bytes } => {
            bar.set_length(total_bytes);
            bar.set_position(done_bytes);
        }
        Progress::Refining => bar.set_message("cleaning and scrubbing"),
        Progress::Grouping { texts } => bar.set_message(format!("grouping {}", count(texts as u64))),
        Progress::Making { task } => bar.set_message(format!("making {task}")),
    }
}

/// What was counted, as two tables and what has to be said besides.
pub(crate) fn summary(report: &Report) -> Vec<String> {
    let mut lines = vec![row("source", &["records", "rejected", "labels lost", "set aside"])];
    for (name, source) in &report.sources {
        let sum = |counts: &BTreeMap<RejectReason, u64>| -> u64 { counts.values().sum() };
        let withdrawn: u64 = source.withdrawn.values().sum();
        let aside: u64 = withdrawn + sum(&source.set_aside);
        let counts = [source.records, sum(&source.rejected), sum(&source.labels_rejected), aside];
        lines.push(row(name, &counts.map(count)));
        lines.extend(source.rejected.iter().map(|(reason, n)| format!("  rejected, {reason}: {}", count(*n))));
    }
    let (merge, groups, split) = (&report.merge, &report.groups, &report.split);
    lines.push(String::new());
    lines.push(format!("described CVEs: {}", count(merge.described)));
    lines.push(format!("with a CWE source label: {}", count(merge.with_cwe)));
    lines.push(format!(
        "near-duplicate groups: {} of several texts, {} texts in them",
        count(groups.groups_of_several),
        count(groups.members_of_several)
    ));
    for input in &report.benchmarks {
        let overlaps = &report.benchmark_overlaps;
        let sum = |side: &BTreeMap<String, BTreeMap<OverlapKind, u64>>| -> u64 {
            side.get(&input.name).map_or(0, |kinds| kinds.values().sum())
        };
        let (out, test) = (count(sum(&overlaps.taken_out)), count(sum(&overlaps.in_test)));
        lines.push(format!("overlapping benchmark {}: {out} taken out, {test} left in the test", input.name));
    }
    let refine = &report.refine;
    lines.push(format!("scrubbed: {}", listed(&refine.scrubbed)));
    lines.push(format!("cleaned: {}", listed(&refine.removed)));
    if !refine.left_out.is_empty() {
        lines.push(format!("left out for their language: {}", listed(&refine.left_out)));
    }
    for (kind, reasons) in &split.left_out {
        lines.extend(reasons.iter().map(|(why, n)| format!("{kind} without a place, {}: {}", spaced(why), count(*n))));
    }
    lines.push(format!("leaks between splits: {}", split.leaks));
    lines.push(String::new());
    lines.push(row("task", &["train", "validation", "test", "labels"]));
    for (task, counts) in &report.tasks {
        let of = |split: Split| count(counts.examples.get(&split).copied().unwrap_or(0));
        lines.push(row(task, &[of(Split::Train), of(Split::Validation), of(Split::Test), count(counts.labels)]));
        lines.extend(counts.left_out.iter().map(|(why, n)| format!("  left out, {}: {}", spaced(why), count(*n))));
    }
    let private: u64 = report.tasks.values().map(|counts| counts.private_examples).sum();
    if private + merge.private_ignored > 0 {
        lines.push(String::new());
        lines.push(format!("private examples, never exported or quoted: {}", count(private)));
        lines.push(format!("private records of public CVEs, ignored: {}", count(merge.private_ignored)));
    }
    lines
}

/// A name and right-aligned numbers.
fn row<T: std::fmt::Display>(name: &str, cells: &[T]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>13}")).collect();
    format!("{name:<18}{cells}")
}

/// Names with their counts, most first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut ordered: Vec<(&String, &u64)> = counts.iter().collect();
    ordered.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let all: Vec<String> = ordered.iter().map(|(name, n)| format!("{} {}", count(**n), spaced(name))).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

/// A reason as words.
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}
