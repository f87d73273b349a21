//! Train, validation and test by publication date, so that a model is measured on what came after it learned.
//!
//! Near-duplicates ([`crate::dedup`]) never cross a border: a group goes to the split of its earliest member, so that
//! nothing that is tested was seen in training.

use std::collections::{BTreeMap, HashMap};

use crate::dataset::Split;
use crate::error::{Error, Result};
use crate::manifest::Moved;
use crate::record::Published;

/// The two days that separate three splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borders {
    validation_from: Published,
    test_from: Published,
}

impl Borders {
    /// Training before `validation_from`, validation before `test_from`, test from then on.
    ///
    /// # Errors
    /// Where the test would begin before the validation.
    pub fn new(validation_from: Published, test_from: Published) -> Result<Self> {
        if test_from < validation_from {
            return Err(Error::Options {
                problem: format!("the test begins on `{test_from}`, before validation on `{validation_from}`"),
                hint: "validation_from must not be after test_from".into(),
            });
        }
        Ok(Self { validation_from, test_from })
    }

    /// The split of a date; a year alone counts as its first day.
    #[must_use]
    pub fn split_of(&self, date: Published) -> Split {
        let day = date.earliest();
        if day >= self.test_from.earliest() {
            Split::Test
        } else if day >= self.validation_from.earliest() {
            Split::Validation
        } else {
            Split::Train
        }
    }
}

/// Where one record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its split.
    pub split: Split,
    /// The split that its own date names; later than `split` where its group moved it.
    pub by_date: Split,
    /// Its group: the place of the group's first member.
    pub group: u64,
}

impl Placed {
    /// Whether its group moved it into an earlier split.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.split != self.by_date
    }
}

/// Places every record; `groups[i]` names the group of record `i` by the place of one of its members.
///
/// # Panics
/// Where `dates` and `groups` differ in length.
#[must_use]
pub fn place(dates: &[Published], groups: &[u32], borders: &Borders) -> Vec<Placed> {
    assert_eq!(dates.len(), groups.len(), "one group a record");
    let by_date: Vec<Split> = dates.iter().map(|date| borders.split_of(*date)).collect();
    let mut earliest: HashMap<u32, Split> = HashMap::new();
    for (&group, &split) in groups.iter().zip(&by_date) {
        let entry = earliest.entry(group).or_insert(split);
        *entry = split.min(*entry);
    }
    let place =
        |(&group, &by_date): (&u32, &Split)| Placed { split: earliest[&group], by_date, group: u64::from(group) };
    groups.iter().zip(&by_date).map(place).collect()
}

/// How many records went from where to where, in the order of splits.
#[must_use]
pub fn moved(placed: &[Placed]) -> Vec<Moved> {
    let mut counts: BTreeMap<(Split, Split), u64> = BTreeMap::new();
    for one in placed.iter().filter(|one| one.is_moved()) {
        *counts.entry((one.by_date, one.split)).or_default() += 1;
    }
    let entry = |((from, to), count)| Moved { from, to, count };
    counts.into_iter().map(entry).collect()
}

/// How many keys (groups, or texts) have members in more than one split. Knows nothing of how the split was made.
#[must_use]
pub fn across_borders<K: Eq + std::hash::Hash>(members: impl Iterator<Item = (K, Split)>) -> u64 {
    let mut seen: HashMap<K, (Split, bool)> = HashMap::new();
    for (key, split) in members {
        let entry = seen.entry(key).or_insert((split, false));
        entry.1 |= entry.0 != split;
    }
    seen.values().filter(|(_, crosses)| *crosses).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(texts: &[&str]) -> Vec<Published> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn borders() -> Borders {
        Borders::new("2023-01-01".parse().unwrap(), "2024-01-01".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_first_day_of_a_border_belongs_to_the_later_split() {
        let split = |text: &str| borders().split_of(text.parse().unwrap());
        assert_eq!(split("2022-12-31"), Split::Train);
        assert_eq!(split("2023-01-01"), Split::Validation);
        assert_eq!(split("2023-12-31"), Split::Validation);
        assert_eq!(split("2024-01-01"), Split::Test);
    }

    #[test]
    fn a_year_alone_is_placed_as_its_first_day() {
        let split = |text: &str| borders().split_of(text.parse().unwrap());
        assert_eq!((split("2022"), split("2023"), split("2024")), (Split::Train, Split::Validation, Split::Test));
        let by_year = Borders::new(Published::in_year(2023), Published::in_year(2024)).unwrap();
        assert_eq!(by_year.split_of("2024-01-01".parse().unwrap()), Split::Test);
    }

    #[test]
    fn a_group_goes_to_the_split_of_its_earliest_member() {
        let dates = dates(&["2024-05-01", "2022-05-01", "2023-05-01", "2024-06-01", "2023-06-01"]);
        let placed = place(&dates, &[0, 0, 2, 2, 4], &borders());
        let splits: Vec<Split> = placed.iter().map(|one| one.split).collect();
        assert_eq!(splits, [Split::Train, Split::Train, Split::Validation, Split::Validation, Split::Validation]);
        let want = [
            Moved { from: Split::Test, to: Split::Train, count: 1 },
            Moved { from: Split::Test, to: Split::Validation, count: 1 },
        ];
        assert_eq!(moved(&placed).len(), 2);
        assert!(want.iter().all(|one| moved(&placed).contains(one)));
        assert_eq!(across_borders(placed.iter().map(|one| (one.group, one.split))), 0);
    }

    #[test]
    fn the_check_counts_each_group_that_crosses_once() {
        let members = [
            (1, Split::Train),
            (1, Split::Test),
            (1, Split::Test),
            (2, Split::Test),
            (3, Split::Validation),
            (3, Split::Train),
        ];
        assert_eq!(across_borders(members.into_iter()), 2);
    }

    #[test]
    fn a_test_before_validation_is_refused() {
        let error = Borders::new("2024-01-01".parse().unwrap(), "2023-01-01".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("`2023-01-01`"));
    }
}
