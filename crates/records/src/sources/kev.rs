//! CISA's catalogue of Known Exploited Vulnerabilities (KEV), as JSON or as the same catalogue's CSV.
//!
//! Specification: `known_exploited_vulnerabilities_schema.json` of CISA. Its dates are days; a day that is none is told,
//! and the year of the ID stands in for the day of listing.

use std::io::BufRead;

use serde::Deserialize;

use crate::clean::one_line;
use crate::error::Result;
use crate::format::Format;
use crate::input::walk::{extension, is_container};
use crate::merge::date_or_year;
use crate::record::{CveId, CweId, Exploited, Published, Record, Reject, RejectReason};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::csv::{Rows, columns};
use crate::sources::json::{elements, or_default, record};
use crate::sources::lines::read_or_reject;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Kev;

impl Source for Kev {
    fn name(&self) -> &'static str {
        "kev"
    }

    fn licence(&self) -> &'static str {
        "CC0 (CISA)"
    }

    fn reads(&self) -> &'static str {
        "CISA's Known Exploited Vulnerabilities catalogue (JSON or CSV)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::Kev | Format::KevCsv)
    }

    fn wants(&self, place: &str) -> bool {
        is_container(place) || (matches!(extension(place).as_str(), "csv" | "json") && !place.ends_with("schema.json"))
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        if expect_format(self, reader, place)? == Format::KevCsv {
            return self.parse_csv(reader, place, sink);
        }
        let mut number = 0;
        let mut each = |text: &str| {
            number += 1;
            read_or_reject(read, text, &|| format!("{place} record {number}"), sink);
        };
        let arrays = elements(reader, &["vulnerabilities"], &mut each).map_err(|error| broken(self, place, &error))?;
        if arrays == 0 {
            return Err(broken(self, place, &"it has no array of vulnerabilities"));
        }
        Ok(())
    }
}

/// The columns of the CSV, which are called as the fields of the JSON.
const COLUMNS: [&str; 10] = [
    "cveID",
    "vendorProject",
    "product",
    "vulnerabilityName",
    "dateAdded",
    "shortDescription",
    "requiredAction",
    "dueDate",
    "knownRansomwareCampaignUse",
    "cwes",
];
/// Columns without which there is no entry.
const NEEDED: [&str; 2] = ["cveID", "dateAdded"];

impl Kev {
    fn parse_csv(self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        let broken = |error: &dyn std::fmt::Display| broken(&self, place, error);
        let mut rows = Rows::new(reader);
        let head = rows.next_row().map_err(|error| broken(&error))?.and_then(Result::ok).unwrap_or_default();
        let at = columns(&head, COLUMNS);
        if let Some(missing) = NEEDED.iter().find(|name| columns(&head, [**name]) == [None]) {
            return Err(broken(&format!("it has no column `{missing}`")));
        }
        while let Some(row) = rows.next_row().map_err(|error| broken(&error))? {
            let place = format!("{place} line {}", rows.number);
            let entry = row.and_then(|row| {
                if row.len() != head.len() {
                    return Err(RejectReason::WrongShape);
                }
                Entry::of_row(at.map(|at| at.map_or("", |at| row[at].as_str()))).add(&|| place.clone(), sink)
            });
            if let Err(reason) = entry {
                sink(Err(Reject { place, reason }));
            }
        }
        Ok(())
    }
}

/// An entry as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve_id: String,
    #[serde(deserialize_with = "or_default")]
    vendor_project: String,
    #[serde(deserialize_with = "or_default")]
    product: String,
    #[serde(deserialize_with = "or_default")]
    vulnerability_name: String,
    #[serde(deserialize_with = "or_default")]
    date_added: String,
    #[serde(deserialize_with = "or_default")]
    short_description: String,
    #[serde(deserialize_with = "or_default")]
    required_action: String,
    #[serde(deserialize_with = "or_default")]
    due_date: String,
    #[serde(deserialize_with = "or_default")]
    known_ransomware_campaign_use: String,
    #[serde(deserialize_with = "or_default")]
    cwes: Vec<String>,
}

fn read(text: &str, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
    record::<Entry>(text)?.add(place, sink)
}

impl Entry {
    /// Out of the fields in the order of [`COLUMNS`].
    fn of_row(fields: [&str; COLUMNS.len()]) -> Self {
        let [cve_id, vendor, product, name, added, description, action, due, ransomware, cwes] = fields;
        let cwes = cwes.split([',', ';']).map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
        Self {
            cve_id: cve_id.into(),
            vendor_project: vendor.into(),
            product: product.into(),
            vulnerability_name: name.into(),
            date_added: added.into(),
            short_description: description.into(),
            required_action: action.into(),
            due_date: due.into(),
            known_ransomware_campaign_use: ransomware.into(),
            cwes,
        }
    }

    /// Hands the entry to `sink`; an error is why it is lost.
    fn add(self, place: &dyn Fn() -> String, sink: Sink<'_>) -> Result<(), RejectReason> {
        let id: CveId = self.cve_id.trim().parse().map_err(|_| RejectReason::BadId)?;
        let mut lost = |reason| sink(Err(Reject { place: place(), reason }));
        let mut day = |text: &str| -> Option<Published> {
            let day = text.trim().parse().ok();
            if day.is_none() && !text.trim().is_empty() {
                lost(RejectReason::BadDate);
            }
            day
        };
        let (added, due) = (day(&self.date_added), day(&self.due_date));
        let mut cwes: Vec<CweId> = Vec::new();
        for text in &self.cwes {
            match text.trim().parse() {
                Ok(cwe) => cwes.push(cwe),
                Err(_) => lost(RejectReason::BadCwe),
            }
        }
        sink(Ok(Record::Exploited(Box::new(Exploited {
            id,
            vendor: one_line(&self.vendor_project),
            product: one_line(&self.product),
            name: one_line(&self.vulnerability_name),
            added: date_or_year(added, id),
            due,
            action: one_line(&self.required_action),
            description: one_line(&self.short_description),
            ransomware: self.known_ransomware_campaign_use.trim().eq_ignore_ascii_case("known"),
            cwes,
        }))));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const JSON: &str = include_str!("../../fixtures/kev.json");
    const CSV: &str = include_str!("../../fixtures/kev.csv");

    fn entries(text: &str) -> (Vec<Exploited>, Vec<RejectReason>) {
        let (records, rejects) = parse(&Kev, text).unwrap();
        let entries = records.into_iter().map(|record| match record {
            Record::Exploited(one) => *one,
            other => panic!("{other:?}"),
        });
        (entries.collect(), rejects.into_iter().map(|one| one.reason).collect())
    }

    #[test]
    fn json_and_csv_say_the_same() {
        let (found, rejects) = entries(JSON);
        let want = Exploited {
            id: "CVE-2024-0101".parse().unwrap(),
            vendor: "Acme".into(),
            product: "Kettle, \"Pro\"".into(),
            name: "Acme Kettle Spout Traversal".into(),
            added: "2024-02-03".parse().unwrap(),
            due: Some("2024-02-24".parse().unwrap()),
            action: "Pour it out.".into(),
            description: "The spout of the kettle leads out of the kitchen.".into(),
            ransomware: true,
            cwes: vec![CweId(22), CweId(59)],
        };
        assert_eq!(found[0], want);
        assert_eq!((found.len(), found[1].ransomware, found[1].due), (3, false, None));
        assert_eq!(found[1].added.to_string(), "2023", "the year of its ID");
        assert_eq!(
            rejects,
            [RejectReason::BadDate, RejectReason::BadCwe, RejectReason::BadId, RejectReason::WrongShape]
        );
        let (from_csv, rejects) = entries(CSV);
        assert_eq!(from_csv, found);
        assert_eq!(
            rejects,
            [RejectReason::BadDate, RejectReason::BadCwe, RejectReason::BadId, RejectReason::WrongShape]
        );
    }

    #[test]
    fn a_table_without_its_columns_or_json_without_its_array_is_an_error() {
        let message = parse(&Kev, "cveID,product\nCVE-2024-0001,x\n").unwrap_err().to_string();
        assert!(message.contains("no column `dateAdded`"), "{message}");
        let message = parse(&Kev, r#"{"catalogVersion":"1","x":{"vulnerabilities":[]}}"#).unwrap_err().to_string();
        assert!(message.contains("no array of vulnerabilities"), "{message}");
    }

    #[test]
    fn an_older_csv_without_the_newer_columns_is_read() {
        let (found, rejects) = entries("cveID,dateAdded\nCVE-2021-0001,2021-11-03\n");
        assert_eq!((found.len(), found[0].added.to_string().as_str(), rejects.len()), (1, "2021-11-03", 0));
    }
}
