//! The report as a page to read: each finding with its numbers, what it means, and which key of a recipe does something
//! about it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::measure::{Quantiles, share};
use super::pictures::Picture;
use super::records::{Concentration, LabelSources, RecordBias};
use super::shortcut::Shortcut;
use super::{BiasReport, LabelBias, TaskBias};
use crate::dataset::Split;

/// The page, in Markdown; `pictures` lie beside it.
pub(super) fn page(report: &BiasReport, pictures: &[Picture]) -> String {
    let mut page = String::from(
        "# What this dataset is lopsided in\n\n\
         Counted when the dataset was made; `bias.json` has all of it. Every share says of how many.\n",
    );
    for (task, bias) in &report.tasks {
        of_task(&mut page, task, bias, pictures);
    }
    of_records(&mut page, &report.records, pictures);
    page
}

/// Adds a line. Writing to a string does not fail.
macro_rules! line {
    ($page:expr) => { $page.push('\n') };
    ($page:expr, $($text:tt)*) => { { let _ = writeln!($page, $($text)*); } };
}

fn of_task(page: &mut String, task: &str, bias: &TaskBias, pictures: &[Picture]) {
    line!(page, "\n## Task `{task}`\n");
    let counts: Vec<String> = bias.examples.iter().map(|(split, n)| format!("{} in {split}", count(*n))).collect();
    line!(page, "Examples: {}.", counts.join(", "));
    if let Some(labels) = &bias.labels {
        classes(page, labels);
        picture(page, pictures, &format!("classes-{task}.svg"));
        drift(page, labels);
        picture(page, pictures, &format!("years-{task}.svg"));
        given_away(page, &labels.shortcuts);
    }
    lengths(page, "Words in what is asked about", &bias.words);
    if let Some(labels) = &bias.labels {
        length_by_class(page, labels);
    }
}

fn classes(page: &mut String, labels: &LabelBias) {
    line!(page, "\n### Classes\n");
    line!(
        page,
        "| split | examples | classes | top 1 | top 5 | top 10 | Gini | evenness | even classes of that entropy | below 10 / 50 / 100 |"
    );
    line!(page, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (split, one) in &labels.classes.balance {
        let below: Vec<String> = one.below.values().map(u64::to_string).collect();
        line!(
            page,
            "| {split} | {} | {} | {} | {} | {} | {:.3} | {:.3} | {:.1} | {} |",
            count(one.examples),
            one.classes,
            percent(one.top_1),
            percent(one.top_5),
            percent(one.top_10),
            one.gini,
            one.entropy_share,
            one.effective_classes,
            below.join(" / ")
        );
    }
    let test = labels.classes.balance.get(&Split::Test).map_or(0, |one| one.examples);
    let small = labels.test_examples_of_small_classes;
    line!(
        page,
        "\n{} of {} test examples ({}) have a label with fewer than 50 training examples.\n\n\
         **What it means.** A model that always names the most frequent class is right in `top 1` of the cases; accuracy \
         hides how it does on the rest, macro-F1 shows it. Evenness is entropy over that of even classes.\n\
         **What can be done.** `sampling = \"square_root\"` (or `\"balanced\"`, `{{ effective_number = 0.999 }}`, \
         `{{ cap = 2000 }}`) evens out what a model learns from; `min_train_examples` says from where on a weakness is a \
         label. Validation and test stay as they are.\n",
        count(small),
        count(test),
        percent(share(small, test))
    );
}

fn drift(page: &mut String, labels: &LabelBias) {
    line!(page, "### Drift\n");
    for one in &labels.classes.drift {
        line!(
            page,
            "- {} → {}: Jensen-Shannon divergence {:.4} bits ({} and {} examples; {:.4} by chance alone).",
            one.from,
            one.to,
            one.divergence_bits,
            count(one.from_examples),
            count(one.to_examples),
            one.chance_bits
        );
    }
    line!(
        page,
        "\n**What it means.** The classes of later years are not those of earlier ones; what is well above chance is drift.\n\
         **What can be done.** Train up to a later day (`validation_from`, `test_from`), and judge on the test's years only.\n"
    );
}

fn given_away(page: &mut String, shortcuts: &[Shortcut]) {
    if shortcuts.is_empty() {
        return;
    }
    line!(page, "### What gives the label away\n");
    line!(
        page,
        "| guessed by | learned from | test examples | right | right without | gain | value met | right there | without there | Cramér's V | explained | of (examples, values) |"
    );
    line!(page, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for one in shortcuts {
        line!(
            page,
            "| {} | {} | {} | {} | {} | {:+.1} points | {} | {} | {} | {:.3} | {} | {}, {} |",
            one.by,
            count(one.learned_from),
            count(one.asked),
            percent(share(one.right, one.asked)),
            percent(share(one.right_without, one.asked)),
            one.gain * 100.0,
            percent(share(one.met, one.asked)),
            percent(share(one.right_met, one.met)),
            percent(share(one.right_met_without, one.met)),
            one.association.cramers_v,
            percent(one.association.explained),
            count(one.association.pairs),
            count(one.association.rows)
        );
    }
    line!(
        page,
        "\nA guesser answers with the most frequent training label of the same value, without reading the text; `right \
         without` is the most frequent label of all; `there` is where training had met the value. `Explained` is the share of the label's entropy that the value tells, \
         over values of at least 20 training examples.\n\n\
         **What it means.** What a vendor or product alone gains, a model can gain without understanding a word, and loses \
         with the next vendor.\n\
         **What can be done.** `mask_names_share = 0.3` adds copies in which no name stands; the task `probe` measures by \
         `vendor-swap` whether answers follow the name.\n"
    );
}

fn lengths(page: &mut String, title: &str, words: &BTreeMap<Split, Quantiles>) {
    line!(page, "\n### {title}\n");
    line!(page, "| split | texts | least | 5 % | 25 % | half | 75 % | 95 % | most |");
    line!(page, "|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (split, one) in words {
        line!(page, "| {split} {}", quantiles(one));
    }
}

fn quantiles(one: &Quantiles) -> String {
    let values = [one.count, one.least, one.p5, one.p25, one.median, one.p75, one.p95, one.most];
    format!("| {} |", values.map(count).join(" | "))
}

fn length_by_class(page: &mut String, labels: &LabelBias) {
    if labels.length.by_class.is_empty() {
        return;
    }
    line!(page, "\n| label | training texts | least | 5 % | 25 % | half | 75 % | 95 % | most |");
    line!(page, "|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (label, one) in labels.length.by_class.iter().take(15) {
        line!(page, "| {} {}", cell(label), quantiles(one));
    }
    line!(
        page,
        "\nBetween classes lie {} of the variance of log words ({} training examples).\n\n\
         **What it means.** Where it is much, a text's length gives its label away, and long texts of a class that is \
         mostly short are misread.\n\
         **What can be done.** `max_len_tokens` decides what is cut off; the task `probe` measures by `shorter` and `longer` \
         whether answers follow the length.",
        percent(labels.length.variance_explained),
        count(labels.length.examples)
    );
}

fn of_records(page: &mut String, records: &RecordBias, pictures: &[Picture]) {
    let all: u64 = records.records.values().sum();
    let counts: Vec<String> = records.records.iter().map(|(split, n)| format!("{} in {split}", count(*n))).collect();
    line!(page, "\n## All records\n");
    line!(page, "CVEs that have a place: {} ({}).\n", count(all), counts.join(", "));
    years(page, records);
    names(page, "Vendors", &records.vendors, all);
    names(page, "Products", &records.products, all);
    line!(
        page,
        "The text itself names a vendor or product in {} of {} records ({}).\n",
        count(records.named_in_text),
        count(all),
        percent(share(records.named_in_text, all))
    );
    picture(page, pictures, "names.svg");
    line!(
        page,
        "**What it means.** A model knows the ways of a few vendors' writers and few others.\n\
         **What can be done.** `mask_names_share`, as above; more sources.\n"
    );
    records.sources.iter().for_each(|one| sources(page, one));
    line!(
        page,
        "\n**What it means.** Where two sources disagree on the same record, no model can be right by both: their agreement \
         is about the most that a score can reach.\n\
         **What can be done.** Labels keep their source, and one order decides (NVD, then the CNA, then an ADP); the \
         hierarchical score forgives near misses.\n"
    );
    language(page, records);
    severity(page, records);
    lengths(page, "Words in descriptions", &records.words);
}

fn years(page: &mut String, records: &RecordBias) {
    line!(page, "### Years\n");
    line!(page, "| year | {} |", Split::ALL.map(Split::name).join(" | "));
    line!(page, "|---|---:|---:|---:|");
    for (year, of) in &records.by_year {
        let cells = Split::ALL.map(|split| count(of.get(&split).copied().unwrap_or(0)));
        line!(page, "| {year} | {} |", cells.join(" | "));
    }
    line!(
        page,
        "\n**What it means.** Recent years are more and are written differently; years that a source lacks are gaps.\n\
         **What can be done.** Give the missing years as `sources`; `caps` draws from all years alike.\n"
    );
}

fn names(page: &mut String, title: &str, of: &Concentration, all: u64) {
    line!(page, "### {title}\n");
    line!(
        page,
        "{} of {} records have one; {} names. The ten most frequent have {}, and {} names have half. Gini {:.3}.\n",
        count(of.records),
        count(all),
        count(of.names),
        percent(of.top_10),
        count(of.names_of_half),
        of.gini
    );
    let told = of.told.iter().take(15).map(|(name, n)| format!("{} {}", cell(name), percent(share(*n, of.records))));
    line!(page, "{}.\n", told.collect::<Vec<_>>().join(", "));
}

fn sources(page: &mut String, one: &LabelSources) {
    let who: Vec<String> = one.labelled.iter().map(|(kind, n)| format!("{kind} {}", count(*n))).collect();
    line!(page, "\n### Who gives `{}`\n", one.label);
    line!(page, "Records labelled by: {}.\n", who.join(", "));
    line!(page, "| pair | both label | same first word | share any word |");
    line!(page, "|---|---:|---:|---:|");
    for pair in one.pairs.iter().filter(|pair| pair.both > 0) {
        let of = |part: u64| format!("{} ({})", count(part), percent(share(part, pair.both)));
        line!(
            page,
            "| {}, {} | {} | {} | {} |",
            pair.left,
            pair.right,
            count(pair.both),
            of(pair.same),
            of(pair.overlapping)
        );
    }
}

fn language(page: &mut String, records: &RecordBias) {
    let one = &records.language;
    let of = |n: u64| format!("{} ({})", count(n), percent(share(n, one.looked_at)));
    let mut told: Vec<(&String, &u64)> = one.certain.iter().collect();
    told.sort_by(|left, right| right.1.cmp(left.1).then_with(|| left.0.cmp(right.0)));
    let told: Vec<String> = told.into_iter().take(8).map(|(code, n)| format!("{code} {}", of(*n))).collect();
    line!(page, "### Language\n");
    line!(
        page,
        "Of {} descriptions looked at: {}; too short or too full of names to be sure {}.\n\n\
         **What it means.** A model of this data reads English alone.\n\
         **What can be done.** Nothing here: other languages need other sources.\n",
        count(one.looked_at),
        told.join(", "),
        of(one.uncertain)
    );
}

fn severity(page: &mut String, records: &RecordBias) {
    line!(page, "### Severity\n");
    line!(page, "| split | rated | None | Low | Medium | High | Critical |");
    line!(page, "|---|---:|---:|---:|---:|---:|---:|");
    for (split, of) in &records.severity {
        let rated: u64 = of.values().sum();
        let cells = ["None", "Low", "Medium", "High", "Critical"]
            .map(|band| percent(share(of.get(band).copied().unwrap_or(0), rated)));
        line!(page, "| {split} | {} | {} |", count(rated), cells.join(" | "));
    }
    line!(
        page,
        "\n**What it means.** Low and None are rare: a model that never says them is hardly punished by accuracy.\n\
         **What can be done.** `sampling`, as above."
    );
}

fn picture(page: &mut String, pictures: &[Picture], name: &str) {
    if let Some(one) = pictures.iter().find(|one| one.name == name) {
        line!(page, "![{}]({name})\n", one.title);
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A number in groups of three.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A name out of a feed, so that it stays in its cell.
fn cell(text: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || " -_.:/()".contains(c) { c } else { '?' };
    text.chars().take(60).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_names_stay_in_their_cells() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(cell("tea|[x](y)\n<b>"), "tea??x?(y)??b?");
    }

    #[test]
    fn an_empty_report_is_still_a_page() {
        let page = page(&BiasReport::default(), &[]);
        assert!(page.starts_with("# What this dataset") && page.contains("0 of 0 records"), "{page}");
    }
}
