//! CAPEC, the catalogue of attack patterns: MITRE's STIX 2.1 bundle, or its XML (schema ap_schema 3).
//!
//! Both tell the same; where they differ, what is read is brought to one form: `Access_Control` is `Access Control`, and
//! a step is `Phase: Name: what is done`, with its techniques as further lines.

mod bundle;
mod flow;
mod xml;

use std::io::BufRead;

use crate::error::Result;
use crate::format::Format;
use crate::source::{Sink, Source, expect_format};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Capec;

impl Source for Capec {
    fn name(&self) -> &'static str {
        "capec"
    }

    fn licence(&self) -> &'static str {
        "CAPEC terms of use (MITRE)"
    }

    fn reads(&self) -> &'static str {
        "the CAPEC catalogue (STIX 2.1 or XML)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::CapecStix | Format::Stix | Format::CapecXml)
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        match expect_format(self, reader, place)? {
            Format::CapecXml => xml::parse(*self, reader, place, sink),
            _ => bundle::parse(*self, reader, place, sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AttackPattern, CapecId, Consequence, CweId, Record, RejectReason};
    use crate::source::tests::parse;

    const BUNDLE: &str = include_str!("../../fixtures/capec-stix-2.1.json");
    const XML: &str = include_str!("../../fixtures/capec.xml");

    fn patterns(records: Vec<Record>) -> Vec<AttackPattern> {
        let patterns = records.into_iter().map(|record| match record {
            Record::Pattern(one) => *one,
            other => panic!("{other:?}"),
        });
        patterns.collect()
    }

    /// What both files say of their first pattern.
    fn overfilling() -> AttackPattern {
        let consequence = |scope: &str, impacts: &[&str]| Consequence {
            scopes: vec![scope.into()],
            impacts: impacts.iter().map(|one| (*one).to_owned()).collect(),
            note: String::new(),
        };
        AttackPattern {
            id: CapecId(901),
            name: "Overfilling a Teapot".into(),
            abstraction: "Standard".into(),
            status: "Draft".into(),
            description: "An adversary pours more than the pot can hold.\n- first slowly\n- then all at once".into(),
            extended_description: "Lids do not help.\nThey float.".into(),
            likelihood: "High".into(),
            severity: "Medium".into(),
            prerequisites: vec!["The pot does not check how full it is.".into()],
            steps: vec![
                "Explore: Survey the pot: The adversary looks for a pot with <input type='tea'>.\n- Look through the spout.\
                 \n- Knock on it."
                    .into(),
                "Exploit: Pour until it runs over.".into(),
            ],
            consequences: vec![
                consequence("Access Control", &["Gain Privileges"]),
                consequence("Availability", &["Resource Consumption", "Unreliable Execution"]),
            ],
            mitigations: vec!["Measure the water first.".into(), "Use a larger pot.".into()],
            examples: vec!["In 1987 a pot was filled with <script>pour()</script> and ran over.".into()],
            weaknesses: vec![CweId(119), CweId(770)],
            techniques: vec!["T1499".parse().unwrap(), "T1499.001".parse().unwrap()],
            parents: vec![CapecId(900)],
            created: Some("2014-06-23".parse().unwrap()),
        }
    }

    #[test]
    fn a_bundle_is_read_with_all_that_it_says_of_a_pattern() {
        let (records, rejects) = parse(&Capec, BUNDLE).unwrap();
        let found = patterns(records);
        let ids: Vec<_> = found.iter().map(|one| one.id.0).collect();
        assert_eq!(ids, [900, 901, 902], "in order of their numbers");
        assert_eq!(found[1], overfilling());
        assert!(found[2].is_deprecated() && found[2].mitigations.is_empty());
        let reasons: Vec<_> = rejects.iter().map(|one| (one.reason, one.place.as_str())).collect();
        let want = [
            (RejectReason::BadCwe, "here object 4"),
            (RejectReason::BadReference, "here object 4"),
            (RejectReason::BadId, "here object 5"),
            (RejectReason::WrongShape, "here object 11"),
            (RejectReason::BadReference, "here object 4"),
        ];
        assert_eq!(reasons, want);
    }

    #[test]
    fn the_xml_says_the_same_as_the_bundle() {
        let (records, rejects) = parse(&Capec, XML).unwrap();
        let found = patterns(records);
        assert_eq!(found.iter().map(|one| one.id.0).collect::<Vec<_>>(), [901, 902]);
        assert_eq!(found[0], overfilling());
        assert!(found[1].is_deprecated());
        let reasons: Vec<_> = rejects.iter().map(|one| one.reason).collect();
        assert_eq!(reasons, [RejectReason::BadCwe, RejectReason::BadReference, RejectReason::BadId]);
    }

    #[test]
    fn a_bundle_without_a_pattern_of_capec_is_an_error() {
        for objects in
            ["", r#"{"type":"identity","id":"identity--1"}"#, r#"{"type":"attack-pattern","id":"a","name":"b"}"#]
        {
            let text = format!(r#"{{"type":"bundle","objects":[{objects}]}}"#);
            let message = parse(&Capec, &text).unwrap_err().to_string();
            assert!(message.contains("no attack pattern of CAPEC"), "{message}");
        }
        let message = parse(&Capec, r#"{"type":"bundle","id":"x"}"#).unwrap_err().to_string();
        assert!(message.contains("no array of objects"), "{message}");
    }
}
