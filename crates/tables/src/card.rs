//! The dataset card: `README.md` with a head that machines read (the Hub, `datasets`) and a body for people.
//!
//! Fields of the head: Hugging Face's dataset card specification (`datasetcard.md` of huggingface_hub). Everything that
//! the card says comes out of the dataset's manifest and out of what was counted while the files were written.

use wardsmith_records::dataset::{Dataset, Example, Split};
use wardsmith_records::manifest::Manifest;

use crate::parquet_files::Shards;
use crate::schema::Rows;
use crate::share::Tally;

mod body;
mod head;
mod made;

/// One configuration: a task's files.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The task.
    pub(crate) task: String,
    /// What its rows are.
    pub(crate) rows: Rows,
    /// Its files by split, in the order of time; splits without rows have none.
    pub(crate) splits: Vec<(Split, Shards)>,
    /// Its first example.
    pub(crate) sample: Example,
}

/// What a card is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What the dataset is called.
    pub(crate) name: &'a str,
    /// The dataset: label sets and the hierarchy.
    pub(crate) dataset: &'a Dataset,
    /// Its manifest as it may be told.
    pub(crate) manifest: &'a Manifest,
    /// What was exported and what was not.
    pub(crate) tally: &'a Tally,
    /// The configurations, in the order of the dataset's tasks.
    pub(crate) configs: &'a [Config],
    /// The report on biases, in Markdown.
    pub(crate) biases: Option<&'a str>,
}

impl Facts<'_> {
    /// The card.
    pub(crate) fn page(&self) -> String {
        format!("---\n{}---\n\n{}", crate::yaml::to_string(&head::head(self)), body::body(self))
    }

    fn rows(&self) -> u64 {
        self.configs.iter().flat_map(|config| &config.splits).map(|(_, shards)| shards.rows).sum()
    }
}

/// `text` as it may stand in a table or heading: one line, no marks that Markdown or HTML would read.
pub(crate) fn cell(text: &str) -> String {
    const MOST: usize = 300;
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        match c {
            '|' | '*' | '_' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '`' => out.push('\''),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// `text` as code within a line or table.
pub(crate) fn code(text: &str) -> String {
    let plain = |c: char| if c == '`' || c == '|' || c.is_control() { ' ' } else { c };
    format!("`{}`", text.chars().take(300).map(plain).collect::<String>())
}

/// A number with a comma before every third digit.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A table with these headings; numbers stand to the right. Empty without rows.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let is_number = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).all(|text| text.starts_with(|c: char| c.is_ascii_digit()))
    };
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut out = line(&headings.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    let marks: Vec<String> =
        (0..headings.len()).map(|at| if is_number(at) { "---:" } else { "---" }.to_owned()).collect();
    out.push_str(&line(&marks));
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_one_line_without_marks() {
        assert_eq!(cell("a|b\n<script>`x`*"), "a\\|b &lt;script>'x'\\*");
        assert_eq!(cell(&"x".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
