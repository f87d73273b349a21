//! FIRST's Exploit Prediction Scoring System (EPSS): the CSV of one day, with or without its comment line.
//!
//! Specification: `https://www.first.org/epss/data_stats`. The first line says `#model_version:…,score_date:…`; files
//! from before 2022 lack it, and their scores have no day here.

use std::io::BufRead;

use crate::error::Result;
use crate::format::Format;
use crate::input::walk::{extension, is_container};
use crate::record::{EpssScore, Published, Record, Reject, RejectReason};
use crate::source::{Sink, Source, broken, expect_format};
use crate::sources::csv::{Rows, columns};

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Epss;

impl Source for Epss {
    fn name(&self) -> &'static str {
        "epss"
    }

    fn licence(&self) -> &'static str {
        "free to use with attribution (FIRST)"
    }

    fn reads(&self) -> &'static str {
        "EPSS scores of one day (CSV)"
    }

    fn accepts(&self, format: Format) -> bool {
        format == Format::Epss
    }

    fn wants(&self, place: &str) -> bool {
        is_container(place) || extension(place) == "csv"
    }

    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
        expect_format(self, reader, place)?;
        let broken = |error: &dyn std::fmt::Display| broken(self, place, error);
        let mut rows = Rows::new(reader);
        let mut next = || rows.next_row().map(|row| row.map(|row| (row, rows.number))).map_err(|error| broken(&error));
        let mut head = next()?.and_then(|(row, _)| row.ok()).unwrap_or_default();
        let mut day = None;
        if head.first().is_some_and(|field| field.starts_with('#')) {
            day = Some(day_of(&head).ok_or_else(|| broken(&"its first line states no score_date"))?);
            head = next()?.and_then(|(row, _)| row.ok()).unwrap_or_default();
        }
        let [Some(cve), Some(epss), Some(percentile)] = columns(&head, ["cve", "epss", "percentile"]) else {
            return Err(broken(&"it has not the columns `cve`, `epss` and `percentile`"));
        };
        while let Some((row, number)) = next()? {
            let score = row.and_then(|row| {
                let field = |at: usize| row.get(at).map(|field| field.trim()).ok_or(RejectReason::WrongShape);
                Ok(EpssScore {
                    id: field(cve)?.parse().map_err(|_| RejectReason::BadId)?,
                    probability: share(field(epss)?)?,
                    percentile: share(field(percentile)?)?,
                    day,
                })
            });
            let reject = |reason| Reject { place: format!("{place} line {number}"), reason };
            sink(score.map(Record::Epss).map_err(reject));
        }
        Ok(())
    }
}

/// The day in `#model_version:v2023.03.01,score_date:2024-05-06T00:00:00+0000`.
fn day_of(comment: &[String]) -> Option<Published> {
    let stated = comment.iter().find_map(|field| field.trim_start_matches('#').trim().strip_prefix("score_date:"));
    stated?.trim().parse().ok()
}

/// A number of 0..=1.
fn share(text: &str) -> Result<f64, RejectReason> {
    let number: f64 = text.parse().map_err(|_| RejectReason::WrongShape)?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(RejectReason::WrongShape) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::parse;

    const CSV: &str = include_str!("../../fixtures/epss.csv");

    #[test]
    fn scores_have_the_day_of_the_comment_and_bad_rows_are_rejects() {
        let (records, rejects) = parse(&Epss, CSV).unwrap();
        let score = |id: &str, probability, percentile| {
            let day = Some("2024-05-06".parse().unwrap());
            Record::Epss(EpssScore { id: id.parse().unwrap(), probability, percentile, day })
        };
        let want = [
            score("CVE-2024-0101", 0.9751, 0.9999),
            score("CVE-2023-0102", 0.00043, 0.08),
            score("CVE-2024-0103", 1.0, 0.0),
        ];
        assert_eq!(records, want);
        let found: Vec<_> = rejects.iter().map(|one| (one.place.as_str(), one.reason)).collect();
        let wrong = RejectReason::WrongShape;
        let want = [
            ("here line 5", RejectReason::BadId),
            ("here line 6", wrong),
            ("here line 7", wrong),
            ("here line 8", wrong),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn an_old_file_without_the_comment_is_read_without_a_day() {
        let (records, _) = parse(&Epss, "cve,epss,percentile\nCVE-2021-0001,0.5,0.5\n").unwrap();
        assert!(matches!(&records[..], [Record::Epss(one)] if one.day.is_none()));
    }

    #[test]
    fn a_comment_without_a_day_or_a_table_without_its_columns_is_an_error() {
        for (text, want) in [
            ("#model_version:v1,score_date:never\ncve,epss,percentile\n", "states no score_date"),
            ("#model_version:v1,score_date:2024-05-06\ncve,score\n", "has not the columns"),
            ("cve,epss\nCVE-2021-0001,0.5\n", "has not the columns"),
        ] {
            let message = parse(&Epss, text).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }
}
