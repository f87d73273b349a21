//! The head of the card, which the Hub and `datasets` read.

use serde_json::{Value, json};

use super::{Config, Facts};
use crate::licences;
use crate::schema::Rows;

/// The Hub's names of sizes, each with the first number that is too large for it.
const SIZES: &[(u64, &str)] = &[
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
    (10_000_000_000, "1B<n<10B"),
    (100_000_000_000, "10B<n<100B"),
    (1_000_000_000_000, "100B<n<1T"),
];

/// The head as one mapping.
pub(super) fn head(facts: &Facts<'_>) -> Value {
    let mut head = json!({ "pretty_name": facts.name, "language": ["en"] });
    let inputs = facts.tally.shared_inputs(facts.manifest);
    let licence = licences::hub_id(&inputs);
    head["license"] = licence.into();
    if licence == "other" {
        head["license_name"] = "terms-by-source".into();
        head["license_link"] = "LICENSES.md".into();
    }
    head["annotations_creators"] = json!(["expert-generated", "found"]);
    head["language_creators"] = json!(["found", "machine-generated"]);
    head["multilinguality"] = json!(["monolingual"]);
    head["source_datasets"] = json!(["original"]);
    head["task_categories"] = categories(facts);
    head["size_categories"] = json!([size(facts.rows())]);
    head["tags"] = tags(facts);
    head["configs"] = facts.configs.iter().map(files).collect();
    head["dataset_info"] = facts.configs.iter().map(info).collect();
    head
}

fn size(rows: u64) -> &'static str {
    SIZES.iter().find(|(above, _)| rows < *above).map_or("n>1T", |(_, name)| name)
}

fn categories(facts: &Facts<'_>) -> Value {
    let any = |test: &dyn Fn(&Config) -> bool| facts.configs.iter().any(test);
    let found = [
        ("text-classification", any(&|one| !facts.dataset.labels(&one.task).is_empty())),
        ("question-answering", any(&|one| one.rows == Rows::Conversations)),
        ("text-generation", true),
    ];
    found.into_iter().filter_map(|(name, holds)| holds.then_some(name)).collect()
}

fn tags(facts: &Facts<'_>) -> Value {
    let fixed = ["cybersecurity", "security", "vulnerability", "cve", "wardsmith"].map(str::to_owned);
    let sources =
        facts.tally.sources.iter().filter(|one| !facts.tally.is_private(one)).map(|one| format!("source:{one}"));
    fixed.into_iter().chain(sources).collect()
}

fn files(config: &Config) -> Value {
    let path = |split| format!("data/{}/{split}-*.parquet", config.task);
    let files = config.splits.iter().map(|(split, _)| json!({ "split": split.name(), "path": path(*split) }));
    json!({ "config_name": config.task, "data_files": files.collect::<Value>() })
}

fn info(config: &Config) -> Value {
    let splits = config.splits.iter().map(|(split, shards)| {
        json!({ "name": split.name(), "num_bytes": shards.memory_bytes, "num_examples": shards.rows })
    });
    let sum = |of: fn(&crate::parquet_files::Shards) -> u64| config.splits.iter().map(|(_, one)| of(one)).sum::<u64>();
    json!({
        "config_name": config.task,
        "features": features(config.rows),
        "splits": splits.collect::<Value>(),
        "download_size": sum(|one| one.stored_bytes),
        "dataset_size": sum(|one| one.memory_bytes),
    })
}

/// The columns as `datasets` writes them; lists of structs are `list`, lists of plain values `list` of a type.
fn features(rows: Rows) -> Value {
    let plain = |name: &str, kind: &str| json!({ "name": name, "dtype": kind });
    let mut features = vec![
        plain("id", "string"),
        plain("task", "string"),
        plain("published", "string"),
        plain("group", "int64"),
        json!({ "name": "sources", "list": "string" }),
        plain("weight", "float64"),
    ];
    match rows {
        Rows::Conversations => {
            let message = [plain("role", "string"), plain("content", "string")];
            features.push(json!({ "name": "messages", "list": message }));
            features.extend(["prompt", "completion", "gold"].map(|name| plain(name, "string")));
        }
        Rows::Documents => features.push(plain("text", "string")),
    }
    Value::Array(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_the_columns_of_the_files() {
        for rows in [Rows::Conversations, Rows::Documents] {
            let features = features(rows);
            let names: Vec<&str> =
                features.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
            let schema = crate::schema::examples(rows);
            assert_eq!(names, schema.fields().iter().map(|one| one.name().as_str()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sizes_are_told_as_the_hub_tells_them() {
        assert_eq!(
            [0, 999, 1_000, 242_314, 2_000_000_000_000].map(size),
            ["n<1K", "n<1K", "1K<n<10K", "100K<n<1M", "n>1T"]
        );
    }
}
