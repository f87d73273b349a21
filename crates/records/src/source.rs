//! What a source of records is: a name, its terms, and a pure parser of one opened file.

use std::io::BufRead;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::input::walk::may_be_data;
use crate::record::{Record, Reject};
use crate::sources::{
    attack::Attack, capec::Capec, certcc::CertCc, csaf::Csaf, cvelist::CveList, cwe::Cwe, documents::Documents,
    epss::Epss, kev::Kev, nvd::Nvd, osv::Osv, sigma::Sigma, sven::Sven, tram::Tram,
};

/// Every source.
pub static ALL: &[&dyn Source] =
    &[&Nvd, &CveList, &Cwe, &Capec, &Attack, &Kev, &Epss, &Osv, &Csaf, &CertCc, &Sigma, &Tram, &Sven, &Documents];

/// Where a parser puts its records and rejects, one after the other.
pub type Sink<'a> = &'a mut dyn FnMut(Result<Record, Reject>);

/// No single record of a real feed is near this size.
pub const MAX_RECORD_BYTES: usize = 32 << 20;

/// A place that records come from.
pub trait Source: Sync {
    /// Stable name, as recipes and labels write it.
    fn name(&self) -> &'static str;

    /// The terms of its data.
    fn licence(&self) -> &'static str;

    /// What it reads, in words for errors.
    fn reads(&self) -> &'static str;

    /// Whether a file that begins like this is for it.
    fn accepts(&self, format: Format) -> bool;

    /// Whether a file in a folder or archive is worth opening, by its place.
    fn wants(&self, place: &str) -> bool {
        may_be_data(place)
    }

    /// Streams one opened and decompressed file into `sink`; `place` is how errors and rejects call the file.
    ///
    /// Pure: no network, no clock. A bad record is a [`Reject`], a bad file is an error.
    ///
    /// # Errors
    /// Where the file as a whole cannot be read.
    fn parse(&self, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()>;
}

/// The source called `name`.
///
/// # Errors
/// Where there is none.
pub fn by_name(name: &str) -> Result<&'static dyn Source> {
    let found = ALL.iter().copied().find(|source| source.name() == name);
    found.ok_or_else(|| Error::UnknownSource {
        name: name.into(),
        known: ALL.iter().map(|source| format!("`{}`", source.name())).collect::<Vec<_>>().join(", "),
    })
}

/// The format of what `reader` holds; an error where `source` does not read that.
pub(crate) fn expect_format(source: &dyn Source, reader: &mut dyn BufRead, place: &str) -> Result<Format> {
    let head = reader.fill_buf().map_err(|error| broken(source, place, &error))?;
    let format = Format::of(head);
    if source.accepts(format) {
        return Ok(format);
    }
    let better = ALL.iter().find(|other| other.accepts(format));
    Err(Error::WrongFormat {
        place: place.into(),
        looks_like: format.describe(),
        wanted: source.reads(),
        hint: match better {
            Some(other) => format!("source `{}` reads that", other.name()),
            None => "no source reads that".into(),
        },
    })
}

/// The error of a file that is broken beyond one record.
pub(crate) fn broken(source: &dyn Source, place: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Broken { place: place.into(), wanted: source.reads(), detail: error.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Everything that `source` makes of `text`.
    pub(crate) fn parse(source: &dyn Source, text: &str) -> Result<(Vec<Record>, Vec<Reject>)> {
        let (mut records, mut rejects) = (Vec::new(), Vec::new());
        let mut sink = |one| match one {
            Ok(record) => records.push(record),
            Err(reject) => rejects.push(reject),
        };
        source.parse(&mut text.as_bytes(), "here", &mut sink)?;
        Ok((records, rejects))
    }

    #[test]
    fn every_source_has_a_name_and_terms_and_is_found_by_its_name() {
        for source in ALL {
            assert_eq!(by_name(source.name()).unwrap().name(), source.name());
            assert!(!source.licence().is_empty() && !source.reads().is_empty());
        }
        let error = by_name("mitre").err().unwrap().to_string();
        assert!(error.contains("`mitre`") && error.contains("`nvd`, `cvelist`, `cwe`"), "{error}");
    }

    #[test]
    fn a_file_of_the_wrong_format_is_named_with_the_source_that_reads_it() {
        for source in ALL {
            for (text, looks, better) in [
                (r#"{"CVE_Items":[]}"#, "an NVD feed", "nvd"),
                (r#"{"cveMetadata":{}}"#, "CVE records", "cvelist"),
                ("<Weakness_Catalog/>", "the CWE catalogue", "cwe"),
            ] {
                if source.name() == better {
                    continue;
                }
                let message = parse(*source, text).unwrap_err().to_string();
                assert!(message.contains("`here` looks like ") && message.contains(looks), "{message}");
                assert!(message.ends_with(&format!("hint: source `{better}` reads that")), "{message}");
            }
            // For it, a web page and an empty file are documents without text.
            if source.name() == "documents" {
                continue;
            }
            let message = parse(*source, "<html>404</html>").unwrap_err().to_string();
            assert!(message.contains("a web page") && message.contains("no source reads that"), "{message}");
            assert!(parse(*source, "").unwrap_err().to_string().contains("an empty file"));
        }
    }
}
