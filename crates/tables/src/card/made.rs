//! The parts of the card that tell how the dataset was made: sources, counts, splits, leaks, scrubbing.

use std::collections::BTreeMap;

use wardsmith_records::dataset::Split;
use wardsmith_records::manifest::{InputSummary, SourceCounts};
use wardsmith_records::record::RejectReason;

use super::{Facts, cell, code, count, table};

/// The recipe, the sources and what became of their records.
pub(super) fn made(facts: &Facts<'_>) -> String {
    let report = &facts.manifest.report;
    let recipe = serde_json::to_string_pretty(&facts.manifest.options).unwrap_or_default();
    format!(
        "## How it was made\n\nBy {}, from the sources below, by this recipe (the whole of it; equal inputs and an \
         equal recipe make an equal dataset):\n\n````json\n{recipe}\n````\n\n### Sources\n\n{}What their records were:\n\n{}{}{}",
        code(&facts.manifest.created_by),
        inputs(&report.inputs),
        records(&report.sources),
        merged(facts),
        groups(facts),
    )
}

fn inputs(inputs: &[InputSummary]) -> String {
    let row = |one: &InputSummary| {
        let texts = [&one.source, &one.name, &one.licence].map(|text| cell(text));
        let numbers = [count(one.files), count(one.bytes)];
        [&texts[..], &numbers, &[code(&one.sha256)]].concat()
    };
    table(&["source", "input", "terms", "files", "bytes", "SHA-256"], &inputs.iter().map(row).collect::<Vec<_>>())
}

fn records(sources: &BTreeMap<String, SourceCounts>) -> String {
    let row = |(name, one): (&String, &SourceCounts)| {
        let rejected: u64 = one.rejected.values().sum();
        let withdrawn: u64 = one.withdrawn.values().sum();
        let labels: u64 = one.labels_rejected.values().sum();
        let told = |counts: &BTreeMap<RejectReason, u64>| {
            counts.iter().map(|(why, n)| format!("{why}: {}", count(*n))).collect::<Vec<_>>().join("; ")
        };
        let share = 100.0 * rejected as f64 / one.records.max(1) as f64;
        let kinds: Vec<String> = one.kinds.iter().map(|(kind, n)| format!("{} {}", count(*n), cell(kind))).collect();
        vec![
            cell(name),
            count(one.records),
            kinds.join(", "),
            format!("{} ({share:.3} %)", count(rejected)),
            told(&one.rejected),
            told(&one.set_aside),
            count(withdrawn),
            count(labels),
        ]
    };
    let headings = ["source", "records", "of which", "rejected", "why", "set aside", "withdrawals", "labels rejected"];
    table(&headings, &sources.iter().map(row).collect::<Vec<_>>())
}

fn merged(facts: &Facts<'_>) -> String {
    let merge = &facts.manifest.report.merge;
    if merge.described == 0 {
        return String::new();
    }
    let dropped: u64 = merge.dropped_by_state.values().sum();
    format!(
        "Records of one CVE were joined: {} CVEs with a description, {} of them in several sources; {} withdrawn CVEs \
         and {} second copies were dropped. {} have a CWE in the field made for it, {} in free text only, {} a CVSS \
         vector. Sources disagree about labels; every label kept its source, and each task decides in a stated \
         order.\n\n",
        count(merge.described),
        count(merge.in_several_sources),
        count(dropped),
        count(merge.repeated_in_source),
        count(merge.with_cwe),
        count(merge.with_cwe_in_text_only),
        count(merge.with_cvss),
    )
}

fn groups(facts: &Facts<'_>) -> String {
    let groups = &facts.manifest.report.groups;
    if groups.groups == 0 {
        return String::new();
    }
    format!(
        "Near-duplicate texts (MinHash proposes, the Jaccard similarity of three-word shingles decides; versions and \
         numbers count as equal) form groups: {} groups, {} of several texts with {} texts in them; the largest has \
         {}. The column `group` names the group. Near-duplicates were *not* removed: weigh or sample by `group` where \
         that matters.\n\n",
        count(groups.groups),
        count(groups.groups_of_several),
        count(groups.members_of_several),
        count(groups.largest),
    )
}

/// Where the borders are, what stands where, what stands nowhere and why, and whether anything leaks.
pub(super) fn splits(facts: &Facts<'_>) -> String {
    let split = &facts.manifest.report.split;
    let day =
        |day: Option<wardsmith_records::record::Published>| day.map_or("(not stated)".into(), |day| day.to_string());
    format!(
        "## Splits\n\nBy time, so that a model is tested on what came after it learned: validation begins on {}, test \
         on {}. A group of near-duplicates (or of one origin, such as a report or a commit) stands in one split, that \
         of its earliest member. What has no date is drawn by a hash of its name. What has no place in any split is in \
         no file.\n\n{}{}{}",
        day(split.validation_from),
        day(split.test_from),
        placed(&split.placed),
        left_out(&split.left_out),
        leaks(facts),
    )
}

fn placed(placed: &BTreeMap<String, BTreeMap<Split, u64>>) -> String {
    let of = |counts: &BTreeMap<Split, u64>| Split::ALL.map(|split| count(counts.get(&split).copied().unwrap_or(0)));
    let rows: Vec<Vec<String>> =
        placed.iter().map(|(kind, counts)| [&[cell(kind)][..], &of(counts)].concat()).collect();
    table(&["records placed", "train", "validation", "test"], &rows)
}

fn left_out(left_out: &BTreeMap<String, BTreeMap<String, u64>>) -> String {
    let row = |kind: &str, (why, n): (&String, &u64)| vec![cell(kind), reason(why), count(*n)];
    let rows: Vec<Vec<String>> =
        left_out.iter().flat_map(|(kind, reasons)| reasons.iter().map(|one| row(kind, one))).collect();
    table(&["records left out", "why", "count"], &rows)
}

/// The manifest's word for a reason, in words.
fn reason(name: &str) -> String {
    match name {
        "younger_than_its_group" => "its group of near-duplicates began in an earlier split: it may not teach, being \
                                     too young, and may not test, being known"
            .into(),
        "dated_by_year_only" => "only its year is known, so it may be younger than a border".into(),
        "cves_elsewhere" => "it tells of CVEs that stand in another split".into(),
        other => cell(other),
    }
}

fn leaks(facts: &Facts<'_>) -> String {
    format!(
        "### Leak check\n\nAfter the files were made, a function that knows nothing of how the split was made counted \
         groups with members in more than one split: **{}**. `prepare` refuses to write a dataset where that is not \
         0. Two texts that MinHash did not propose as a pair were not compared.\n\n",
        count(facts.manifest.report.split.leaks),
    )
}

/// What was taken out of the texts.
pub(super) fn scrubbing(facts: &Facts<'_>) -> String {
    let refine = &facts.manifest.report.refine;
    let rows = |counts: &BTreeMap<String, u64>| {
        counts.iter().map(|(what, n)| vec![cell(what), count(*n)]).collect::<Vec<Vec<String>>>()
    };
    let scrubbed = match table(&["became a placeholder", "count"], &rows(&refine.scrubbed)) {
        none if none.is_empty() => "The manifest of this dataset counts no scrubbing: take it that secrets, addresses \
                                    and names that stood in the sources' texts still stand there.\n\n"
            .to_owned(),
        table => format!("Secrets and personal data that became placeholders before examples were made:\n\n{table}"),
    };
    let removed = table(&["changed or taken out", "count"], &rows(&refine.removed));
    let left_out = table(&["records left out for their language", "count"], &rows(&refine.left_out));
    format!("## Cleaning and scrubbing\n\n{scrubbed}{removed}{left_out}")
}
