//! ATT&CK: MITRE's STIX 2.1 bundles of the matrices Enterprise, Mobile and ICS.
//!
//! A technique is told with its mitigations (relations `mitigates`) and how it can be noticed: the field of old editions,
//! the data components of later ones, the detection strategies with their analytics from version 18 on. The relations
//! `uses` from groups, campaigns and software to techniques are procedure examples: sentences with a label.

mod gather;

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::record::{LabelledSentence, Record, Reject, RejectReason, Technique, TechniqueMitigation};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::stix::{Repeated, objects};
use crate::sources::text;

use gather::{Gathered, Relation};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Attack;

const NAME: &str = "attack";

impl Source for Attack {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "ATT&CK terms of use (MITRE)"
    }

    fn reads(&self) -> &'static str {
        "ATT&CK (STIX 2.1)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::AttackStix | Format::Stix)
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        let mut gathered = Gathered::default();
        let mut each = |kind: &str, text: &str, place: &str, sink: Sink<'_>| gathered.take(kind, text, place, sink);
        objects(self, reader, place, gather::WANTED, &mut each, sink)?;
        if !gathered.is_attack {
            return Err(broken(self, place, &"it has no technique of ATT&CK"));
        }
        let mut repeated = Repeated::default();
        finish(&gathered, &mut repeated, sink);
        repeated.check(self, place)
    }
}

/// Hands out techniques by their IDs and then sentences as they stand in the bundle.
fn finish(gathered: &Gathered, repeated: &mut Repeated, sink: Sink<'_>) {
    let mut about: BTreeMap<&str, Vec<&Relation>> = BTreeMap::new();
    for relation in gathered.relations.iter().filter(|one| one.kind != "uses") {
        about.entry(&relation.target).or_default().push(relation);
    }
    let mut techniques: Vec<Technique> = Vec::with_capacity(gathered.techniques.len());
    for (stix_id, technique) in &gathered.techniques {
        let relations = about.get(stix_id.as_str()).map_or(&[][..], Vec::as_slice);
        let mut technique = technique.clone();
        technique.mitigations = mitigations(gathered, relations, repeated);
        let told = relations.iter().filter(|one| one.kind == "detects").map(|one| detection(gathered, one, repeated));
        let told: Vec<String> = std::iter::once(technique.detection).chain(told).collect();
        technique.detection = text::join(&told.iter().map(String::as_str).collect::<Vec<_>>());
        techniques.push(technique);
    }
    techniques.sort_by(|left, right| left.id.cmp(&right.id));
    techniques.into_iter().for_each(|one| sink(Ok(Record::Technique(Box::new(one)))));
    for relation in gathered.relations.iter().filter(|one| one.kind == "uses") {
        sentence(gathered, relation, sink);
    }
}

/// What `relations` say against a technique, by name.
fn mitigations(gathered: &Gathered, relations: &[&Relation], repeated: &mut Repeated) -> Vec<TechniqueMitigation> {
    let mut found: Vec<TechniqueMitigation> = Vec::new();
    for relation in relations.iter().filter(|one| one.kind == "mitigates") {
        let Some(measure) = gathered.named.get(&relation.source).filter(|one| !one.is_retired) else { continue };
        let mut description = text::attack(&relation.description);
        if description.is_empty() && repeated.allows(&measure.description) {
            description.clone_from(&measure.description);
        }
        found.push(TechniqueMitigation { name: measure.name.clone(), description });
    }
    found.sort_by(|left, right| (&left.name, &left.description).cmp(&(&right.name, &right.description)));
    found.dedup();
    found
}

/// A detection strategy with its analytics, or what a data component shows; empty where neither is known.
fn detection(gathered: &Gathered, relation: &Relation, repeated: &mut Repeated) -> String {
    let Some(source) = gathered.named.get(&relation.source).filter(|one| !one.is_retired) else { return String::new() };
    let mut lines = vec![source.name.clone()];
    let own = text::attack(&relation.description);
    if !own.is_empty() {
        lines = vec![format!("{}: {own}", source.name)];
    }
    for analytic in source.refs.iter().filter_map(|id| gathered.named.get(id)).filter(|one| !one.is_retired) {
        let (platforms, description) = (&analytic.platforms, &analytic.description);
        if !description.is_empty() && repeated.allows(description) && repeated.allows(platforms) {
            let colon = if platforms.is_empty() { "" } else { ": " };
            lines.push(format!("{platforms}{colon}{description}"));
        }
    }
    lines.join("\n")
}

/// A procedure example, where the relation leads to a live technique and says something.
fn sentence(gathered: &Gathered, relation: &Relation, sink: Sink<'_>) {
    if !relation.target.starts_with("attack-pattern--") {
        // A group uses software: no technique, so nothing to label.
        return;
    }
    let mut lost = |reason| sink(Err(Reject { place: relation.place.clone(), reason }));
    let Some(technique) = gathered.techniques.get(&relation.target) else {
        return lost(RejectReason::BadReference);
    };
    let words = one_line(&text::attack(&relation.description));
    if technique.is_retired || words.is_empty() {
        return lost(if technique.is_retired { RejectReason::Withdrawn } else { RejectReason::NoText });
    }
    let user = gathered.named.get(&relation.source).map(|one| one.name.clone());
    sink(Ok(Record::Sentence(Box::new(LabelledSentence {
        id: relation.id.clone(),
        document: user.filter(|name| !name.is_empty()).unwrap_or_else(|| relation.source.clone()),
        text: words,
        techniques: vec![technique.id.clone()],
        published: relation.created,
        source: NAME,
    }))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Domain;
    use crate::source::tests::parse;

    const BUNDLE: &str = include_str!("../../fixtures/attack-stix-2.1.json");

    fn read() -> (Vec<Technique>, Vec<LabelledSentence>, Vec<Reject>) {
        let (records, rejects) = parse(&Attack, BUNDLE).unwrap();
        let (mut techniques, mut sentences) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Technique(one) => techniques.push(*one),
                Record::Sentence(one) => sentences.push(*one),
                other => panic!("{other:?}"),
            }
        }
        (techniques, sentences, rejects)
    }

    #[test]
    fn techniques_are_read_with_mitigations_and_detection_and_without_citations() {
        let (techniques, _, _) = read();
        let mitigation =
            |name: &str, description: &str| TechniqueMitigation { name: name.into(), description: description.into() };
        let want = Technique {
            id: "T1901".parse().unwrap(),
            name: "Steep Tea".into(),
            domain: Domain::Enterprise,
            description: "Adversaries may steep C:\\tea for Kettle.\n\n- black\n- green".into(),
            tactics: vec!["collection".into(), "exfiltration".into()],
            platforms: vec!["Linux".into(), "Windows".into()],
            detection: "Smell it.\n\nDetect Steeping\nWindows: Watch for steam.\nLinux, macOS: Watch the `lid`.\n\n\
                        Kettle Content: Look into the kettle."
                .replace('`', ""),
            mitigations: vec![
                mitigation("Cold Water", "Water that is cold steeps nothing."),
                mitigation("User Training", "Teach them to wait."),
            ],
            is_retired: false,
            created: Some("2020-01-14".parse().unwrap()),
        };
        assert_eq!(techniques[0], want);
        let others: Vec<_> = techniques[1..].iter().map(|one| (one.id.as_str(), one.domain, one.is_retired)).collect();
        let want =
            [("T1901.001", Domain::Mobile, false), ("T1902", Domain::Ics, true), ("T1903", Domain::Enterprise, true)];
        assert_eq!(others, want);
    }

    #[test]
    fn procedure_examples_are_sentences_of_live_techniques() {
        let (_, sentences, rejects) = read();
        let found: Vec<_> =
            sentences.iter().map(|one| (one.id.as_str(), one.document.as_str(), one.text.as_str())).collect();
        let want = [
            ("relationship--u1", "Porcelain Panda", "Porcelain Panda used Samovar to steep tea in C:\\cup. It boiled."),
            ("relationship--u2", "malware--unknown", "It steeps in secret."),
        ];
        assert_eq!(found, want);
        assert_eq!(sentences[0].techniques, ["T1901".parse().unwrap()]);
        assert_eq!(sentences[0].published, Some("2021-04-27".parse().unwrap()));
        let reasons: Vec<_> = rejects.iter().map(|one| one.reason).collect();
        let want = [
            RejectReason::BadId,
            RejectReason::BadDate,
            RejectReason::WrongShape,
            RejectReason::Withdrawn,
            RejectReason::NoText,
            RejectReason::BadReference,
        ];
        assert_eq!(reasons, want);
    }

    #[test]
    fn a_small_bundle_does_not_become_a_large_one() {
        let refs = vec!["\"x-mitre-analytic--1\""; 100_000].join(",");
        let text = format!(
            r#"{{"type":"bundle","objects":[
            {{"type":"attack-pattern","id":"a","name":"b","external_references":[{{"source_name":"mitre-attack","external_id":"T1001"}}]}},
            {{"type":"x-mitre-detection-strategy","id":"s","name":"s","x_mitre_analytic_refs":[{refs}]}},
            {{"type":"x-mitre-analytic","id":"x-mitre-analytic--1","name":"n","description":"{}"}},
            {{"type":"relationship","id":"r","relationship_type":"detects","source_ref":"s","target_ref":"a"}}]}}"#,
            "long ".repeat(100_000)
        );
        let message = parse(&Attack, &text).unwrap_err().to_string();
        assert!(message.contains("relations repeat more than"), "{message}");
        let named = r#"{"type":"bundle","objects":[{"type":"tool","id":"x","x_mitre_version":"1","name":"N"}]}"#;
        let long = named.replace('N', &"n".repeat(2000));
        let (mut records, mut reasons) = (0, Vec::new());
        let _ = Attack.parse(&mut long.as_bytes(), "here", &mut |one| match one {
            Ok(_) => records += 1,
            Err(reject) => reasons.push(reject.reason),
        });
        assert_eq!((records, reasons), (0, vec![RejectReason::WrongShape]));
    }

    #[test]
    fn a_bundle_without_a_technique_is_an_error_and_capec_is_named() {
        let text = r#"{"type":"bundle","objects":[{"type":"attack-pattern","id":"a","name":"b"}]}"#;
        let message = parse(&Attack, text).unwrap_err().to_string();
        assert!(message.contains("no technique of ATT&CK"), "{message}");
        let message = parse(&Attack, include_str!("../../fixtures/capec-stix-2.1.json")).unwrap_err().to_string();
        assert!(message.contains("looks like CAPEC") && message.ends_with("source `capec` reads that"), "{message}");
    }
}
