//! `tokenizer.json` as GGUF's `tokenizer.ggml.*`: byte-level BPE (`gpt2`) and BPE over pieces with byte fallback (`llama`).

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value as Json;

use super::gguf::{Metadata, Value};
use crate::error::{Error, Result};

/// Larger tokenizers are not read.
const MAX_BYTES: u64 = 256 << 20;

/// `llama_token_attr` of the kinds that are used.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

fn refuse(reason: impl Into<String>) -> Error {
    let hint = "llama.cpp splits text by rules of its own; a tokenizer that it does not know would be read wrongly";
    Error::Export { reason: reason.into(), hint }
}

fn read(folder: &Path, name: &str) -> Result<Option<String>> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let fail = |e| Error::io("read", &path, e);
    if std::fs::metadata(&path).map_err(fail)?.len() > MAX_BYTES {
        return Err(refuse(format!("`{name}` is larger than {MAX_BYTES} bytes")));
    }
    std::fs::read_to_string(&path).map_err(fail).map(Some)
}

fn read_json(folder: &Path, name: &str) -> Result<Option<Json>> {
    let parse = |text: String| serde_json::from_str(&text).map_err(|e| refuse(format!("`{name}` is not JSON: {e}")));
    read(folder, name)?.map(parse).transpose()
}

/// The metadata of the tokenizer in `folder` for a model of `vocab` tokens; `config` is the model's `config.json`.
pub(super) fn metadata(folder: &Path, config: &Json, vocab: usize) -> Result<Metadata> {
    let json = read_json(folder, "tokenizer.json")?.ok_or_else(|| refuse("the folder has no `tokenizer.json`"))?;
    let model = &json["model"];
    if model["type"].as_str().is_some_and(|t| t != "BPE") {
        return Err(refuse(format!("its tokenizer is of type {}", model["type"])));
    }
    let merges = merges(model)?;
    let pieces = model["byte_fallback"].as_bool() == Some(true);
    let (tokens, mut kinds) = tokens(&json, vocab)?;
    if pieces {
        let byte = |t: &str| t.len() == 6 && t.starts_with("<0x") && t.ends_with('>');
        kinds.iter_mut().zip(&tokens).filter(|(_, t)| byte(t)).for_each(|(kind, _)| *kind = BYTE);
    }
    if let Some(unknown) = model["unk_token"].as_str().and_then(|u| tokens.iter().position(|t| t == u)) {
        kinds[unknown] = UNKNOWN;
    }
    let mut all = Metadata::new();
    let mut add = |key: &str, value| all.push((format!("tokenizer.{key}"), value));
    add("ggml.model", Value::Text(if pieces { "llama" } else { "gpt2" }.into()));
    add("ggml.pre", Value::Text(if pieces { "default" } else { splitter(&json["pre_tokenizer"])? }.into()));
    if pieces {
        add("ggml.scores", Value::Floats(scores(&tokens, &merges)));
        add("ggml.add_space_prefix", Value::Bool(prepends_space(&json)));
    } else {
        add("ggml.merges", Value::Texts(merges.iter().map(|(a, b)| format!("{a} {b}")).collect()));
    }
    add("ggml.tokens", Value::Texts(tokens));
    add("ggml.token_type", Value::Ints(kinds));
    for (key, theirs) in
        [("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id")]
    {
        if let Some(id) = config[key].as_u64().filter(|id| *id < vocab as u64) {
            add(&format!("ggml.{theirs}"), Value::U32(id as u32));
        }
    }
    add("ggml.add_bos_token", Value::Bool(begins_with_special(&json["post_processor"])));
    if let Some(template) = chat_template(folder)? {
        add("chat_template", Value::Text(template));
    }
    Ok(all)
}

/// Merges, written as pairs or as one text with a space.
fn merges(model: &Json) -> Result<Vec<(String, String)>> {
    let pair = |m: &Json| match m {
        Json::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        _ => Some((m[0].as_str()?.to_owned(), m[1].as_str()?.to_owned())),
    };
    let all = model["merges"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(pair).collect::<Option<_>>().ok_or_else(|| refuse("its tokenizer has a merge that is no pair"))
}

/// Texts and kinds of all tokens by id; ids without a token are unused.
fn tokens(json: &Json, vocab: usize) -> Result<(Vec<String>, Vec<i32>)> {
    let mut tokens: Vec<String> = (0..vocab).map(|i| format!("[PAD{i}]")).collect();
    let mut kinds = vec![UNUSED; vocab];
    let mut put = |id: Option<u64>, text: &str, kind: i32| {
        let id = id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < vocab);
        let id = id.ok_or_else(|| refuse(format!("the token `{text}` has no place among the model's {vocab}")))?;
        (tokens[id], kinds[id]) = (text.to_owned(), kind);
        Ok(())
    };
    for (text, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        put(id.as_u64(), text, NORMAL)?;
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let kind = if added["special"].as_bool() == Some(true) { CONTROL } else { USER_DEFINED };
        put(added["id"].as_u64(), added["content"].as_str().unwrap_or_default(), kind)?;
    }
    Ok((tokens, kinds))
}

/// llama.cpp joins the pair with the best score first: earlier merges score better.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut rank = HashMap::new();
    for (i, (a, b)) in merges.iter().enumerate() {
        rank.entry(format!("{a}{b}")).or_insert(i);
    }
    tokens.iter().map(|t| -(rank.get(t).copied().unwrap_or(merges.len()) as f32)).collect()
}

/// Whether a text begins with a space that is not its own.
fn prepends_space(json: &Json) -> bool {
    let pre = json["pre_tokenizer"].to_string();
    json["normalizer"].to_string().contains("\"Prepend\"")
        || pre.contains("\"Metaspace\"") && !pre.contains("\"prepend_scheme\":\"never\"")
}

/// llama.cpp's name of the way in which text is split before merges.
fn splitter(pre: &Json) -> Result<&'static str> {
    let steps: Vec<&Json> = match pre["type"].as_str() {
        Some("Sequence") => pre["pretokenizers"].as_array().into_iter().flatten().collect(),
        _ => vec![pre],
    };
    let kinds: Vec<&str> = steps.iter().filter_map(|s| s["type"].as_str()).collect();
    let pattern = steps.iter().find_map(|s| s["pattern"]["Regex"].as_str()).unwrap_or_default();
    if steps.iter().any(|s| s["type"] == "ByteLevel" && s["add_prefix_space"] == true) {
        return Err(refuse("its tokenizer puts a space before every text"));
    }
    match kinds.as_slice() {
        ["ByteLevel"] if pre["use_regex"].as_bool() != Some(false) => Ok("gpt-2"),
        ["Digits", "ByteLevel"] => Ok("smollm"),
        ["Split", "ByteLevel"] if pattern.contains(r"\p{N}{1,3}") => Ok("llama-bpe"),
        ["Split", "ByteLevel"] if pattern.contains(r"|\p{N}|") => Ok("qwen2"),
        ["Split", "ByteLevel"] if pattern.starts_with(r" ?[^(\s|[.,!?") => Ok("bloom"),
        _ => Err(refuse(format!("its tokenizer splits text by {kinds:?}"))),
    }
}

/// Whether a text's first token is a special one.
fn begins_with_special(post: &Json) -> bool {
    let steps: Vec<&Json> = match post["type"].as_str() {
        Some("Sequence") => post["processors"].as_array().into_iter().flatten().collect(),
        _ => vec![post],
    };
    steps.iter().any(|step| step["single"][0].get("SpecialToken").is_some())
}

fn chat_template(folder: &Path) -> Result<Option<String>> {
    if let Some(text) = read(folder, "chat_template.jinja")? {
        return Ok(Some(text));
    }
    let config = read_json(folder, "tokenizer_config.json")?;
    Ok(config.and_then(|c| c["chat_template"].as_str().map(str::to_owned)))
}
