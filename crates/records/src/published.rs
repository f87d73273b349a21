//! When a vulnerability was published: a day, or only the year of its ID where a feed has no dates.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is neither `2024-03-01…` nor `2024`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date\nhint: write a day as `2024-03-01`, or a year as `2024`")]
pub struct DateError(String);

/// A day, or a year. Ordered by the earliest day it can mean; the year alone comes before its first of January.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Published {
    year: u16,
    /// 1..=12, and 0 where only the year is known.
    month: u8,
    /// 1..=31, and 0 where only the year is known.
    day: u8,
}

impl Published {
    /// Only the year is known.
    #[must_use]
    pub fn in_year(year: u16) -> Self {
        Self { year, month: 0, day: 0 }
    }

    /// The day, or an error where the calendar has no such day.
    ///
    /// # Errors
    /// Where month or day is out of range.
    pub fn on_day(year: u16, month: u8, day: u8) -> Result<Self, DateError> {
        let wrong = || DateError(format!("{year:04}-{month:02}-{day:02}"));
        let date = |part: u8| i8::try_from(part).map_err(|_| wrong());
        let calendar_year = i16::try_from(year).map_err(|_| wrong())?;
        Date::new(calendar_year, date(month)?, date(day)?).map_err(|_| wrong())?;
        Ok(Self { year, month, day })
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> u16 {
        self.year
    }

    /// Whether the day is known, not only the year.
    #[must_use]
    pub fn is_day(self) -> bool {
        self.month != 0
    }

    /// The earliest day this can mean, as year, month and day.
    #[must_use]
    pub fn earliest(self) -> (u16, u8, u8) {
        (self.year, self.month.max(1), self.day.max(1))
    }

    /// The earlier of two dates of one thing, where a known day always beats a mere year.
    #[must_use]
    pub fn or_better(self, other: Self) -> Self {
        match (self.is_day(), other.is_day()) {
            (true, false) => self,
            (false, true) => other,
            _ => self.min(other),
        }
    }
}

impl Ord for Published {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |date: Self| (date.earliest(), date.is_day());
        key(*self).cmp(&key(*other))
    }
}

impl PartialOrd for Published {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_day() {
            write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
        } else {
            write!(out, "{:04}", self.year)
        }
    }
}

impl FromStr for Published {
    type Err = DateError;

    /// Reads `2024`, `2024-03-01`, or a timestamp that begins with such a day.
    fn from_str(text: &str) -> Result<Self, DateError> {
        let wrong = || DateError(text.chars().take(40).collect());
        let number = |part: &str| -> Result<u16, DateError> {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits).ok_or_else(wrong)
        };
        let part = |range: std::ops::Range<usize>| text.get(range).ok_or_else(wrong);
        let year = number(part(0..4)?)?;
        if text.len() == 4 {
            return Ok(Self::in_year(year));
        }
        let ends = matches!(text.as_bytes().get(10), None | Some(b'T' | b' ' | b'Z'));
        if part(4..5)? != "-" || part(7..8)? != "-" || !ends {
            return Err(wrong());
        }
        let small = |value: u16| u8::try_from(value).map_err(|_| wrong());
        Self::on_day(year, small(number(part(5..7)?)?)?, small(number(part(8..10)?)?)?)
    }
}

impl Serialize for Published {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Published {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(text: &str) -> Published {
        text.parse().unwrap()
    }

    #[test]
    fn days_years_and_timestamps_are_read() {
        for (text, want) in [
            ("2024-03-01", "2024-03-01"),
            ("2024", "2024"),
            ("2024-09-20T17:15:15.240", "2024-09-20"),
            ("1988-10-01T04:00Z", "1988-10-01"),
        ] {
            assert_eq!(date(text).to_string(), want);
        }
    }

    #[test]
    fn days_that_the_calendar_lacks_are_refused() {
        for text in ["", "20", "2023-02-29", "2024-13-01", "2024-00-01", "2024-1-1", "2024-01-011", "+024", "２０２４"]
        {
            assert!(text.parse::<Published>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_year_alone_sorts_as_its_first_day() {
        assert!(date("2023-12-31") < date("2024"));
        assert!(date("2024") < date("2024-01-01"));
        assert!(date("2024") < date("2024-01-02"));
    }

    #[test]
    fn a_known_day_beats_a_year_and_the_earlier_day_beats_the_later() {
        assert_eq!(date("2023").or_better(date("2024-05-06")), date("2024-05-06"));
        assert_eq!(date("2024-05-06").or_better(date("2024-05-01")), date("2024-05-01"));
        assert_eq!(date("2024").or_better(date("2023")), date("2023"));
    }

    proptest! {
        #[test]
        fn every_date_survives_the_round_trip(year in 1980u16..2100, month in 1u8..=12, day in 1u8..=28) {
            let day = Published::on_day(year, month, day).unwrap();
            prop_assert_eq!(day.to_string().parse::<Published>().unwrap(), day);
            let year = Published::in_year(year);
            prop_assert_eq!(year.to_string().parse::<Published>().unwrap(), year);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,20}") {
            let _ = text.parse::<Published>();
        }
    }
}
