//! NVD: yearly feeds (JSON 1.1), feeds and API pages of version 2.0, and single CVEs of either format.
//!
//! Specifications: `nvd_cve_feed_json_1.1.schema` and `cve_api_json_2.0.schema` of NIST. What is not needed
//! (references, match criteria beyond names) is skipped by the parser and never held.

mod api20;
mod feed11;

use std::io::{BufRead, Read};

use serde::de::IgnoredAny;

use crate::error::Result;
use crate::format::Format;
use crate::source::{MAX_RECORD_BYTES, Sink, Source, broken, expect_format};
use crate::sources::json::elements;
use crate::sources::lines::read_or_reject;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Nvd;

const NAME: &str = "nvd";

impl Source for Nvd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn licence(&self) -> &'static str {
        "US government work (NVD)"
    }

    fn reads(&self) -> &'static str {
        "an NVD feed (JSON 1.1 or 2.0)"
    }

    fn accepts(&self, format: Format) -> bool {
        matches!(format, Format::NvdFeed11 | Format::NvdApi20 | Format::NvdSingle)
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        let format = expect_format(self, reader, place)?;
        if format == Format::NvdSingle {
            return self.parse_single(reader, place, sink);
        }
        let read = if format == Format::NvdFeed11 { feed11::read } else { api20::read };
        let mut number = 0;
        let mut each = |text: &str| {
            number += 1;
            read_or_reject(read, text, &|| format!("{place} record {number}"), sink);
        };
        let arrays = elements(reader, &["CVE_Items", "vulnerabilities"], &mut each)
            .map_err(|error| broken(self, place, &error))?;
        if arrays == 0 {
            return Err(broken(self, place, &"it has no array of CVEs"));
        }
        Ok(())
    }
}

impl Nvd {
    fn parse_single(self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        let broken = |error: &dyn std::fmt::Display| broken(&self, place, error);
        let mut text = String::new();
        let mut limited = reader.take(MAX_RECORD_BYTES as u64 + 1);
        limited.read_to_string(&mut text).map_err(|error| broken(&error))?;
        if text.len() > MAX_RECORD_BYTES {
            return Err(broken(&format!("one record has more than {MAX_RECORD_BYTES} bytes")));
        }
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| broken(&error))?;
        let old = text.contains("\"CVE_data_meta\"");
        let read = if old { feed11::read } else { api20::read };
        read_or_reject(read, text, &|| place.to_owned(), sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, RejectReason, Vulnerability, WithdrawnState};
    use crate::source::tests::parse;

    const FEED_11: &str = include_str!("../../fixtures/nvd-feed-1.1.json");
    const API_20: &str = include_str!("../../fixtures/nvd-api-2.0.json");

    fn vulnerabilities(records: &[Record]) -> Vec<&Vulnerability> {
        records
            .iter()
            .filter_map(|record| match record {
                Record::Vulnerability(one) => Some(&**one),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_yearly_feed_is_read_with_labels_vectors_products_and_dates() {
        let (records, rejects) = parse(&Nvd, FEED_11).unwrap();
        assert_eq!(records.len(), 3);
        let found = vulnerabilities(&records);
        let one = found[0];
        assert_eq!(one.id.to_string(), "CVE-2019-0101");
        assert_eq!(one.description, "The teapot daemon in Acme Kettle 1.0 overflows a buffer when it pours.");
        assert_eq!((one.published.to_string().as_str(), one.modified), ("2019-03-04", 20_200_506_120_000));
        assert_eq!(
            one.cwes.iter().map(|label| label.value.to_string()).collect::<Vec<_>>(),
            ["CWE-120", "NVD-CWE-Other"]
        );
        assert!(one.cwes.iter().all(|label| label.primary && label.source == "nvd"));
        let vectors: Vec<_> = one.cvss.iter().map(|label| label.value.as_str()).collect();
        assert_eq!(vectors, ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "AV:N/AC:L/Au:N/C:P/I:P/A:P"]);
        let products: Vec<_> = one.products.iter().map(|one| one.product.as_str()).collect();
        assert_eq!(products, ["kettle", "saucer"], "nested nodes too, what is not vulnerable not");
        assert!(matches!(&records[1], Record::Withdrawn(one) if one.state == WithdrawnState::Rejected));
        assert_eq!(rejects.len(), 3, "{rejects:?}");
        let reasons: Vec<_> = rejects.iter().map(|reject| reject.reason).collect();
        assert_eq!(reasons, [RejectReason::BadId, RejectReason::WrongShape, RejectReason::BadCvss]);
        assert_eq!(rejects[0].place, "here record 3");
    }

    #[test]
    fn a_page_of_the_api_keeps_who_gave_each_label() {
        let (records, rejects) = parse(&Nvd, API_20).unwrap();
        assert!(rejects.is_empty(), "{rejects:?}");
        let found = vulnerabilities(&records);
        assert_eq!((records.len(), found.len()), (2, 1));
        let one = found[0];
        assert_eq!(one.published.to_string(), "2024-05-06");
        let labels: Vec<_> =
            one.cwes.iter().map(|label| (label.value.to_string(), label.source.as_str(), label.primary)).collect();
        let want = [
            ("CWE-79".to_owned(), "nvd", true),
            ("CWE-80".to_owned(), "cna:security@acme.example", false),
            ("CWE-116".to_owned(), "adp:CISA-ADP", false),
        ];
        assert_eq!(labels, want);
        assert_eq!(one.cvss.len(), 2);
        assert_eq!(one.products.len(), 1);
        assert!(matches!(&records[1], Record::Withdrawn(_)), "by its status");
    }

    #[test]
    fn single_records_of_both_formats_are_read() {
        let item = |text: &str, key: &str| {
            let page: serde_json::Value = serde_json::from_str(text).unwrap();
            page[key][0].clone()
        };
        let old = item(FEED_11, "CVE_Items");
        let new = item(API_20, "vulnerabilities");
        for single in [old, new.clone(), new["cve"].clone()] {
            let (records, _) = parse(&Nvd, &single.to_string()).unwrap();
            assert_eq!(vulnerabilities(&records).len(), 1);
        }
    }

    #[test]
    fn a_feed_that_breaks_off_is_an_error_with_its_line() {
        for cut in [100, 900, FEED_11.trim_end().len() - 1] {
            let message = parse(&Nvd, &FEED_11[..cut]).unwrap_err().to_string();
            assert!(message.contains("`here`") && message.contains("hint:"), "{message}");
        }
    }

    #[test]
    fn records_of_any_other_shape_are_rejects_and_no_crash() {
        for record in
            ["null", "7", "[]", "{}", r#"{"cve":[]}"#, r#"{"cve":{"id":7}}"#, r#"{"cve":{"descriptions":{}}}"#]
        {
            for key in ["CVE_Items", "vulnerabilities"] {
                let (records, rejects) = parse(&Nvd, &format!("{{\"{key}\":[{record}]}}")).unwrap();
                assert_eq!((records.len(), rejects.len()), (0, 1), "{key} {record}");
            }
        }
    }
}
