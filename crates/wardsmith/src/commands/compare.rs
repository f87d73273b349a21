//! `wardsmith compare`: runs side by side → differing recipe keys, losses, speed, and, where answers are there, which of
//! them flipped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wardsmith_eval::evaluate::{Bootstrap, compare};
use wardsmith_eval::flips::flips;
use wardsmith_eval::metric::Answer;
use wardsmith_train::progress::{Line, read_lines};

use crate::cli;
use crate::job::RECIPE;
use crate::report::Report;
use crate::report::compare::{CompareReport, Paired, Summary, p_value};
use crate::say;

/// No recipe in a run folder is larger.
const MAX_RECIPE_BYTES: u64 = 1 << 20;
/// No line of an answers file is longer.
const MAX_ANSWERS_BYTES: u64 = 4 << 30;

/// Runs the command.
pub(crate) fn run(args: &cli::Compare) -> Result<()> {
    let names = names(&args.run);
    let entrants: Vec<Entrant> =
        args.run.iter().zip(&names).map(|(folder, name)| Entrant::open(folder, name)).collect::<Result<_>>()?;
    let mut report = CompareReport::new(names);
    let recipes: Vec<_> = entrants.iter().map(|entrant| entrant.recipe.clone()).collect();
    report.recipe = differing(&recipes);
    report.summaries = entrants.iter().map(|entrant| Summary::of(&entrant.lines)).collect();
    report.pairs = pairs(&entrants, args.seed)?;
    report.lines = entrants.into_iter().map(|entrant| entrant.lines).collect();
    report.write_to(&args.out).with_context(|| format!("cannot write into `{}`", args.out.display()))?;
    table(&report).iter().for_each(say::result);
    say::note(format_args!("wrote {}", args.out.join("compare.html").display()));
    Ok(())
}

/// A run, an evaluation, or both.
struct Entrant {
    name: String,
    /// The resolved recipe, by key paths.
    recipe: BTreeMap<String, String>,
    lines: Vec<Line>,
    /// Of each evaluation: task and split, and the main system's answers.
    answers: Vec<(String, Vec<Answer>)>,
}

impl Entrant {
    fn open(folder: &Path, name: &str) -> Result<Self> {
        let lines = read_lines(folder);
        let reports = reports(folder)?;
        let mut recipe = recipe(&folder.join(RECIPE))?;
        if recipe.is_empty()
            && let Some(text) = reports.iter().find_map(|(_, report)| report.recipe.as_deref())
        {
            recipe = flattened(text).unwrap_or_default();
        }
        if lines.is_empty() && reports.is_empty() {
            let shown = folder.display();
            bail!(
                "`{shown}` holds neither a run nor an evaluation\nhint: name a folder that `wardsmith tune` or `wardsmith eval` wrote"
            );
        }
        let mut answers = Vec::new();
        for (folder, report) in reports {
            let on = format!("Task {}, split {}.", report.task, report.split);
            answers.push((on, read_answers(&folder, &report.main_system)?));
        }
        Ok(Self { name: name.to_owned(), recipe, lines, answers })
    }
}

/// The last parts of the paths, as many as tell them apart.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let named = |parts: usize| -> Vec<String> {
        let one = |folder: &PathBuf| {
            let all: Vec<_> = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            all[all.len().saturating_sub(parts)..].join("/")
        };
        folders.iter().map(one).collect()
    };
    let distinct = |names: &Vec<String>| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    (1..6).map(named).find(distinct).unwrap_or_else(|| named(usize::MAX))
}

/// The evaluations in a folder: its own, and those of the folders in it.
fn reports(folder: &Path) -> Result<Vec<(PathBuf, Report)>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.insert(0, folder.to_path_buf());
    let there = folders.into_iter().filter(|folder| folder.join("report.json").is_file());
    there.map(|folder| Report::open(&folder).map(|report| (folder, report))).collect()
}

fn read_answers(folder: &Path, system: &str) -> Result<Vec<Answer>> {
    let path = folder.join(format!("answers-{system}.jsonl"));
    let shown = path.display();
    let file = std::fs::File::open(&path)
        .with_context(|| format!("cannot read `{shown}`\nhint: evaluate again; each evaluation leaves its answers"))?;
    if file.metadata().map_or(0, |data| data.len()) > MAX_ANSWERS_BYTES {
        bail!("`{shown}` is too large to be a file of answers");
    }
    let read = |(at, line): (usize, std::io::Result<String>)| -> Result<Answer> {
        let line = line.with_context(|| format!("cannot read `{shown}`"))?;
        serde_json::from_str(&line).with_context(|| format!("line {} of `{shown}` is no answer", at + 1))
    };
    BufReader::new(file).lines().enumerate().map(read).collect()
}

/// A run's resolved recipe by key paths; empty where there is none.
fn recipe(path: &Path) -> Result<BTreeMap<String, String>> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(_) => return Ok(BTreeMap::new()),
        Ok(data) if data.len() > MAX_RECIPE_BYTES => bail!("`{shown}` is too large to be a recipe"),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
    flattened(&text).with_context(|| format!("`{shown}` is not TOML"))
}

fn flattened(text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    // Tables are followed by a list, not by calls: how deep they are is the file's matter.
    let mut open: Vec<(String, toml::Value)> = text.parse::<toml::Table>()?.into_iter().collect();
    while let Some((path, value)) = open.pop() {
        match value {
            toml::Value::Table(table) => open.extend(table.into_iter().map(|(k, v)| (format!("{path}.{k}"), v))),
            plain => drop(found.insert(path, plain.to_string())),
        }
    }
    Ok(found)
}

/// Keys that are not the same in all recipes; entrants without a recipe have no say.
fn differing(recipes: &[BTreeMap<String, String>]) -> Vec<(String, Vec<Option<String>>)> {
    let known: Vec<_> = recipes.iter().filter(|recipe| !recipe.is_empty()).collect();
    let mut keys: Vec<&String> = known.iter().flat_map(|recipe| recipe.keys()).collect();
    keys.sort();
    keys.dedup();
    let differs = |key: &&String| known.iter().any(|recipe| recipe.get(*key) != known[0].get(*key));
    let row = |key: &String| (key.clone(), recipes.iter().map(|recipe| recipe.get(key).cloned()).collect());
    keys.into_iter().filter(differs).map(row).collect()
}

/// Every later entrant against the first, on each task and split that both answered.
fn pairs(entrants: &[Entrant], seed: u64) -> Result<Vec<Paired>> {
    let Some((first, others)) = entrants.split_first() else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for other in others {
        for (on, answers) in &other.answers {
            let Some((_, reference)) = first.answers.iter().find(|(task, _)| task == on) else {
                say::note(format_args!("{} has no answers to hold {}'s against: {on}", first.name, other.name));
                continue;
            };
            let (candidate, reference) = ((other.name.as_str(), &answers[..]), (first.name.as_str(), &reference[..]));
            let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
            match (compare(candidate, reference, bootstrap), flips(candidate, reference)) {
                (Ok(comparison), Ok(flips)) => pairs.push(Paired { on: on.clone(), comparison, flips }),
                (Err(error), _) | (_, Err(error)) => {
                    // Runs may still be compared by their losses.
                    say::note(format_args!("not paired: {error}"));
                }
            }
        }
    }
    Ok(pairs)
}

/// Everything for the terminal.
fn table(report: &CompareReport) -> Vec<String> {
    let row = |head: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.into_iter().map(|cell| format!("{cell:>26}")).collect();
        format!("{head:<30}{}", cells.join(""))
    };
    let mut lines = vec![row("", report.names.clone())];
    let summaries: Vec<_> = report.summaries.iter().map(Summary::rows).collect();
    for at in 0..summaries.first().map_or(0, |rows| rows.len()) {
        let cells = summaries.iter().map(|rows| rows[at].1.clone().unwrap_or_else(|| "–".into()));
        lines.push(row(summaries[0][at].0, cells.collect()));
    }
    for (key, values) in &report.recipe {
        lines.push(row(key, values.iter().map(|value| value.clone().unwrap_or_else(|| "–".into())).collect()));
    }
    for pair in &report.pairs {
        let Paired { on, comparison, flips } = pair;
        lines.push(format!("{} against {}: {on}", comparison.candidate, comparison.reference));
        lines.push(format!(
            "  flips: {} gained, {} lost ({} right in both, {} in neither); McNemar's exact p = {}",
            flips.gained.len(),
            flips.lost.len(),
            flips.both_right,
            flips.both_wrong,
            p_value(flips.p_value)
        ));
        for difference in &comparison.differences {
            let e = &difference.estimate;
            lines.push(format!("  {:<26}{:+.4} [{:+.4}, {:+.4}], paired", difference.name, e.value, e.low, e.high));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_called_by_as_much_as_tells_them_apart() {
        let paths = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(paths(&["runs/a", "runs/b"]), ["a", "b"]);
        assert_eq!(paths(&["x/run", "y/run"]), ["x/run", "y/run"]);
    }

    #[test]
    fn only_keys_that_differ_are_told() {
        let read = |text: &str| flattened(text).unwrap();
        let (one, two) = (read("a = 1\n[t]\nx = 0.5\ny = 'k'\n"), read("a = 1\n[t]\nx = 0.25\n"));
        let found = differing(&[one, two, BTreeMap::new()]);
        let expected = [
            ("t.x".to_owned(), vec![Some("0.5".to_owned()), Some("0.25".to_owned()), None]),
            ("t.y".to_owned(), vec![Some("\"k\"".to_owned()), None, None]),
        ];
        assert_eq!(found, expected);
    }
}
