//! The page as a whole: head, summary and the sections in the order in which they are read.

use wardsmith_eval::evaluate::SystemResult;

use super::markup::{Element, el, text_in};
use super::words::{self, Verdict};
use super::{Report, confusion, curve, facts, tables, wrong};

/// Metrics that the summary speaks of.
const SUMMARY: [&str; 4] = ["accuracy", "macro_f1", "perplexity", "bits_per_byte"];

/// The whole page.
pub(super) fn html(report: &Report) -> String {
    let main = report.main();
    let sections = [
        Some(tables::systems(report)),
        tables::comparisons(report),
        curve::section(&report.curve),
        main.and_then(|main| confusion::section(report, main)),
        main.and_then(|main| tables::classes(report, main)),
        wrong::section(report),
        facts::dataset(report),
        facts::run(report),
        Some(facts::reading(report)),
    ];
    let main = el("main").children(sections.into_iter().flatten());
    document(&report.title, header(report), main, "The numbers behind this page stand beside it in report.json.")
}

/// A page that loads nothing from elsewhere.
pub(super) fn document(title: &str, header: Element, main: Element, footer: &str) -> String {
    let body = el("body").child(header).child(main).child(el("footer").child(text_in("p", footer)));
    let page = el("html").with("lang", "en").child(head(title)).child(body);
    format!("<!DOCTYPE html>\n{page}\n")
}

fn head(title: &str) -> Element {
    let meta = |name: &'static str, content: &'static str| el("meta").with("name", name).with("content", content);
    el("head")
        .child(el("meta").with("charset", "utf-8"))
        .child(
            el("meta")
                .with("http-equiv", "Content-Security-Policy")
                .with("content", "default-src 'none'; style-src 'unsafe-inline'"),
        )
        .child(meta("viewport", "width=device-width, initial-scale=1"))
        .child(meta("color-scheme", "light dark"))
        .child(text_in("title", title))
        .child(Element::style_sheet())
}

fn header(report: &Report) -> Element {
    let about = format!("Task {}, split {}.", report.task, report.split);
    let header = el("header").child(text_in("h1", &report.title)).child(text_in("p", about).class("about"));
    let Some(main) = report.main() else {
        return header;
    };
    header.child(headline(main)).child(verdicts(report))
}

/// The main system's first metrics, in large.
fn headline(main: &SystemResult) -> Element {
    let tiles = main.metrics.iter().filter(|metric| SUMMARY.contains(&metric.name.as_str())).map(|metric| {
        let details = format!(
            "{} (95 %), n = {}",
            words::interval(&metric.unit, &metric.estimate),
            words::count(metric.estimate.denominator as u64)
        );
        el("li")
            .child(text_in("span", format!("{} of {}", words::title(&metric.name), main.name)))
            .child(text_in("strong", words::value(&metric.unit, metric.estimate.value)))
            .child(text_in("small", details))
    });
    el("ul").class("tiles").children(tiles)
}

/// A sentence for each comparison in its first metric.
fn verdicts(report: &Report) -> Element {
    let sentences = report.comparisons.iter().filter_map(|comparison| {
        let difference = comparison.differences.first()?;
        let verdict = Verdict::of(difference);
        let (candidate, reference) = (&comparison.candidate, &comparison.reference);
        let metric = words::title(&difference.name).to_lowercase();
        let shown = words::difference(&difference.unit, difference.estimate.value);
        let interval = words::interval(&difference.unit, &difference.estimate);
        let said = match verdict {
            Verdict::NotShown => format!(" between {candidate} and {reference} in {metric}: {shown} ({interval})."),
            _ => format!(" than {reference}: {candidate} differs in {metric} by {shown} ({interval})."),
        };
        let words = match verdict {
            Verdict::Better => "Better",
            Verdict::Worse => "Worse",
            Verdict::NotShown => "No difference shown",
        };
        Some(el("li").child(text_in("span", words).class(verdict.class())).text(said))
    });
    el("ul").class("verdicts").children(sentences)
}
