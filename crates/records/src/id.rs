//! Identifiers that are valid once they exist: a CVE ID and a CWE ID.
//!
//! Specifications: the `cveId` pattern of the CVE record format, and the numbering of the CWE catalogue.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}\nhint: {hint}")]
pub struct IdError {
    kind: &'static str,
    text: String,
    hint: &'static str,
}

impl IdError {
    pub(crate) fn new(kind: &'static str, text: &str, hint: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        Self { kind, text, hint }
    }
}

/// A CVE ID such as `CVE-2024-0012`: a year and a number that is written with at least four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CveId {
    year: u16,
    number: u64,
}

impl CveId {
    /// The year in the ID: when it was reserved, which is no later than when it was published.
    #[must_use]
    pub fn year(self) -> u16 {
        self.year
    }

    /// The number after the year.
    #[must_use]
    pub fn number(self) -> u64 {
        self.number
    }

    /// Every CVE ID that stands anywhere in `text`, in any case, sorted and each once; the first `most` different ones.
    #[must_use]
    pub fn find_all(text: &str, most: usize) -> Vec<Self> {
        let bytes = text.as_bytes();
        let mut found = BTreeSet::new();
        for at in 0..bytes.len() {
            if found.len() >= most {
                break;
            }
            let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
            if begins && bytes[at..].get(..4).is_some_and(|mark| mark.eq_ignore_ascii_case(b"CVE-")) {
                found.extend(Self::after_mark(&bytes[at + 4..]));
            }
        }
        found.into_iter().collect()
    }

    /// The ID whose year begins `rest`.
    fn after_mark(rest: &[u8]) -> Option<Self> {
        let count = rest.get(5..)?.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&rest[..5 + count]).ok()?;
        format!("CVE-{text}").parse().ok()
    }
}

impl fmt::Display for CveId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CVE-{:04}-{:04}", self.year, self.number)
    }
}

impl FromStr for CveId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new("CVE ID", text, "it looks like `CVE-2024-12345`");
        let rest = text.strip_prefix("CVE-").ok_or_else(wrong)?;
        let (year, number) = rest.split_once('-').ok_or_else(wrong)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let padded = number.len() > 4 && number.starts_with('0');
        if year.len() != 4 || !(4..=19).contains(&number.len()) || padded {
            return Err(wrong());
        }
        if !digits(year) || !digits(number) {
            return Err(wrong());
        }
        Ok(Self { year: year.parse().map_err(|_| wrong())?, number: number.parse().map_err(|_| wrong())? })
    }
}

/// A CWE ID such as `CWE-79`: the number of a weakness, category or view of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CweId(pub u32);

impl CweId {
    /// The first CWE ID anywhere in `text`, in any case and with `-`, `_`, `:` or a blank before the number.
    #[must_use]
    pub fn find_in(text: &str) -> Option<Self> {
        Self::find_span_in(text).map(|(_, id)| id)
    }

    /// As [`CweId::find_in`], with the bytes of `text` that it stands in.
    #[must_use]
    pub fn find_span_in(text: &str) -> Option<(Range<usize>, Self)> {
        let bytes = text.as_bytes();
        let starts =
            bytes.windows(3).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(b"cwe")).map(|(at, _)| at);
        starts.filter(|&at| at == 0 || !bytes[at - 1].is_ascii_alphanumeric()).find_map(|at| {
            let (len, id) = Self::number_at(&bytes[at + 3..])?;
            Some((at..at + 3 + len, id))
        })
    }

    /// The number that follows the letters `CWE`, if one does, and the bytes from those letters to its end.
    fn number_at(rest: &[u8]) -> Option<(usize, Self)> {
        let mark = rest.iter().take_while(|byte| b"-_: ".contains(byte)).take(2).count();
        let digits = &rest[mark..];
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&digits[..count]).ok()?;
        Some((mark + count, Self(text.parse().ok()?)))
    }
}

impl fmt::Display for CweId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CWE-{}", self.0)
    }
}

impl FromStr for CweId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new("CWE ID", text, "it looks like `CWE-79`");
        let number = text.strip_prefix("CWE-").ok_or_else(wrong)?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(wrong());
        }
        number.parse().map(Self).map_err(|_| wrong())
    }
}

impl Serialize for CweId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CweId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cve_id_is_read_and_written_alike() {
        for text in ["CVE-1999-0001", "CVE-2024-12345", "CVE-2021-1000999"] {
            assert_eq!(text.parse::<CveId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_quite_a_cve_id_is_refused() {
        for text in [
            "",
            "CVE",
            "cve-2024-1234",
            "CVE-24-1234",
            "CVE-2024-123",
            "CVE-2024-01234",
            "CVE-2024-12a4",
            "CVE-2024-99999999999999999999",
            "CVE-2024-+123",
            "CVE-20２4-1234",
        ] {
            assert!(text.parse::<CveId>().is_err(), "{text}");
        }
    }

    #[test]
    fn cve_ids_sort_by_year_then_number() {
        let id = |text: &str| text.parse::<CveId>().unwrap();
        assert!(id("CVE-2023-99999") < id("CVE-2024-0001"));
        assert!(id("CVE-2024-9999") < id("CVE-2024-10000"));
    }

    #[test]
    fn cve_ids_are_found_anywhere_in_a_text_sorted_and_each_once() {
        let text =
            "See CVE-2024-12345, cve-2021-0001; (CVE-2024-12345) xCVE-2020-1111 CVE-20-1 CVE-2022-123 é\u{301}CVE-";
        let shown = |most| CveId::find_all(text, most).iter().map(CveId::to_string).collect::<Vec<_>>();
        assert_eq!(shown(9), ["CVE-2021-0001", "CVE-2024-12345"]);
        assert_eq!(shown(1), ["CVE-2024-12345"]);
        assert!(shown(0).is_empty());
        assert!(CveId::find_all("CVE-2024-123456789012345678901", 9).is_empty());
    }

    #[test]
    fn an_error_names_the_text_and_hints_at_the_form() {
        let message = "CWE79".parse::<CweId>().unwrap_err().to_string();
        assert_eq!(message, "`CWE79` is not a CWE ID\nhint: it looks like `CWE-79`");
    }

    #[test]
    fn a_cwe_id_is_found_anywhere_in_a_text_and_the_first_one_counts() {
        for text in ["CWE-79", "It is cwe-79, not CWE-80.", "(CWE 79)", "CWE:79", "CWE_79: XSS", "CWE79"] {
            assert_eq!(CweId::find_in(text), Some(CweId(79)), "{text}");
        }
        for text in ["", "79", "CWE", "CWE-", "NCWE-79", "CWE-99999999999", "CWE---79", "é"] {
            assert_eq!(CweId::find_in(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_cve_id_survives_the_round_trip(year in 1000u16..=9999, number in 0u64..=9_999_999_999) {
            let text = CveId { year, number }.to_string();
            prop_assert_eq!(text.parse::<CveId>().unwrap(), CveId { year, number });
        }

        #[test]
        fn every_cwe_id_survives_the_round_trip(number: u32) {
            prop_assert_eq!(CweId(number).to_string().parse::<CweId>().unwrap(), CweId(number));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,60}") {
            let _ = text.parse::<CveId>();
            let _ = text.parse::<CweId>();
            let _ = CweId::find_in(&text);
            let _ = CveId::find_all(&text, 3);
        }
    }
}
