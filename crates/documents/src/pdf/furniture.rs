//! What stands at the edges of many pages: running heads, page numbers, notices.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::Line;

/// How many lines at each edge of a page may be furniture.
const EDGE_LINES: usize = 3;
/// What stands on fewer pages than this may be text.
const MIN_PAGES: usize = 3;

/// Where a text stands at the edges of pages.
#[derive(Debug, Clone, Copy)]
struct Seen {
    count: usize,
    first: usize,
    last: usize,
}

impl Seen {
    /// On two pages in five or more from the first to the last one: heads may differ from left to right, and from
    /// chapter to chapter. The number of a page may stand alone on the first pages of chapters only.
    fn is_furniture(self, key: &str) -> bool {
        self.count >= MIN_PAGES && (key == NUMBER || self.count * 5 >= (self.last - self.first + 1) * 2)
    }
}

/// Drops what stands at the edges of many pages, numbers aside.
pub(super) fn drop_from(pages: &mut [Vec<Line>]) {
    let edges: Vec<Vec<(usize, String)>> = pages.iter().map(|page| edge_lines(page)).collect();
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    for (number, edges) in edges.iter().enumerate() {
        let keys: BTreeSet<&str> = edges.iter().map(|(_, key)| key.as_str()).collect();
        for key in keys {
            let seen = seen.entry(key).or_insert(Seen { count: 0, first: number, last: number });
            seen.count += 1;
            seen.last = number;
        }
    }
    for (page, edges) in pages.iter_mut().zip(&edges) {
        let is_furniture = |key: &str| seen.get(key).is_some_and(|seen| seen.is_furniture(key));
        let dropped: BTreeSet<usize> = edges.iter().filter(|(_, key)| is_furniture(key)).map(|(at, _)| *at).collect();
        let mut at = 0;
        page.retain(|_| {
            at += 1;
            !dropped.contains(&(at - 1))
        });
    }
}

/// Which lines stand highest and lowest, and their texts without numbers.
fn edge_lines(page: &[Line]) -> Vec<(usize, String)> {
    let mut order: Vec<usize> = (0..page.len()).collect();
    order.sort_by(|a, b| page[*a].height.total_cmp(&page[*b].height));
    let low = order.len().min(EDGE_LINES);
    let high = order.len().saturating_sub(EDGE_LINES).max(low);
    order[..low].iter().chain(&order[high..]).map(|at| (*at, without_numbers(&page[*at].text))).collect()
}

/// What a number is in a line without numbers.
const NUMBER: &str = "#";

/// A line with `#` for every number, Arabic or Roman, and without blanks.
fn without_numbers(text: &str) -> String {
    let text = text.trim();
    if text.len() <= 8 && text.bytes().all(|byte| matches!(byte.to_ascii_lowercase(), b'i' | b'v' | b'x' | b'l' | b'c'))
    {
        return NUMBER.into();
    }
    let mut key = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if !c.is_ascii_digit() {
            key.extend(c.to_lowercase());
        } else if !key.ends_with(NUMBER) {
            key.push_str(NUMBER);
        }
    }
    key
}
