//! The confusion picture: a heat map with a row a true label and a column an answer.

use wardsmith_eval::evaluate::{Confusion, SystemResult};

use super::Report;
use super::markup::{Element, el, text_in};
use super::tables::scrolling;
use super::words;

/// Sizes in the picture's own units.
const CELL: f64 = 30.0;
const LEFT: f64 = 78.0;
const TOP: f64 = 84.0;
/// The slanted name of the last column needs this much.
const RIGHT: f64 = 48.0;
const BOTTOM: f64 = 14.0;

/// The section; `None` where no label was answered.
pub(super) fn section(report: &Report, system: &SystemResult) -> Option<Element> {
    let confusion = &system.confusion;
    if confusion.labels.is_empty() {
        return None;
    }
    let caption = format!(
        "Answers of {} for the {} most frequent labels. A row is a true label, a column an answer, a cell the number of \
         examples; it is the darker the larger its share of the row, and right answers stand on the framed diagonal. The \
         cells add up to {} examples.",
        system.name,
        confusion.labels.len(),
        words::count(system.answers as u64)
    );
    let figure = el("figure")
        .child(scrolling("Confusion picture", picture(report, confusion, &caption)))
        .child(text_in("figcaption", caption));
    Some(el("section").with("id", "confusion").child(text_in("h2", "What is mistaken for what")).child(figure))
}

fn picture(report: &Report, confusion: &Confusion, description: &str) -> Element {
    let labels = confusion.labels.len();
    let (width, height) = (LEFT + (labels + 2) as f64 * CELL + RIGHT, TOP + (labels + 1) as f64 * CELL + BOTTOM);
    let name = |index: usize| match index {
        label if label < labels => confusion.labels[label].clone(),
        other if other == labels => "other".into(),
        _ => "unparseable".into(),
    };
    let cells = confusion.rows.iter().enumerate().flat_map(|(row, counts)| {
        let total: usize = counts.iter().sum();
        counts.iter().enumerate().map(move |(column, &count)| {
            let told = format!(
                "truth {}, answer {}: {} of {}",
                name(row),
                name(column),
                words::count(count as u64),
                words::count(total as u64)
            );
            let share = count as f64 / total.max(1) as f64;
            cell((row, column), count, share).child(text_in("title", told))
        })
    });
    let heads = (0..labels + 2).map(|column| column_head(report, &name(column), column));
    let rows = (0..=labels).map(|row| row_head(report, &name(row), row));
    let diagonal = (0..labels).map(|at| square(at, at).class("diagonal").with("aria-hidden", "true"));
    el("svg")
        .class("confusion")
        .with("viewBox", format!("0 0 {width} {height}"))
        .with("style", format!("width:{width}px"))
        .with("role", "img")
        .with("aria-labelledby", "confusion-title confusion-description")
        .child(text_in("title", "Truth by answer").with("id", "confusion-title"))
        .child(text_in("desc", description).with("id", "confusion-description"))
        .children(heads)
        .children(rows)
        .children(cells)
        .children(diagonal)
}

fn column_head(report: &Report, name: &str, column: usize) -> Element {
    let x = LEFT + (column as f64 + 0.5) * CELL + 4.0;
    text_in("text", name)
        .with("transform", format!("translate({x} {}) rotate(-60)", TOP - 6.0))
        .child(text_in("title", report.titled(name)))
}

fn row_head(report: &Report, name: &str, row: usize) -> Element {
    text_in("text", name)
        .with("x", LEFT - 6.0)
        .with("y", TOP + (row as f64 + 0.5) * CELL + 4.0)
        .with("text-anchor", "end")
        .child(text_in("title", report.titled(name)))
}

fn square(row: usize, column: usize) -> Element {
    el("rect")
        .with("x", LEFT + column as f64 * CELL)
        .with("y", TOP + row as f64 * CELL)
        .with("width", CELL)
        .with("height", CELL)
}

/// A cell with its count; which class its text has depends on how dark it is in either theme.
fn cell((row, column): (usize, usize), count: usize, share: f64) -> Element {
    let class = match share {
        dark if dark > 0.8 => "cell on-light on-dark",
        middle if middle > 0.55 => "cell on-dark",
        _ => "cell",
    };
    let shade = square(row, column).class("shade").with("fill-opacity", format!("{share:.2}"));
    let group = el("g").class(class).child(shade);
    if count == 0 {
        return group;
    }
    group.child(
        text_in("text", count)
            .with("x", LEFT + (column as f64 + 0.5) * CELL)
            .with("y", TOP + (row as f64 + 0.5) * CELL + 4.0)
            .with("text-anchor", "middle"),
    )
}
