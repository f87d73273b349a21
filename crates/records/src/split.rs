//! Train, validation and test: by publication date where there is one, so that a model is measured on what came after
//! it learned, and by a stable draw where there is none.
//!
//! Things that are too alike form a group ([`crate::dedup`]; equal origins; equal texts). The rules, in this order:
//!
//! - A group stands in one split: that of its earliest dated member, else the one that its name draws.
//! - A member whose own date names a later split than the group's is left out: it may not teach, being too young, and
//!   may not test, being known.
//! - What is dated by a year alone may be younger than it looks, and is left out of training and validation.
//! - What tells of CVEs must agree with all of them that have a place, or is left out.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use crate::dataset::Split;
use crate::dedup::near_duplicates;
use crate::error::{Error, Result};
use crate::manifest::GroupCounts;
use crate::record::{CveId, Published};

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

    /// First day of validation.
    #[must_use]
    pub fn validation_from(&self) -> Published {
        self.validation_from
    }

    /// First day of test.
    #[must_use]
    pub fn test_from(&self) -> Published {
        self.test_from
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

/// Where one thing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its split.
    pub split: Split,
    /// Its group: the place of the group's first member among all things.
    pub group: u64,
}

/// Why a thing has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unplaced {
    /// Its group began in an earlier split than its own date names.
    YoungerThanItsGroup,
    /// Only its year is known, and it would have to be older than a border for sure.
    DatedByYearOnly,
    /// It tells of CVEs that stand in another split, or in several.
    CvesElsewhere,
}

impl Unplaced {
    /// It as the manifest writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::YoungerThanItsGroup => "younger_than_its_group",
            Self::DatedByYearOnly => "dated_by_year_only",
            Self::CvesElsewhere => "cves_elsewhere",
        }
    }
}

/// A place, or why there is none.
pub type Place = std::result::Result<Placed, Unplaced>;

/// Something that is to stand in one split.
#[derive(Debug, Clone, Copy)]
pub struct Thing<'a> {
    /// Unique among the things of all kinds; what an undated one is drawn by.
    pub id: &'a str,
    /// What near-duplicates are found by.
    pub text: &'a str,
    /// When it was published.
    pub published: Option<Published>,
    /// Things of one origin (a report, a commit) are of one group; empty where there is none.
    pub origin: &'a str,
    /// The CVE that it is, where it is one.
    pub is_cve: Option<CveId>,
    /// The CVEs that it tells of.
    pub cves: &'a [CveId],
}

/// How things are placed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Where splits begin.
    pub borders: Borders,
    /// Jaccard similarity from which on two texts are near-duplicates, above 0 and up to 1.
    pub near_duplicate_threshold: f64,
    /// The share of undated groups that validates, 0..=1.
    pub validation_share: f64,
    /// The share of undated groups that tests, 0..=1.
    pub test_share: f64,
}

/// Places every thing; the same ones for the same things in the same order.
#[must_use]
pub fn place(things: &[Thing<'_>], rules: &Rules) -> (Vec<Place>, GroupCounts) {
    let (placed, _, counts) = place_in_groups(things, rules);
    (placed, counts)
}

/// As [`place`], with the group of each thing, of those without a place too.
#[must_use]
pub fn place_in_groups(things: &[Thing<'_>], rules: &Rules) -> (Vec<Place>, Vec<u32>, GroupCounts) {
    let texts: Vec<&str> = things.iter().map(|one| one.text).collect();
    let grouping = near_duplicates(&texts, rules.near_duplicate_threshold);
    let groups = join_origins(things, grouping.groups);
    let split_of_group = splits_of_groups(things, &groups, rules);
    let mut placed: Vec<Place> = Vec::with_capacity(things.len());
    for (thing, &group) in things.iter().zip(&groups) {
        placed.push(place_one(thing, Placed { split: split_of_group[&group], group: u64::from(group) }, rules));
    }
    agree_with_cves(things, &mut placed);
    (placed, groups, grouping.counts)
}

/// Groups that share an origin become one, named by their smallest member.
fn join_origins(things: &[Thing<'_>], groups: Vec<u32>) -> Vec<u32> {
    let mut parent: HashMap<u32, u32> = HashMap::new();
    let root = |parent: &HashMap<u32, u32>, mut group: u32| {
        while let Some(&up) = parent.get(&group) {
            group = up;
        }
        group
    };
    let mut first_of: HashMap<&str, u32> = HashMap::new();
    for (thing, &group) in things.iter().zip(&groups).filter(|(thing, _)| !thing.origin.is_empty()) {
        let here = root(&parent, group);
        let known = root(&parent, *first_of.entry(thing.origin).or_insert(here));
        if here != known {
            parent.insert(here.max(known), here.min(known));
        }
    }
    groups.into_iter().map(|group| root(&parent, group)).collect()
}

fn splits_of_groups(things: &[Thing<'_>], groups: &[u32], rules: &Rules) -> HashMap<u32, Split> {
    let mut dated: HashMap<u32, Split> = HashMap::new();
    let mut names: HashMap<u32, &str> = HashMap::new();
    for (thing, &group) in things.iter().zip(groups) {
        if let Some(date) = thing.published {
            let split = rules.borders.split_of(date);
            dated.entry(group).and_modify(|known| *known = split.min(*known)).or_insert(split);
        }
        names.entry(group).and_modify(|known| *known = thing.id.min(*known)).or_insert(thing.id);
    }
    let split = |(group, name): (u32, &str)| {
        (
            group,
            dated.get(&group).copied().unwrap_or_else(|| draw_split(name, (rules.validation_share, rules.test_share))),
        )
    };
    names.into_iter().map(split).collect()
}

/// A number that a name fixes.
pub(crate) fn name_hash(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// The split that a name draws: a function of the name and the shares (of validation, of test) alone, so that later
/// editions keep it.
pub(crate) fn draw_split(name: &str, (validation, test): (f64, f64)) -> Split {
    let at = name_hash(name) as f64 / u64::MAX as f64;
    if at < test {
        Split::Test
    } else if at < test + validation {
        Split::Validation
    } else {
        Split::Train
    }
}

fn place_one(thing: &Thing<'_>, placed: Placed, rules: &Rules) -> Place {
    let Some(date) = thing.published else {
        return Ok(placed);
    };
    if rules.borders.split_of(date) != placed.split {
        return Err(Unplaced::YoungerThanItsGroup);
    }
    if !date.is_day() && placed.split != Split::Test {
        return Err(Unplaced::DatedByYearOnly);
    }
    Ok(placed)
}

/// Takes the place from what tells of CVEs in another split.
fn agree_with_cves(things: &[Thing<'_>], placed: &mut [Place]) {
    let split_of = |place: &Place| place.as_ref().ok().map(|one| one.split);
    let cves: HashMap<CveId, Split> =
        things.iter().zip(&*placed).filter_map(|(one, place)| Some((one.is_cve?, split_of(place)?))).collect();
    for (thing, place) in things.iter().zip(placed) {
        let elsewhere = |split| thing.cves.iter().filter_map(|id| cves.get(id)).any(|known| *known != split);
        if split_of(place).is_some_and(elsewhere) {
            *place = Err(Unplaced::CvesElsewhere);
        }
    }
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

/// Counts places by split, and what has none by reason.
#[must_use]
pub fn tally<'a>(places: impl Iterator<Item = &'a Place>) -> (BTreeMap<Split, u64>, BTreeMap<String, u64>) {
    let (mut placed, mut left_out) = (BTreeMap::new(), BTreeMap::new());
    for place in places {
        match place {
            Ok(one) => *placed.entry(one.split).or_default() += 1,
            Err(why) => *left_out.entry(why.name().to_owned()).or_default() += 1,
        }
    }
    (placed, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let borders = Borders::new("2023-01-01".parse().unwrap(), "2024-01-01".parse().unwrap()).unwrap();
        Rules { borders, near_duplicate_threshold: 0.8, validation_share: 0.1, test_share: 0.1 }
    }

    fn thing<'a>(id: &'a str, text: &'a str, date: &str) -> Thing<'a> {
        Thing { id, text, published: date.parse().ok(), origin: "", is_cve: id.parse().ok(), cves: &[] }
    }

    fn splits(things: &[Thing<'_>]) -> Vec<std::result::Result<Split, Unplaced>> {
        place(things, &rules()).0.into_iter().map(|place| place.map(|one| one.split)).collect()
    }

    #[test]
    fn the_first_day_of_a_border_belongs_to_the_later_split() {
        let split = |text: &str| rules().borders.split_of(text.parse().unwrap());
        assert_eq!(split("2022-12-31"), Split::Train);
        assert_eq!(split("2023-01-01"), Split::Validation);
        assert_eq!(split("2023-12-31"), Split::Validation);
        assert_eq!(split("2024-01-01"), Split::Test);
    }

    #[test]
    fn borders_in_the_wrong_order_are_refused() {
        let message = Borders::new("2024-01-01".parse().unwrap(), "2023-01-01".parse().unwrap()).unwrap_err();
        assert!(message.to_string().contains("before validation"), "{message}");
    }

    #[test]
    fn a_later_copy_of_a_training_text_neither_teaches_nor_tests() {
        let text = "A crafted kettle lets remote attackers boil the sugar over the saucer in the tearoom";
        let things = [thing("CVE-2022-0001", text, "2022-05-01"), thing("CVE-2024-0001", text, "2024-05-01")];
        assert_eq!(splits(&things), [Ok(Split::Train), Err(Unplaced::YoungerThanItsGroup)]);
    }

    #[test]
    fn a_year_alone_is_enough_for_the_test_only() {
        let things = [
            thing("CVE-2022-0001", "One kettle boils on the stove of the tearoom", "2022"),
            thing("CVE-2024-0001", "Another spoon stirs milk into somebody's cup", "2024"),
        ];
        assert_eq!(splits(&things), [Err(Unplaced::DatedByYearOnly), Ok(Split::Test)]);
    }

    #[test]
    fn what_tells_of_cves_stands_where_they_stand_or_nowhere() {
        let (old, new) = (["CVE-2022-0001".parse().unwrap()], ["CVE-2024-0001".parse().unwrap()]);
        let both = [old[0], new[0]];
        let things = [
            thing("CVE-2022-0001", "One kettle boils on the stove of the tearoom", "2022-02-02"),
            thing("CVE-2024-0001", "Another spoon stirs milk into somebody's cup", "2024-02-02"),
            Thing { cves: &old, ..thing("a", "Advisory on a very hot stove in some kitchen", "2022-03-03") },
            Thing { cves: &new, ..thing("b", "Notice of a long wooden spoon from a forest", "2022-03-03") },
            Thing { cves: &both, ..thing("c", "Yearly letter with all the news of teapots", "2024-03-03") },
            Thing { cves: &new, ..thing("d", "Notes about a certain cup without any date", "") },
        ];
        let found = splits(&things);
        assert_eq!(found[2..5], [Ok(Split::Train), Err(Unplaced::CvesElsewhere), Err(Unplaced::CvesElsewhere)]);
    }

    #[test]
    fn one_origin_is_one_group_and_undated_groups_are_drawn_by_name() {
        let mut things = vec![
            Thing { origin: "commit", ..thing("a", "One kettle boils on the stove of the tearoom", "") },
            Thing { origin: "commit", ..thing("b", "Another spoon stirs milk into somebody's cup", "") },
        ];
        let (placed, _) = place(&things, &rules());
        assert_eq!(placed[0], placed[1]);
        things.reverse();
        assert_eq!(place(&things, &rules()).0[0].unwrap().split, placed[0].unwrap().split);
        let drawn: Vec<Split> = (0..2000).map(|at| draw_split(&format!("CWE-{at}"), (0.1, 0.1))).collect();
        let tests = drawn.iter().filter(|split| **split == Split::Test).count();
        assert!((150..250).contains(&tests), "{tests}");
    }
}
