//! The report's tables of numbers: systems by metrics, paired differences, and the labels one by one.

use wardsmith_eval::evaluate::{ClassResult, Comparison, Difference, MetricResult, SystemResult};

use super::Report;
use super::markup::{Element, el, text_in};
use super::words::{self, Verdict};

/// Labels that the first table of labels holds; the others follow in one that is folded.
const FIRST_CLASSES: usize = 20;

/// Every system by every metric.
pub(super) fn systems(report: &Report) -> Element {
    let mut head = el("tr").child(column("Metric"));
    for system in &report.systems {
        head = head.child(column(&system.name));
    }
    let rows = metrics(report).into_iter().map(|metric| system_row(report, metric));
    let table = el("table")
        .child(text_in(
            "caption",
            "Each value with its 95 % bootstrap interval; n is the number of answers it is about.",
        ))
        .child(el("thead").child(head))
        .child(el("tbody").children(rows));
    el("section")
        .with("id", "systems")
        .child(text_in("h2", "Systems side by side"))
        .child(scrolling("Systems by metrics", table))
}

/// The metrics of all systems, each once, in the order of their first appearance.
fn metrics(report: &Report) -> Vec<&MetricResult> {
    let mut metrics: Vec<&MetricResult> = Vec::new();
    for metric in report.systems.iter().flat_map(|system| &system.metrics) {
        if metrics.iter().all(|known| known.name != metric.name) {
            metrics.push(metric);
        }
    }
    metrics
}

fn system_row(report: &Report, metric: &MetricResult) -> Element {
    let about = format!("{}; {}", words::unit(&metric.unit), words::direction(metric.higher_is_better));
    let head = el("th").with("scope", "row").text(words::title(&metric.name)).child(text_in("small", about));
    let cells = report.systems.iter().map(|system| {
        let cell = el("td").class(match system.name == report.main_system {
            true => "number main",
            false => "number",
        });
        match system.estimate(&metric.name) {
            None => cell.text("–").with("title", "not defined for this system"),
            Some(estimate) => cell
                .text(words::value(&metric.unit, estimate.value))
                .child(text_in("small", words::interval(&metric.unit, estimate)))
                .child(text_in("small", n(estimate.denominator))),
        }
    });
    el("tr").child(head).children(cells)
}

/// The differences of every comparison.
pub(super) fn comparisons(report: &Report) -> Option<Element> {
    if report.comparisons.is_empty() {
        return None;
    }
    let section = el("section")
        .with("id", "differences")
        .child(text_in("h2", "Differences on the same examples"))
        .child(text_in(
            "p",
            "Both systems answered the same examples, so each difference is taken example by example (paired \
             bootstrap). It counts as shown where its 95 % interval excludes zero.",
        ));
    Some(section.children(report.comparisons.iter().map(comparison)))
}

/// One comparison's differences.
pub(super) fn comparison(comparison: &Comparison) -> Element {
    let name = format!("{} − {}", comparison.candidate, comparison.reference);
    let head = ["Metric", "Difference", "95 % interval", "n", &comparison.candidate].map(|title| {
        match title == comparison.candidate {
            true => column(&format!("{title} is")),
            false => column(title),
        }
    });
    let table = el("table")
        .child(text_in("caption", &name))
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(comparison.differences.iter().map(difference_row)));
    scrolling(&name, table)
}

fn difference_row(difference: &Difference) -> Element {
    let verdict = Verdict::of(difference);
    let head = el("th")
        .with("scope", "row")
        .text(words::title(&difference.name))
        .child(text_in("small", words::direction(difference.higher_is_better)));
    el("tr")
        .child(head)
        .child(number(words::difference(&difference.unit, difference.estimate.value)))
        .child(number(words::interval(&difference.unit, &difference.estimate)))
        .child(number(words::count(difference.estimate.denominator as u64)))
        .child(el("td").child(text_in("span", verdict.words()).class(verdict.class())))
}

/// How each label fared in the main system.
pub(super) fn classes(report: &Report, system: &SystemResult) -> Option<Element> {
    if system.classes.is_empty() {
        return None;
    }
    let (first, rest) = system.classes.split_at(system.classes.len().min(FIRST_CLASSES));
    let caption = format!(
        "Labels of {}, most frequent in truth first. Precision: of the answers that name the label, how many are \
         right. Recall: of the examples that have it, how many were found.",
        system.name
    );
    let section = el("section")
        .with("id", "labels")
        .child(text_in("h2", "Label by label"))
        .child(scrolling("Labels", class_table(report, &caption, first)));
    if rest.is_empty() {
        return Some(section);
    }
    let summary = format!("The other {} labels", words::count(rest.len() as u64));
    Some(
        section.child(
            el("details")
                .child(text_in("summary", &summary))
                .child(scrolling(&summary, class_table(report, &summary, rest))),
        ),
    )
}

fn class_table(report: &Report, caption: &str, classes: &[ClassResult]) -> Element {
    let head = ["Label", "Precision", "Recall", "F1"].map(column);
    let row = |class: &ClassResult| {
        el("tr")
            .child(
                el("th").with("scope", "row").text(&class.label).child(text_in("small", report.title_of(&class.label))),
            )
            .child(ratio(class.precision, class.correct, class.predicted))
            .child(ratio(class.recall, class.correct, class.gold))
            .child(number(match class.gold + class.predicted {
                0 => "–".into(),
                _ => words::value("share", class.f1),
            }))
    };
    el("table")
        .child(text_in("caption", caption))
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(classes.iter().map(row)))
}

/// A share with what it is a share of.
fn ratio(value: f64, part: usize, whole: usize) -> Element {
    let shown = match whole {
        0 => "–".into(),
        _ => words::value("share", value),
    };
    let of = format!("{} of {}", words::count(part as u64), words::count(whole as u64));
    number(shown).child(text_in("small", of))
}

pub(super) fn column(title: &str) -> Element {
    text_in("th", title).with("scope", "col")
}

pub(super) fn number(text: impl std::fmt::Display) -> Element {
    el("td").class("number").text(text)
}

/// A wide child that scrolls by itself, by keyboard too.
pub(super) fn scrolling(label: &str, child: Element) -> Element {
    el("div").class("scroll").with("role", "region").with("tabindex", "0").with("aria-label", label).child(child)
}

fn n(denominator: usize) -> String {
    format!("n = {}", words::count(denominator as u64))
}
