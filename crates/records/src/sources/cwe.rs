//! The CWE catalogue: MITRE's XML (schema cwe-7), plain or in its zip.
//!
//! Read are weaknesses, categories and views with their relations and mapping usage, and of a weakness what can be
//! told in prose; demonstrative examples, references and history are left out.

use std::io::BufRead;

use crate::error::Result;
use crate::format::Format;
use crate::record::{
    Category, Consequence, CweId, Mitigation, ObservedExample, Record, Reject, RejectReason, Relation, Usage, View,
    Weakness,
};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::xml::{Element, entries};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Cwe;

impl Source for Cwe {
    fn name(&self) -> &'static str {
        "cwe"
    }

    fn licence(&self) -> &'static str {
        "CWE terms of use (MITRE)"
    }

    fn reads(&self) -> &'static str {
        "the CWE catalogue (XML)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::CweXml
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        let mut each = |root: &Element, entry: Element| {
            let made = match entry.name.as_str() {
                "Weakness" => weakness(root, &entry),
                "Category" => category(&entry),
                "View" => view(&entry),
                _ => return,
            };
            let id = entry.attribute("ID").unwrap_or("?").chars().take(20).collect::<String>();
            sink(made.map_err(|reason| Reject { place: format!("{place} {} `{id}`", entry.name), reason }));
        };
        entries(reader, &mut each).map_err(|error| broken(self, place, &error))
    }
}

fn weakness(root: &Element, entry: &Element) -> Result<Record, RejectReason> {
    let description = one_paragraph(&entry.text_of("Description"));
    let usage = usage(entry)?;
    let made = Weakness {
        id: id_of(entry, "ID")?,
        name: name_of(entry)?,
        abstraction: entry.attribute("Abstraction").unwrap_or_default().into(),
        status: entry.attribute("Status").unwrap_or_default().into(),
        usage,
        description,
        extended_description: entry.text_of("Extended_Description"),
        alternate_terms: entry.all_in("Alternate_Terms", "Alternate_Term").map(|one| one.text_of("Term")).collect(),
        relations: relations(entry, "Related_Weaknesses", "Related_Weakness")?,
        consequences: entry.all_in("Common_Consequences", "Consequence").map(consequence).collect(),
        mitigations: entry.all_in("Potential_Mitigations", "Mitigation").map(mitigation).collect(),
        observed_examples: entry.all_in("Observed_Examples", "Observed_Example").map(observed).collect(),
        edition: root.attribute("Date").and_then(|date| date.parse().ok()),
    };
    if made.description.is_empty() {
        return Err(RejectReason::NoEnglishDescription);
    }
    Ok(Record::Weakness(Box::new(made)))
}

fn category(entry: &Element) -> Result<Record, RejectReason> {
    Ok(Record::Category(Category {
        id: id_of(entry, "ID")?,
        name: name_of(entry)?,
        status: entry.attribute("Status").unwrap_or_default().into(),
        summary: one_paragraph(&entry.text_of("Summary")),
        members: relations(entry, "Relationships", "Has_Member")?,
    }))
}

fn view(entry: &Element) -> Result<Record, RejectReason> {
    let members: Result<_, _> = entry.all_in("Members", "Has_Member").map(|one| id_of(one, "CWE_ID")).collect();
    Ok(Record::View(View {
        id: id_of(entry, "ID")?,
        name: name_of(entry)?,
        status: entry.attribute("Status").unwrap_or_default().into(),
        objective: one_paragraph(&entry.text_of("Objective")),
        members: members?,
    }))
}

/// An entry without mapping notes is allowed: older editions of the catalogue have none.
fn usage(entry: &Element) -> Result<Usage, RejectReason> {
    let text = entry.child("Mapping_Notes").map(|notes| notes.text_of("Usage")).unwrap_or_default();
    if text.is_empty() {
        return Ok(Usage::Allowed);
    }
    text.parse().map_err(|()| RejectReason::WrongShape)
}

fn relations(entry: &Element, outer: &str, inner: &str) -> Result<Vec<Relation>, RejectReason> {
    let relation = |one: &Element| {
        let view = one.attribute("View_ID").map(str::parse).transpose();
        Ok(Relation {
            nature: one.attribute("Nature").unwrap_or(inner).into(),
            target: id_of(one, "CWE_ID")?,
            view: view.map_err(|_| RejectReason::BadId)?,
        })
    };
    entry.all_in(outer, inner).map(relation).collect()
}

fn consequence(entry: &Element) -> Consequence {
    Consequence {
        scopes: entry.texts_of("Scope"),
        impacts: entry.texts_of("Impact"),
        note: one_paragraph(&entry.text_of("Note")),
    }
}

fn mitigation(entry: &Element) -> Mitigation {
    Mitigation {
        phases: entry.texts_of("Phase"),
        strategy: entry.text_of("Strategy"),
        description: one_paragraph(&entry.text_of("Description")),
    }
}

fn observed(entry: &Element) -> ObservedExample {
    ObservedExample { reference: entry.text_of("Reference"), description: one_paragraph(&entry.text_of("Description")) }
}

fn id_of(entry: &Element, attribute: &str) -> Result<CweId, RejectReason> {
    let text = entry.attribute(attribute).ok_or(RejectReason::WrongShape)?;
    text.parse().map(CweId).map_err(|_| RejectReason::BadId)
}

fn name_of(entry: &Element) -> Result<String, RejectReason> {
    let name = crate::clean::one_line(entry.attribute("Name").unwrap_or_default());
    if name.is_empty() { Err(RejectReason::WrongShape) } else { Ok(name) }
}

/// Several lines of plain text as one.
fn one_paragraph(text: &str) -> String {
    crate::clean::one_line(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::source::tests::parse;

    const CATALOGUE: &str = include_str!("../../fixtures/cwe.xml");

    #[test]
    fn weaknesses_categories_and_views_are_read() {
        let (records, rejects) = parse(&Cwe, CATALOGUE).unwrap();
        assert_eq!(records.len(), 7);
        let reasons: Vec<_> = rejects.iter().map(|one| (one.place.as_str(), one.reason)).collect();
        assert_eq!(reasons, [("here Weakness `none`", RejectReason::BadId)]);
        let catalogue = Catalogue::from_records(records);
        let one = catalogue.weakness(CweId(9001)).unwrap();
        assert_eq!(one.name, "Boiling Over 'Overflow'");
        assert_eq!((one.abstraction.as_str(), one.status.as_str()), ("Base", "Stable"));
        assert_eq!(one.usage, Usage::AllowedWithReview);
        assert_eq!(one.description, "The pot holds more water than it can & boils.");
        assert_eq!(one.extended_description, "First paragraph.\nSecond paragraph with\n- one\n- two");
        assert_eq!(one.alternate_terms, ["Spillage"]);
        assert_eq!(one.relations.len(), 3);
        assert_eq!(one.consequences[0].scopes, ["Integrity", "Availability"]);
        assert_eq!(one.consequences[0].impacts, ["Wet Table"]);
        assert_eq!(one.mitigations[0].description, "Use a larger pot. Watch it.");
        assert_eq!(one.observed_examples[0].reference, "CVE-2019-0101");
        assert_eq!(one.edition.unwrap().to_string(), "2024-01-02");
        assert_eq!(catalogue.category(CweId(9100)).unwrap().members[0].target, CweId(9001));
        assert_eq!(catalogue.view(CweId(1000)).unwrap().members, [CweId(9000)]);
        assert_eq!(catalogue.research().ancestors(CweId(9001)), [(CweId(9000), 1)]);
        assert!(
            catalogue.may_label(CweId(9001)) && !catalogue.may_label(CweId(9002)) && !catalogue.may_label(CweId(9100))
        );
    }

    #[test]
    fn a_catalogue_that_breaks_off_is_an_error() {
        let message = parse(&Cwe, &CATALOGUE[..CATALOGUE.len() / 2]).unwrap_err().to_string();
        assert!(message.contains("`here` cannot be read as the CWE catalogue"), "{message}");
    }
}
