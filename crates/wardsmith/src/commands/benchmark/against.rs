//! Static analysers on the same functions as the model: each function a file, each tool once over all of them.
//!
//! A tool calls a function vulnerable where it finds the weakness that the benchmark asks about, or one of its family
//! ([`FAMILIES`]); a fault of another kind is no answer to the question. What a tool cannot read it has nothing against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wardsmith_eval::analysers::{self, Analyser, Finding};
use wardsmith_eval::item::{Asked, Item};
use wardsmith_eval::metric::Answer;
use wardsmith_model::weights::write_atomically;

use crate::respond;
use crate::say::{self, count};

/// The rules that Semgrep gets.
const RULES: &str = include_str!("../../../../eval/src/analysers/rules.yaml");
/// Weaknesses that tools report for one another: the CWE catalogue's parents and children of those that SVEN asks about.
const FAMILIES: &[&[&str]] = &[
    &["CWE-22", "CWE-23", "CWE-36", "CWE-73"],
    &["CWE-77", "CWE-78", "CWE-88"],
    &["CWE-79", "CWE-80", "CWE-116"],
    &["CWE-89", "CWE-943", "CWE-564"],
    &["CWE-119", "CWE-120", "CWE-121", "CWE-122", "CWE-787", "CWE-788", "CWE-805"],
    &["CWE-119", "CWE-125", "CWE-126", "CWE-127", "CWE-788", "CWE-805"],
    &["CWE-190", "CWE-680", "CWE-191", "CWE-682"],
    &["CWE-415", "CWE-416", "CWE-672", "CWE-825"],
    &["CWE-476", "CWE-690", "CWE-252"],
];

/// A tool with what it says of each item.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) version: String,
    /// Whether it calls the item's code vulnerable, by item.
    said: Vec<bool>,
    /// All its findings.
    findings: usize,
}

/// Right and wrong calls of one system on one weakness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Calls {
    /// Vulnerable functions that it calls so.
    pub(super) found: usize,
    /// Vulnerable functions that it does not.
    pub(super) missed: usize,
    /// Fixed functions that it calls vulnerable.
    pub(super) false_alarms: usize,
}

impl Calls {
    /// Precision, recall and F1; 0 where nothing was called or there.
    pub(super) fn scores(self) -> (f64, f64, f64) {
        let share = |of: usize, all: usize| if all == 0 { 0.0 } else { of as f64 / all as f64 };
        let precision = share(self.found, self.found + self.false_alarms);
        let recall = share(self.found, self.found + self.missed);
        (precision, recall, share(2 * self.found, 2 * self.found + self.false_alarms + self.missed))
    }
}

/// Runs the tools of `names` over the items' code. Every tool is looked for before the first one runs.
pub(super) fn run(names: &[String], items: &[Item]) -> Result<Vec<Tool>> {
    let tools = names.iter().map(|name| Ok(analysers::by_name(name)?)).collect::<Result<Vec<&Analyser>>>()?;
    let versions = tools.iter().map(|tool| Ok(tool.version()?)).collect::<Result<Vec<String>>>()?;
    let folder = tempfile::tempdir().context("cannot make a folder for the code")?;
    let code = folder.path().join("code");
    std::fs::create_dir(&code).context("cannot make a folder for the code")?;
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, RULES).context("cannot write the rules")?;
    for (number, item) in items.iter().enumerate() {
        let Asked::Vulnerable { language, .. } = &item.asked else {
            bail!(
                "--against asks static analysers about code, and this benchmark asks about something else\nhint: use --benchmark sven=FILE"
            );
        };
        let text = item.subject.as_deref().unwrap_or_default();
        std::fs::write(code.join(format!("f{number}.{language}")), outdented(text)).context("cannot write the code")?;
    }
    let mut found = Vec::new();
    for (tool, version) in tools.into_iter().zip(versions) {
        respond::go_on()?;
        let bar = say::bar(1, &format!("running {}", tool.name));
        let findings = tool.run(&code, &rules);
        bar.finish_and_clear();
        let findings = findings?;
        say::note(format_args!("{} ({version}): {} findings", tool.name, count(findings.len() as u64)));
        found.push(Tool { name: tool.name, version, said: said(&findings, items), findings: findings.len() });
    }
    Ok(found)
}

/// Code without the indentation that all its lines have: methods were cut out of their classes.
fn outdented(code: &str) -> String {
    let lines = code.lines().filter(|line| !line.trim().is_empty());
    let margin = lines.map(|line| line.len() - line.trim_start_matches([' ', '\t']).len()).min().unwrap_or(0);
    code.lines().map(|line| line.get(margin..).unwrap_or_default()).fold(String::new(), |text, line| text + line + "\n")
}

/// Whether the findings in each item's file are of the weakness that it is about.
fn said(findings: &[Finding], items: &[Item]) -> Vec<bool> {
    let mut by_file: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for finding in findings {
        let stem = finding.file.split('.').next().unwrap_or_default();
        by_file.entry(stem).or_default().extend(finding.weaknesses.iter().map(String::as_str));
    }
    let says = |(number, item): (usize, &Item)| {
        let weaknesses = by_file.get(format!("f{number}").as_str());
        weaknesses.is_some_and(|weaknesses| weaknesses.iter().any(|one| is_near(one, &plain(&item.group))))
    };
    items.iter().enumerate().map(says).collect()
}

/// `CWE-022` as `CWE-22`.
fn plain(id: &str) -> String {
    let number = id.trim_start_matches("CWE-").trim_start_matches('0');
    format!("CWE-{number}")
}

fn is_near(said: &str, asked: &str) -> bool {
    said == asked || FAMILIES.iter().any(|family| family.contains(&said) && family.contains(&asked))
}

impl Tool {
    /// Its answers, graded like a model's.
    pub(super) fn answers(&self, items: &[Item]) -> Vec<Answer> {
        items.iter().zip(&self.said).map(|(item, &said)| item.grade(if said { "yes" } else { "no" })).collect()
    }

    /// Its findings in words.
    pub(super) fn about(&self) -> String {
        format!("{}, {} findings of any kind", self.version, count(self.findings as u64))
    }
}

/// All tools together: what any of them says.
pub(super) fn union(tools: &[Tool]) -> Option<Tool> {
    let first = tools.first().filter(|_| tools.len() > 1)?;
    let said = (0..first.said.len()).map(|item| tools.iter().any(|tool| tool.said[item])).collect();
    let version = tools.iter().map(|tool| tool.name).collect::<Vec<_>>().join(" or ");
    Some(Tool { name: "any-tool", version, said, findings: tools.iter().map(|tool| tool.findings).sum() })
}

/// Calls of each system on each weakness, and on all.
pub(super) fn by_weakness(items: &[Item], answers: &[Answer]) -> BTreeMap<String, Calls> {
    let mut calls: BTreeMap<String, Calls> = BTreeMap::new();
    for (item, answer) in items.iter().zip(answers) {
        let Asked::Vulnerable { gold, .. } = &item.asked else { continue };
        let called = answer.parsed.as_deref() == Some("yes");
        for group in [plain(&item.group), "all".to_owned()] {
            let calls = calls.entry(group).or_default();
            match (gold, called) {
                (true, true) => calls.found += 1,
                (true, false) => calls.missed += 1,
                (false, true) => calls.false_alarms += 1,
                (false, false) => {}
            }
        }
    }
    calls
}

/// Vulnerable functions that both of two systems find, for each pair.
fn overlaps<'a>(items: &[Item], systems: &[(&'a str, &[Answer])]) -> Vec<(&'a str, &'a str, usize)> {
    let finds = |answers: &[Answer], place: usize| {
        matches!(items[place].asked, Asked::Vulnerable { gold: true, .. }) && answers[place].is_correct()
    };
    let mut found = Vec::new();
    for (number, (left, one)) in systems.iter().enumerate() {
        for (right, other) in &systems[number + 1..] {
            let both = (0..items.len()).filter(|&place| finds(one, place) && finds(other, place)).count();
            found.push((*left, *right, both));
        }
    }
    found
}

/// Says and writes how the systems compare on each weakness.
pub(super) fn compare(items: &[Item], systems: &[(&str, &[Answer])], out: &Path) -> Result<()> {
    let tables: Vec<(&str, BTreeMap<String, Calls>)> =
        systems.iter().map(|(name, answers)| (*name, by_weakness(items, answers))).collect();
    let weaknesses: BTreeSet<&String> = tables.iter().flat_map(|(_, calls)| calls.keys()).collect();
    say::result("precision / recall / F1 of \"is vulnerable\" by weakness");
    say::result(format_args!("{:<10}{}", "", tables.iter().map(|(name, _)| format!("{name:>22}")).collect::<String>()));
    for weakness in &weaknesses {
        let cell = |(_, calls): &(&str, BTreeMap<String, Calls>)| {
            let (precision, recall, f1) = calls.get(*weakness).copied().unwrap_or_default().scores();
            format!("{:>22}", format!("{precision:.3} / {recall:.3} / {f1:.3}"))
        };
        say::result(format_args!("{weakness:<10}{}", tables.iter().map(cell).collect::<String>()));
    }
    let overlaps = overlaps(items, systems);
    for (left, right, both) in &overlaps {
        say::result(format_args!("vulnerable functions that {left} and {right} both find: {both}"));
    }
    let whole = serde_json::json!({
        "format": "wardsmith-against",
        "format_version": 1,
        "by_weakness": tables.iter().map(|(name, calls)| serde_json::json!({"system": name, "calls": calls})).collect::<Vec<_>>(),
        "found_by_both": overlaps,
    });
    let mut text = serde_json::to_vec_pretty(&whole)?;
    text.push(b'\n');
    Ok(write_atomically(&out.join("against.json"), &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(gold: bool, group: &str) -> Item {
        Item {
            id: format!("{group}{gold}"),
            system: None,
            prompt: String::new(),
            subject: Some("x".into()),
            group: group.into(),
            asked: Asked::Vulnerable { gold, language: "c".into() },
        }
    }

    #[test]
    fn a_fault_of_another_kind_is_no_answer() {
        let items = [item(true, "CWE-787"), item(false, "CWE-787"), item(true, "CWE-022")];
        let finding = |file: &str, weakness: &str| Finding {
            file: file.into(),
            line: 1,
            rule: "r".into(),
            weaknesses: [weakness.to_owned()].into(),
        };
        let findings = [finding("f0.c", "CWE-120"), finding("f1.c", "CWE-457"), finding("f2.c", "CWE-22")];
        assert_eq!(said(&findings, &items), [true, false, true]);
        assert_eq!(said(&[finding("f10.c", "CWE-120")], &items), [false; 3]);
    }

    #[test]
    fn calls_are_counted_by_weakness() {
        let items = [item(true, "CWE-787"), item(false, "CWE-787"), item(true, "CWE-022")];
        let answers: Vec<Answer> = items.iter().map(|item| item.grade("yes")).collect();
        let calls = by_weakness(&items, &answers);
        assert_eq!(calls["CWE-787"].scores(), (0.5, 1.0, 2.0 / 3.0));
        assert_eq!(calls["all"], Calls { found: 2, missed: 0, false_alarms: 1 });
        let nothing: Vec<Answer> = items.iter().map(|item| item.grade("no")).collect();
        assert_eq!(by_weakness(&items, &nothing)["all"].scores(), (0.0, 0.0, 0.0));
        assert_eq!(overlaps(&items, &[("a", &answers), ("b", &nothing)]), [("a", "b", 0)]);
        assert_eq!(overlaps(&items, &[("a", &answers), ("b", &answers)]), [("a", "b", 2)]);
    }

    #[test]
    fn methods_lose_the_margin_of_their_class() {
        assert_eq!(outdented("    def f():\n\n        pass"), "def f():\n\n    pass\n");
    }
}
