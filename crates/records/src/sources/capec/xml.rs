//! CAPEC as MITRE publishes it on its site: `capec_latest.xml`.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::str::FromStr;

use super::Capec;
use crate::error::Result;
use crate::record::{AttackPattern, CapecId, Consequence, CweId, Record, Reject, RejectReason, TechniqueId};
use crate::source::{Sink, broken};
use crate::sources::xml::{Element, entries};

pub(super) fn parse(source: Capec, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
    let mut each = |_: &Element, entry: Element| {
        if entry.name != "Attack_Pattern" {
            return;
        }
        let id = entry.attribute("ID").unwrap_or("?").chars().take(20).collect::<String>();
        let place = format!("{place} {} `{id}`", entry.name);
        let mut lost = Vec::new();
        let made = pattern(&entry, &mut lost);
        lost.into_iter().for_each(|reason| sink(Err(Reject { place: place.clone(), reason })));
        sink(made.map(|one| Record::Pattern(Box::new(one))).map_err(|reason| Reject { place, reason }));
    };
    entries(reader, &mut each).map_err(|error| broken(&source, place, &error))
}

/// One pattern; what is lost of its references goes to `lost`.
fn pattern(entry: &Element, lost: &mut Vec<RejectReason>) -> Result<AttackPattern, RejectReason> {
    let id = format!("CAPEC-{}", entry.attribute("ID").unwrap_or_default()).parse().map_err(|_| RejectReason::BadId)?;
    let attribute = |name: &str| entry.attribute(name).unwrap_or_default().to_owned();
    let texts = |outer: &str, inner: &str| -> Vec<String> {
        entry.all_in(outer, inner).map(Element::text).filter(|text| !text.is_empty()).collect()
    };
    let name = entry.attribute("Name").filter(|name| !name.trim().is_empty()).ok_or(RejectReason::WrongShape)?;
    let submitted = entry.all_in("Content_History", "Submission").map(|one| one.text_of("Submission_Date")).next();
    let created = submitted.filter(|text| !text.is_empty()).and_then(|text| parsed(&text, RejectReason::BadDate, lost));
    Ok(AttackPattern {
        id,
        name: name.to_owned(),
        abstraction: attribute("Abstraction"),
        status: attribute("Status"),
        description: entry.text_of("Description"),
        extended_description: entry.text_of("Extended_Description"),
        likelihood: entry.text_of("Likelihood_Of_Attack"),
        severity: entry.text_of("Typical_Severity"),
        prerequisites: texts("Prerequisites", "Prerequisite"),
        steps: entry.all_in("Execution_Flow", "Attack_Step").map(step).filter(|step| !step.is_empty()).collect(),
        consequences: entry.all_in("Consequences", "Consequence").map(consequence).collect(),
        mitigations: texts("Mitigations", "Mitigation"),
        examples: texts("Example_Instances", "Example"),
        weaknesses: weaknesses(entry, lost),
        techniques: techniques(entry, lost),
        parents: parents(entry, lost),
        created,
    })
}

/// `Phase: Name: what is done`; the XML writes the name in square brackets before the text.
fn step(step: &Element) -> String {
    let text = step.text_of("Description");
    let named = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let text = named.map_or(text.clone(), |(name, rest)| format!("{}: {}", name.trim(), rest.trim_start()));
    let techniques = step.texts_of("Technique").into_iter().map(|one| format!("- {one}"));
    let lines: Vec<String> = Some(text).filter(|text| !text.is_empty()).into_iter().chain(techniques).collect();
    match step.text_of("Phase") {
        phase if phase.is_empty() || lines.is_empty() => lines.join("\n"),
        phase => format!("{phase}: {}", lines.join("\n")),
    }
}

fn consequence(one: &Element) -> Consequence {
    Consequence { scopes: one.texts_of("Scope"), impacts: one.texts_of("Impact"), note: one.text_of("Note") }
}

fn weaknesses(entry: &Element, lost: &mut Vec<RejectReason>) -> Vec<CweId> {
    let named = entry.all_in("Related_Weaknesses", "Related_Weakness").filter_map(|one| one.attribute("CWE_ID"));
    each_once(named.map(|number| format!("CWE-{number}")), RejectReason::BadCwe, lost)
}

/// ATT&CK's entries stand without their `T`.
fn techniques(entry: &Element, lost: &mut Vec<RejectReason>) -> Vec<TechniqueId> {
    let mappings = entry.all_in("Taxonomy_Mappings", "Taxonomy_Mapping");
    let named = mappings.filter(|one| one.attribute("Taxonomy_Name") == Some("ATTACK"));
    let named = named.map(|one| format!("T{}", one.text_of("Entry_ID").trim_start_matches('T')));
    each_once(named, RejectReason::BadReference, lost)
}

fn parents(entry: &Element, lost: &mut Vec<RejectReason>) -> Vec<CapecId> {
    let related = entry.all_in("Related_Attack_Patterns", "Related_Attack_Pattern");
    let parents = related.filter(|one| one.attribute("Nature") == Some("ChildOf"));
    let named = parents.map(|one| format!("CAPEC-{}", one.attribute("CAPEC_ID").unwrap_or_default()));
    each_once(named, RejectReason::BadReference, lost)
}

fn each_once<T: FromStr + Ord + Clone>(
    texts: impl Iterator<Item = String>,
    reason: RejectReason,
    lost: &mut Vec<RejectReason>,
) -> Vec<T> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for text in texts {
        if let Some(one) = parsed::<T>(&text, reason, lost).filter(|one| seen.insert(one.clone())) {
            found.push(one);
        }
    }
    found
}

fn parsed<T: FromStr>(text: &str, reason: RejectReason, lost: &mut Vec<RejectReason>) -> Option<T> {
    let value = text.parse().ok();
    if value.is_none() {
        lost.push(reason);
    }
    value
}
