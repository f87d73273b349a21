//! The body of the card, for people.

use serde_json::json;
use wardsmith_records::conversation::Message;
use wardsmith_records::dataset::{Example, LabelInfo, Split};
use wardsmith_records::task;

use super::{Config, Facts, cell, code, count, made, table};
use crate::examples::{completion, prompt, role_name};
use crate::folder::STATEMENT;
use crate::licences;
use crate::schema::Rows;

/// Labels of each set that the card itself names.
const LABELS_SHOWN: usize = 10;
/// Characters of each text of a sample that the card shows.
const SAMPLE_CHARS: usize = 400;

/// All of it.
pub(super) fn body(facts: &Facts<'_>) -> String {
    [
        summary(facts),
        loading(facts),
        rows(facts),
        made::made(facts),
        made::splits(facts),
        labels(facts),
        made::scrubbing(facts),
        personal(facts),
        biases(facts),
        licence(facts),
        limitations(),
        integrity(facts),
    ]
    .concat()
}

fn summary(facts: &Facts<'_>) -> String {
    let of = |config: &Config, split| {
        count(config.splits.iter().find(|(own, _)| *own == split).map_or(0, |(_, shards)| shards.rows))
    };
    let about = |name: &str| task::by_name(name).map_or("", task::Task::about);
    let row = |config: &Config| {
        let counts = Split::ALL.map(|split| of(config, split));
        [&[code(&config.task), cell(about(&config.task))][..], &counts].concat()
    };
    let rows: Vec<Vec<String>> = facts.configs.iter().map(row).collect();
    format!(
        "# {}\n\nPublic knowledge about software vulnerabilities as questions with answers and as plain texts, to \
         train and to measure security models. {} examples, one configuration a task:\n\n{}{}",
        cell(facts.name),
        count(facts.rows()),
        table(&["configuration", "what is asked", "train", "validation", "test"], &rows),
        withheld(facts),
    )
}

fn withheld(facts: &Facts<'_>) -> String {
    if facts.tally.withheld.is_empty() {
        return String::new();
    }
    let each: Vec<String> =
        facts.tally.withheld.iter().map(|(task, n)| format!("{} of {}", count(*n), code(task))).collect();
    format!("Private examples are not in these files: {}.\n\n", each.join(", "))
}

fn loading(facts: &Facts<'_>) -> String {
    let first = &facts.configs[0];
    let (split, _) = &first.splits[0];
    let column = if first.rows == Rows::Documents { "text" } else { "messages" };
    format!(
        "## How to load\n\n```python\nfrom datasets import load_dataset\n\nrows = load_dataset(\"FOLDER_OR_REPOSITORY\", \
         \"{0}\", split=\"{split}\")\nrows = rows.select_columns([\"{column}\"])  # what a trainer reads\n\n\
         # without `datasets`\nimport pandas\nframe = pandas.read_parquet(\"data/{0}/{split}-00000-of-{1:05}.parquet\")\n\
         ```\n\nA trainer that reads chats takes `messages`, one that reads pairs `prompt` and `completion`, one that \
         reads plain texts `text`; choose one of them, as some trainers guess by the columns that they find.\n\n",
        first.task,
        first.splits[0].1.names.len(),
    )
}

fn rows(facts: &Facts<'_>) -> String {
    let fields = [
        ("id", "CVE ID, or the ID of the entry or text that it is about"),
        ("task", "the configuration"),
        ("published", "day (`2024-03-01`) or year (`2024`) of publication; empty where none is known"),
        ("group", "its group of near-duplicates; no group stands in two splits"),
        ("sources", "what it is made of; `LICENSES.md` says on which terms"),
        ("weight", "how often it counts in training, where 1 is once"),
        ("messages", "questions: what is asked and answered, as `role` and `content`"),
        ("prompt", "questions: everything before the answer, as one text"),
        ("completion", "questions: the answer"),
        ("gold", "questions: the right label; null where there is none"),
        ("text", "plain texts: the text"),
    ];
    let fields: Vec<Vec<String>> =
        fields.iter().map(|(name, what)| vec![format!("`{name}`"), (*what).into()]).collect();
    let samples: String = facts.configs.iter().map(sample).collect();
    format!(
        "## What a row is\n\n{}One of each configuration, long texts cut:\n\n{samples}",
        table(&["column", "what"], &fields)
    )
}

/// The first row of a configuration, as its columns are.
fn sample(config: &Config) -> String {
    let cut = |text: &str| {
        let head: String = text.chars().take(SAMPLE_CHARS).collect();
        if head.len() < text.len() { format!("{head}…") } else { head }
    };
    let one: &Example = &config.sample;
    let mut row = json!({
        "id": one.id, "task": one.task, "published": one.published, "group": one.group, "sources": one.sources,
        "weight": one.weight,
    });
    match config.rows {
        Rows::Conversations => {
            let message = |one: &Message| json!({ "role": role_name(one.role), "content": cut(&one.content) });
            row["messages"] = one.conversation.messages.iter().map(message).collect();
            row["prompt"] = cut(&prompt(&one.conversation)).into();
            row["completion"] = cut(completion(&one.conversation)).into();
            row["gold"] = json!(one.gold);
        }
        Rows::Documents => row["text"] = cut(completion(&one.conversation)).into(),
    }
    let json = serde_json::to_string_pretty(&row).unwrap_or_default();
    format!("````json\n{json}\n````\n\n")
}

fn labels(facts: &Facts<'_>) -> String {
    let sets = facts.configs.iter().map(|config| (config, facts.dataset.labels(&config.task)));
    let pages: String =
        sets.filter(|(_, labels)| !labels.is_empty()).map(|(config, all)| label_set(config, all)).collect();
    if pages.is_empty() { String::new() } else { format!("## Label sets\n\n{pages}") }
}

fn label_set(config: &Config, labels: &[LabelInfo]) -> String {
    let row = |one: &LabelInfo| vec![cell(&one.name), cell(&one.title), count(one.train_count as u64)];
    let shown: Vec<Vec<String>> = labels.iter().take(LABELS_SHOWN).map(row).collect();
    format!(
        "`{0}` has {1} labels, made of training examples alone; the most frequent ones (all of them, with their \
         ancestors, in `labels/{0}.json`):\n\n{2}",
        config.task,
        count(labels.len() as u64),
        table(&["label", "title", "training examples"], &shown),
    )
}

fn personal(_: &Facts<'_>) -> String {
    "## Personal data\n\nThe sources are published by their authors for the public. Their texts may still name people, \
     such as those who found or reported a vulnerability, and may hold addresses that stood in an advisory. Nothing was \
     collected about people as such, and no column is about them. Whoever finds personal data that should not be here \
     should tell whoever published this copy, and make the dataset anew without the record.\n\n"
        .into()
}

fn biases(facts: &Facts<'_>) -> String {
    let text = facts.biases.map_or_else(
        || {
            "No report on biases goes with these files. What is known of all such data: a few kinds of weakness \
             (cross-site scripting, SQL injection, memory errors) and a few makers of products are far more frequent \
             than others; labels are what analysts chose, and analysts of different houses disagree about one in \
             five; English only; the years are unevenly covered.\n\n"
                .to_owned()
        },
        |text| format!("{}\n\n", lowered(text.trim_end())),
    );
    format!("## Known biases\n\n{text}")
}

/// Markdown with its headings two levels deeper, so that they stand below the section. Code is left alone.
fn lowered(text: &str) -> String {
    let mut in_code = false;
    let mut line = |line: &str| {
        in_code ^= line.trim_start().starts_with("```");
        let hashes = line.chars().take_while(|c| *c == '#').count();
        let is_heading = !in_code && (1..=6).contains(&hashes) && line[hashes..].starts_with(' ');
        if is_heading { format!("{}{}", "#".repeat((hashes + 2).min(6)), &line[hashes..]) } else { line.to_owned() }
    };
    text.lines().map(&mut line).collect::<Vec<_>>().join("\n")
}

fn licence(facts: &Facts<'_>) -> String {
    let inputs = facts.tally.shared_inputs(facts.manifest);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for input in &inputs {
        let duty = licences::known(&input.licence).map_or("read the terms at their origin", |terms| terms.duty);
        let row = vec![cell(&input.source), cell(&input.licence), duty.to_owned()];
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    format!(
        "## Terms, attribution and citation\n\nThe files hold words of several authors on several terms; \
         [LICENSES.md](LICENSES.md) has them with links. Who passes rows on owes:\n\n{}To cite this copy, name it with \
         the digest of its manifest, and cite the sources of the rows that you use:\n\n```bibtex\n@misc{{wardsmith_dataset,\n  \
         title = {{{{{}}}}},\n  note = {{made with {}; digests in {STATEMENT}}}\n}}\n```\n\n",
        table(&["source", "terms", "duty"], &rows),
        in_bibtex(facts.name),
        cell(&facts.manifest.created_by),
    )
}

/// `name` without what BibTeX reads as a command.
fn in_bibtex(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || " -.,:".contains(c) { c } else { ' ' };
    name.chars().map(plain).collect()
}

fn limitations() -> String {
    "## Limitations\n\n\
     - Labels are those of the sources. Some are wrong, many are coarser or finer than others, and two analysts of the \
     same CVE often name different ones.\n\
     - Questions are phrased by templates: a model may learn the template. Test it with words of your own.\n\
     - A description tells what its author chose to publish. It does not hold what is needed to reproduce or to rule \
     out a vulnerability, and absence from this dataset says nothing about a product.\n\
     - The test split is later than the others, not different in kind: scores on it say nothing about other sources or \
     other languages.\n\
     - Not for decisions without a person: a model that was trained on it proposes, and an analyst decides.\n\n"
        .into()
}

fn integrity(facts: &Facts<'_>) -> String {
    let files: usize = facts.configs.iter().flat_map(|one| &one.splits).map(|(_, shards)| shards.names.len()).sum();
    format!(
        "## Files\n\n{files} Parquet files under `data/`; `manifest.json`, what the dataset says about its making \
         (without names of files and folders); `labels/`, the label sets; `{STATEMENT}`, the SHA-256, size and number \
         of rows of every file. The same dataset exports to the same bytes.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_the_report_on_biases_stand_below_the_section() {
        let text = "# Biases\n\n## By year\n```\n# no heading\n```\n#hash\n###### deep";
        assert_eq!(lowered(text), "### Biases\n\n#### By year\n```\n# no heading\n```\n#hash\n###### deep");
    }
}
