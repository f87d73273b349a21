//! The pictures of the report: classes by split as bars, classes by year as a strip, and how few names have how much.

use std::collections::BTreeMap;

use super::balance::{ByYear, ClassCount, Classes};
use super::measure::share;
use super::records::{Concentration, RecordBias};
use super::svg::{Anchor, Svg, cut};
use super::{BiasReport, TaskBias};
use crate::dataset::Split;

/// So many classes have bars.
const BARS: usize = 20;
/// Years of fewer examples have no column.
const FEWEST_OF_A_YEAR: u64 = 20;
const LABEL_WIDTH: f64 = 270.0;

/// A picture as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Its file's name.
    pub(super) name: String,
    /// What it shows, in a few words.
    pub(super) title: String,
    /// The file.
    pub(super) svg: String,
}

/// All pictures of a report.
pub(super) fn all(report: &BiasReport) -> Vec<Picture> {
    let mut all = vec![names(&report.records)];
    for (task, bias) in &report.tasks {
        all.extend(of_task(task, bias));
    }
    all
}

/// The pictures of one task, where it has labels.
fn of_task(task: &str, bias: &TaskBias) -> Vec<Picture> {
    let Some(labels) = &bias.labels else { return Vec::new() };
    vec![classes(task, &labels.classes), years(task, &labels.classes.by_year)]
}

/// The class of a split's bars.
fn series(split: Split) -> &'static str {
    match split {
        Split::Train => "first",
        Split::Validation => "second",
        Split::Test => "third",
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn classes(task: &str, classes: &Classes) -> Picture {
    let shown = &classes.told[..classes.told.len().min(BARS)];
    let totals: BTreeMap<Split, u64> = classes.balance.iter().map(|(split, one)| (*split, one.examples)).collect();
    let of = |one: &ClassCount, split: Split| one.examples.get(&split).copied().unwrap_or(0);
    let part = |one: &ClassCount, split: &Split| share(of(one, *split), totals[split]);
    let most = shown.iter().flat_map(|one| totals.keys().map(move |split| part(one, split))).fold(0.01, f64::max);
    let (bar, gap) = (11.0, 9.0);
    let row = bar * totals.len() as f64 + gap;
    let (width, top) = (720.0, 66.0);
    let title = format!("{task}: the most frequent classes");
    let description = format!(
        "Share of each of the {} most frequent training classes in each split; {}.",
        shown.len(),
        totals.iter().map(|(split, n)| format!("{n} examples in {split}")).collect::<Vec<_>>().join(", ")
    );
    let mut svg =
        Svg::new(&format!("classes-{task}"), &title, &description, (width, top + row * shown.len() as f64 + 12.0));
    legend(&mut svg, totals.iter().map(|(split, n)| (series(*split), format!("{split} ({n})"))));
    let scale = (width - LABEL_WIDTH - 70.0) / most;
    for (at, one) in shown.iter().enumerate() {
        let y = top + row * at as f64;
        let middle = y + (row - gap) / 2.0 + 4.0;
        svg.text((LABEL_WIDTH - 8.0, middle), Anchor::End, "", &cut(&name_of(one), 36));
        for (place, split) in totals.keys().enumerate() {
            let share = part(one, split);
            let told =
                format!("{} in {split}: {} of {}, {}", one.label, of(one, *split), totals[split], percent(share));
            let y = y + bar * place as f64;
            svg.rect((LABEL_WIDTH, y), ((share * scale).max(0.5), bar - 1.0), series(*split), &told);
            svg.text(
                (LABEL_WIDTH + share * scale + 4.0, y + bar - 2.5),
                Anchor::Start,
                "tiny soft",
                &short_percent(share),
            );
        }
    }
    Picture { name: format!("classes-{task}.svg"), title, svg: svg.finish() }
}

/// Bars are thin: a number beside each would not fit, so only those of some height have one.
fn short_percent(share: f64) -> String {
    if share < 0.0005 { String::new() } else { format!("{:.1}", share * 100.0) }
}

fn name_of(one: &ClassCount) -> String {
    if one.title.is_empty() { one.label.clone() } else { format!("{} {}", one.label, one.title) }
}

fn legend(svg: &mut Svg, entries: impl Iterator<Item = (&'static str, String)>) {
    let mut x = 12.0;
    for (class, name) in entries {
        svg.rect((x, 34.0), (12.0, 12.0), class, &name);
        svg.text((x + 18.0, 44.5), Anchor::Start, "soft", &name);
        x += 34.0 + 7.2 * name.chars().count() as f64;
    }
}

fn years(task: &str, by_year: &ByYear) -> Picture {
    let columns: Vec<(u16, u64)> =
        by_year.examples.iter().filter(|(_, n)| **n >= FEWEST_OF_A_YEAR).map(|(year, n)| (*year, *n)).collect();
    let (cell, left, top) = ((27.0, 22.0), 92.0, 66.0);
    let part = |of: &BTreeMap<u16, u64>, (year, n): (u16, u64)| share(of.get(&year).copied().unwrap_or(0), n);
    let most = by_year
        .classes
        .iter()
        .flat_map(|(_, of)| columns.iter().map(move |column| part(of, *column)))
        .fold(0.01, f64::max);
    let title = format!("{task}: classes by year, in % of the year");
    let description = format!(
        "Share of the {} most frequent training classes among the examples of each year from {} to {}; darker is more, \
         at most {}.",
        by_year.classes.len(),
        columns.first().map_or(0, |(year, _)| *year),
        columns.last().map_or(0, |(year, _)| *year),
        percent(most)
    );
    let width = (left + cell.0 * columns.len() as f64 + 12.0).max(360.0);
    let height = top + cell.1 * by_year.classes.len() as f64 + 34.0;
    let mut svg = Svg::new(&format!("years-{task}"), &title, &description, (width, height));
    for (at, (year, _)) in columns.iter().enumerate() {
        let x = left + cell.0 * (at as f64 + 0.5);
        svg.text((x, top - 8.0), Anchor::Middle, "small soft", &format!("’{:02}", year % 100));
    }
    for (row, (label, of)) in by_year.classes.iter().enumerate() {
        let y = top + cell.1 * row as f64;
        svg.text((left - 8.0, y + 15.0), Anchor::End, "", &cut(label, 12));
        for (at, column) in columns.iter().enumerate() {
            let (x, share) = (left + cell.0 * at as f64, part(of, *column));
            let told = format!("{label} in {}: {} of {} examples", column.0, percent(share), column.1);
            svg.shade((x, y), (cell.0 - 1.0, cell.1 - 1.0), 0.04 + 0.96 * share / most, &told);
            let class = if share / most > 0.75 { "small inverse" } else { "small" };
            svg.text((x + cell.0 / 2.0, y + 14.5), Anchor::Middle, class, &format!("{:.0}", share * 100.0));
        }
    }
    svg.text(
        (left, height - 12.0),
        Anchor::Start,
        "soft small",
        "Each cell is a share of its year; point at it for the number of examples.",
    );
    Picture { name: format!("years-{task}.svg"), title, svg: svg.finish() }
}

fn names(records: &RecordBias) -> Picture {
    let (left, top, side) = (56.0, 80.0, 360.0);
    let title = "How records are shared among vendors and products".to_owned();
    let summary = |what: &str, of: &Concentration| {
        format!("half of {} records with a {what} belong to {} of {} {what}s", of.records, of.names_of_half, of.names)
    };
    let description = format!(
        "Lorenz curves: {}; {}. The dotted line is an even share.",
        summary("vendor", &records.vendors),
        summary("product", &records.products)
    );
    let mut svg = Svg::new("names", &title, &description, (left + side + 44.0, top + side + 52.0));
    legend(&mut svg, [("first", "vendors".to_owned()), ("third", "products".to_owned())].into_iter());
    let place = |(x, y): (f64, f64)| (left + x * side, top + side - y * side);
    for step in 0..=4 {
        let at = f64::from(step) / 4.0;
        svg.line(&[place((0.0, at)), place((1.0, at))], "grid");
        svg.line(&[place((at, 0.0)), place((at, 1.0))], "grid");
        let (x, y) = (place((at, 0.0)), place((0.0, at)));
        svg.text((x.0, x.1 + 16.0), Anchor::Middle, "small soft", &format!("{:.0} %", at * 100.0));
        svg.text((y.0 - 6.0, y.1 + 4.0), Anchor::End, "small soft", &format!("{:.0} %", at * 100.0));
    }
    svg.line(&[place((0.0, 0.0)), place((1.0, 1.0))], "even");
    for (of, class) in [(&records.vendors, "line first"), (&records.products, "line third")] {
        let points: Vec<(f64, f64)> = of.curve.iter().map(|point| place(*point)).collect();
        svg.line(&points, class);
    }
    svg.text(
        (left + side / 2.0, top + side + 36.0),
        Anchor::Middle,
        "soft",
        "share of the names, those of fewest records first",
    );
    svg.text((left, top - 6.0), Anchor::Start, "small soft", "share of the records");
    Picture { name: "names.svg".into(), title, svg: svg.finish() }
}
