//! Answers that a system gave elsewhere: a file of JSON lines, matched to the items of a benchmark.
//!
//! Read are our own (`id`, `text`), and the samples that lm-evaluation-harness logs (`doc_id`, counted from 0, with
//! `filtered_resps` or `resps`).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wardsmith_eval::item::Item;
use wardsmith_eval::metric::Answer;

use crate::say;

/// No file of answers is larger.
const MAX_BYTES: u64 = 1 << 30;

/// One answer to every item, in their order. An item that the file does not answer has an empty answer, which is wrong.
pub(super) fn answers(path: &Path, items: &[Item]) -> Result<Vec<Answer>> {
    let shown = path.display();
    let bytes = fs::metadata(path).with_context(|| format!("cannot read `{shown}`"))?.len();
    if bytes > MAX_BYTES {
        bail!("`{shown}` is larger than {MAX_BYTES} bytes\nhint: one JSON object a line, with `id` and `text`");
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`\nhint: it is UTF-8 text"))?;
    let mut said: HashMap<String, String> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let hint = "hint: one JSON object a line, with `id` and `text`";
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("line {number} of `{shown}` is not JSON\n{hint}"))?;
        let Some((id, text)) = answer_in(&value, items) else {
            bail!("line {number} of `{shown}` tells no item and no answer\n{hint}");
        };
        if !items.iter().any(|item| item.id == id) {
            bail!(
                "line {number} of `{shown}` answers `{id}`, which the benchmark does not ask\nhint: name the benchmark that was answered"
            );
        }
        if said.insert(id.clone(), text).is_some() {
            bail!("line {number} of `{shown}` answers `{id}` again\nhint: one answer an item");
        }
    }
    let missing = items.iter().filter(|item| !said.contains_key(&item.id)).count();
    if missing > 0 {
        let (missing, all) = (say::count(missing as u64), say::count(items.len() as u64));
        say::note(format_args!("warning: {missing} of {all} items are not answered in `{shown}`; they count as wrong"));
    }
    Ok(items.iter().map(|item| item.grade(said.get(&item.id).map_or("", String::as_str))).collect())
}

/// The item's ID and the text.
fn answer_in(value: &Value, items: &[Item]) -> Option<(String, String)> {
    if let Some(place) = value.get("doc_id") {
        let item = items.get(usize::try_from(place.as_u64()?).ok()?)?;
        let said = value.get("filtered_resps").or_else(|| value.get("resps"))?;
        return Some((item.id.clone(), first_text(said)?.to_owned()));
    }
    let id = match value.get("id")? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    Some((id, value.get("text")?.as_str()?.to_owned()))
}

/// The first text of lists in lists.
fn first_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(list) => first_text(list.first()?),
        _ => None,
    }
}
