//! Where the numbers come from: the dataset with its splits and inputs, the run, and how to read it all.

use wardsmith_records::dataset::Split;
use wardsmith_records::manifest::{InputSummary, Manifest};

use super::Report;
use super::markup::{Element, el, text_in};
use super::tables::{column, number, scrolling};
use super::words;

/// The dataset; `None` where the report knows of none.
pub(super) fn dataset(report: &Report) -> Option<Element> {
    let manifest = report.dataset.as_ref()?;
    let section = el("section")
        .with("id", "dataset")
        .child(text_in("h2", "Dataset"))
        .child(pairs(&dataset_facts(report, manifest)))
        .child(scrolling("Splits", splits(report, manifest)));
    let section = match manifest.report.inputs.is_empty() {
        true => section,
        false => section.child(scrolling("Inputs", inputs(&manifest.report.inputs))),
    };
    Some(section.child(scrolling("Files", files(manifest))))
}

fn dataset_facts(report: &Report, manifest: &Manifest) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    let (split, groups, merge) = (&manifest.report.split, &manifest.report.groups, &manifest.report.merge);
    fact("Made by", manifest.created_by.clone());
    if merge.described > 0 {
        let cves = format!("{} described, {} with a CWE", words::count(merge.described), words::count(merge.with_cwe));
        fact("CVEs", cves);
    }
    if let Some(task) = manifest.report.tasks.get(&report.task) {
        fact("Labels", words::count(task.labels));
    }
    if let (Some(validation), Some(test)) = (&split.validation_from, &split.test_from) {
        let dates = format!(
            "training before {validation}, validation before {test}, test from then on; near-duplicates stand with their oldest relative or are left out"
        );
        fact("Split by publication", dates);
    }
    fact(
        "Near-duplicates",
        format!(
            "{} groups of several with {} members; {} CVEs left out, being younger than their group; {} leaks between \
             splits",
            words::count(groups.groups_of_several),
            words::count(groups.members_of_several),
            words::count(left_out(manifest, "younger_than_its_group")),
            words::count(split.leaks)
        ),
    );
    facts
}

/// CVEs that have no place for this reason.
fn left_out(manifest: &Manifest, reason: &str) -> u64 {
    let reasons = manifest.report.split.left_out.get("vulnerabilities");
    reasons.and_then(|reasons| reasons.get(reason)).copied().unwrap_or(0)
}

fn splits(report: &Report, manifest: &Manifest) -> Element {
    let examples = |split: Split| {
        let task = manifest.report.tasks.get(&report.task)?;
        task.examples.get(&split).copied()
    };
    let row = |split: Split| {
        let name = match split {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        };
        let placed = manifest.report.split.placed.get("vulnerabilities");
        let cves = placed.and_then(|placed| placed.get(&split).copied());
        let count = |count: Option<u64>| number(count.map_or("–".into(), words::count));
        el("tr").child(text_in("th", name).with("scope", "row")).child(count(cves)).child(count(examples(split)))
    };
    let head = ["Split", "CVEs", "Examples"].map(column);
    el("table")
        .child(text_in("caption", "Splits"))
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(Split::ALL.into_iter().map(row)))
}

fn inputs(inputs: &[InputSummary]) -> Element {
    let row = |input: &InputSummary| {
        el("tr")
            .child(text_in("th", &input.name).with("scope", "row").child(text_in("small", &input.licence)))
            .child(text_in("td", &input.source))
            .child(number(words::count(input.files)))
            .child(number(words::count(input.bytes)))
            .child(hash(&input.sha256))
    };
    let head = ["Input", "Source", "Files", "Bytes", "SHA-256"].map(column);
    el("table")
        .child(text_in("caption", "What it was made of"))
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(inputs.iter().map(row)))
}

fn files(manifest: &Manifest) -> Element {
    let row = |(name, file): (&String, &wardsmith_records::manifest::FileSummary)| {
        el("tr")
            .child(text_in("th", name).with("scope", "row"))
            .child(number(words::count(file.bytes)))
            .child(hash(&file.sha256))
    };
    let head = ["File", "Bytes", "SHA-256"].map(column);
    el("table")
        .child(text_in("caption", "Its files"))
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(manifest.files.iter().map(row)))
}

fn hash(hash: &str) -> Element {
    el("td").child(text_in("code", hash))
}

/// The run's facts and its recipe; `None` where there are none.
pub(super) fn run(report: &Report) -> Option<Element> {
    if report.facts.is_empty() && report.recipe.is_none() {
        return None;
    }
    let section = el("section").with("id", "run").child(text_in("h2", "Run")).child(pairs(&report.facts));
    Some(match &report.recipe {
        None => section,
        Some(recipe) => section.child(text_in("h3", "Resolved recipe")).child(text_in("pre", recipe)),
    })
}

/// What the metrics mean and how the intervals were made.
pub(super) fn reading(report: &Report) -> Element {
    let mut names: Vec<&str> = Vec::new();
    for metric in report.systems.iter().flat_map(|system| &system.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let metrics: Vec<_> = names
        .iter()
        .filter(|name| !words::meaning(name).is_empty())
        .map(|name| (words::title(name).to_owned(), words::meaning(name).to_owned()))
        .collect();
    let bootstrap = report.systems.first().map(|system| system.bootstrap);
    let intervals = match bootstrap {
        None => String::new(),
        Some(bootstrap) => format!(
            "Intervals are percentile bootstraps: the test examples were drawn anew with replacement {} times (seed \
             {}), and 95 % of the values so found lie within the interval. They tell how much the choice of test \
             examples matters; they say nothing about another training run or other data.",
            words::count(bootstrap.resamples as u64),
            bootstrap.seed
        ),
    };
    el("section")
        .with("id", "reading")
        .child(text_in("h2", "How to read this"))
        .child(pairs(&metrics))
        .child(text_in("p", intervals))
}

/// Names with their values.
pub(super) fn pairs(pairs: &[(String, String)]) -> Element {
    let pair = |(name, value): &(String, String)| [text_in("dt", name), text_in("dd", value)];
    el("dl").children(pairs.iter().flat_map(pair))
}
