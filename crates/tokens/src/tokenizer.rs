//! Text to token ids and back: the files of a Hugging Face model folder around the `tokenizers` crate.
//!
//! Two readings of text exist. *Markup* may hold special tokens and is written only by [`crate::template`]; *text* is
//! content from outside, in which `</s>` is four characters and never a token.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::{make_folder, read_if_present, write_renamed};
use crate::special::{SpecialFiles, SpecialToken, SpecialTokens};

const TOKENIZER_LIMIT_BYTES: u64 = 256 << 20;
const CONFIG_LIMIT_BYTES: u64 = 16 << 20;
const MAX_VOCAB_SIZE: usize = 1 << 24;

/// Files of a model folder that belong to its tokenizer and travel with it.
const FILES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// Where in a document a piece of text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The very beginning: some tokenizers add a space here.
    Start,
    /// After other tokens: nothing may be added.
    Continuation,
}

/// A tokenizer with its special tokens and chat template, as one model folder holds them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokenizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: tokenizers::Tokenizer,
    /// Differs from `start` only where that one adds a space to the beginning of a text.
    continuation: Option<tokenizers::Tokenizer>,
    special: SpecialTokens,
    /// Texts of all tokens marked special, longest first.
    special_texts: Vec<String>,
    adds_bos: bool,
    vocab_size: usize,
    chat_template: Option<String>,
    files: Vec<(&'static str, Vec<u8>)>,
    sha256: [u8; 32],
}

impl Tokenizer {
    /// Loads the tokenizer of a Hugging Face model folder: `tokenizer.json`, and where present `tokenizer_config.json`,
    /// `special_tokens_map.json` and `chat_template.jinja`.
    ///
    /// # Errors
    /// A file is absent, too large, not JSON, or the files contradict one another.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for &name in FILES {
            let limit = if name == "tokenizer.json" { TOKENIZER_LIMIT_BYTES } else { CONFIG_LIMIT_BYTES };
            if let Some(bytes) = read_if_present(&dir.join(name), limit)? {
                files.push((name, bytes));
            }
        }
        if file(&files, "tokenizer.json").is_none() {
            return Err(Error::NoTokenizer { dir: dir.to_path_buf() });
        }
        Inner::from_files(dir, files).map(|inner| Self(Arc::new(inner)))
    }

    /// The tokens of a text of its own, nothing added; special tokens written in it are plain characters.
    ///
    /// # Errors
    /// The tokenizer has no token for a character and no unknown token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut from = 0;
        let mut place = Place::Start;
        for cut in self.cuts(text).into_iter().chain([text.len()]) {
            ids.extend(self.encode_markup(&text[from..cut], place)?);
            (from, place) = (cut, Place::Continuation);
        }
        Ok(ids)
    }

    /// The tokens of `markup`, in which special tokens count as such.
    pub(crate) fn encode_markup(&self, markup: &str, place: Place) -> Result<Vec<u32>> {
        if markup.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.0;
        let tokenizer = match place {
            Place::Start => &inner.start,
            Place::Continuation => inner.continuation.as_ref().unwrap_or(&inner.start),
        };
        let encoding = tokenizer.encode_fast(markup, false).map_err(Error::tokenizer("encode"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Where a text from outside must be cut so that no special token written in it is read as one: inside every
    /// occurrence, after its first character. Byte offsets, ascending; nearly always empty.
    pub(crate) fn cuts(&self, text: &str) -> Vec<usize> {
        let mut cuts = Vec::new();
        for special in &self.0.special_texts {
            let Some(first) = special.chars().next() else {
                continue;
            };
            let mut from = 0;
            while let Some(found) = text[from..].find(special.as_str()) {
                from += found + first.len_utf8();
                cuts.push(from);
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// The earliest special token written in `markup`: where it ends.
    pub(crate) fn end_of_first_special(&self, markup: &str) -> Option<usize> {
        let found =
            self.0.special_texts.iter().filter_map(|text| markup.find(text.as_str()).map(|at| (at, text.len())));
        // Of two at one place the longer is the token; `special_texts` has it first.
        found.min_by_key(|&(at, _)| at).map(|(at, len)| at + len)
    }

    /// The text of `ids`; special tokens are left out.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.0.start.decode(ids, true).map_err(Error::tokenizer("decode"))
    }

    /// The text of `ids` with special tokens written out, for looking at what a model really sees.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.0.start.decode(ids, false).map_err(Error::tokenizer("decode"))
    }

    /// The special tokens with a role.
    #[must_use]
    pub fn special(&self) -> &SpecialTokens {
        &self.0.special
    }

    /// The id of the token that begins a text.
    #[must_use]
    pub fn bos_id(&self) -> Option<u32> {
        self.0.special.bos.as_ref().map(|token| token.id)
    }

    /// The id of the token that ends a text.
    #[must_use]
    pub fn eos_id(&self) -> Option<u32> {
        self.0.special.eos.as_ref().map(|token| token.id)
    }

    /// The id of the token that fills rows.
    #[must_use]
    pub fn pad_id(&self) -> Option<u32> {
        self.0.special.pad.as_ref().map(|token| token.id)
    }

    /// The id of the token for what cannot be said.
    #[must_use]
    pub fn unk_id(&self) -> Option<u32> {
        self.0.special.unk.as_ref().map(|token| token.id)
    }

    /// The token that begins a text of its own: where the tokenizer itself puts one before every text, or where one
    /// token both ends and begins (GPT-2 saw `<|endoftext|>` before each of its documents).
    #[must_use]
    pub fn document_bos(&self) -> Option<&SpecialToken> {
        let special = &self.0.special;
        special.bos.as_ref().filter(|_| self.0.adds_bos || special.bos == special.eos)
    }

    /// The token that the tokenizer itself puts before every text, as `tokenizer(text)` does in Transformers.
    #[must_use]
    pub fn added_bos(&self) -> Option<&SpecialToken> {
        self.0.special.bos.as_ref().filter(|_| self.0.adds_bos)
    }

    /// The highest id plus one: the least number of rows an embedding must have.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// The id of a token by its text in the vocabulary.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.0.start.token_to_id(token)
    }

    /// Every token of the vocabulary, as the vocabulary spells it, with its id.
    pub(crate) fn vocabulary(&self) -> impl Iterator<Item = (String, u32)> {
        self.0.start.get_vocab(true).into_iter()
    }

    /// `tokenizer.json` as it was read.
    pub(crate) fn json(&self) -> &[u8] {
        file(&self.0.files, "tokenizer.json").unwrap_or_default()
    }

    /// The folder's chat template, if it has one.
    #[must_use]
    pub fn chat_template(&self) -> Option<&str> {
        self.0.chat_template.as_deref()
    }

    /// SHA-256 over the folder's tokenizer files.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// Writes the tokenizer's files into another model folder, byte for byte. A folder that had no
    /// `tokenizer_config.json` gets a small one, so that other tools know the special tokens too.
    ///
    /// # Errors
    /// The folder cannot be made or a file cannot be written.
    pub fn save_to(&self, dir: &Path) -> Result<()> {
        make_folder(dir)?;
        for (name, bytes) in &self.0.files {
            write_renamed(&dir.join(name), |out| out.write_all(bytes))?;
        }
        if file(&self.0.files, "tokenizer_config.json").is_none() {
            let config = self.small_config().to_string();
            write_renamed(&dir.join("tokenizer_config.json"), |out| out.write_all(config.as_bytes()))?;
        }
        Ok(())
    }

    fn small_config(&self) -> Value {
        let mut config = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
        let special = &self.0.special;
        let roles = [
            ("bos_token", &special.bos),
            ("eos_token", &special.eos),
            ("pad_token", &special.pad),
            ("unk_token", &special.unk),
        ];
        for (key, token) in roles {
            if let Some(token) = token {
                config[key] = json!(token.text);
            }
        }
        config
    }
}

impl Inner {
    fn from_files(dir: &Path, files: Vec<(&'static str, Vec<u8>)>) -> Result<Self> {
        let bytes = file(&files, "tokenizer.json").unwrap_or_default();
        let start = parse_tokenizer(dir, bytes)?;
        let config = parse_json(dir, &files, "tokenizer_config.json")?;
        let map = parse_json(dir, &files, "special_tokens_map.json")?;
        let special =
            SpecialFiles { dir, config: config.as_ref(), map: map.as_ref() }.resolve(|text| start.token_to_id(text))?;
        Ok(Self {
            continuation: without_added_space(dir, bytes)?,
            special_texts: special_texts(&start),
            adds_bos: adds_bos(&start, special.bos.as_ref(), config.as_ref())?,
            vocab_size: vocab_size(dir, &start)?,
            chat_template: chat_template(dir, &files, config.as_ref())?,
            sha256: digest(&files),
            start,
            special,
            files,
        })
    }
}

fn file<'a>(files: &'a [(&'static str, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    files.iter().find(|(n, _)| *n == name).map(|(_, bytes)| bytes.as_slice())
}

fn digest(files: &[(&'static str, Vec<u8>)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

fn unusable(dir: &Path, name: &str, reason: &dyn std::fmt::Display, hint: &'static str) -> Error {
    Error::TokenizerFile { path: dir.join(name), reason: reason.to_string(), hint }
}

fn parse_tokenizer(dir: &Path, bytes: &[u8]) -> Result<tokenizers::Tokenizer> {
    let hint = "it must be a `tokenizer.json` of the Hugging Face tokenizers library; was the download cut short?";
    let refuse = |error: tokenizers::Error| unusable(dir, "tokenizer.json", &error, hint);
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes).map_err(refuse)?;
    // Some folders were saved in the middle of somebody's batch; lengths are this crate's business.
    tokenizer.with_truncation(None).map_err(refuse)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The same tokenizer without the space that SentencePiece-like ones put before a text; `None` where there is none.
fn without_added_space(dir: &Path, bytes: &[u8]) -> Result<Option<tokenizers::Tokenizer>> {
    let mut json: Value =
        serde_json::from_slice(bytes).map_err(|error| unusable(dir, "tokenizer.json", &error, "it must be JSON"))?;
    let normalizer = json.get_mut("normalizer").is_some_and(remove_prefixes);
    let pre_tokenizer = json.get_mut("pre_tokenizer").is_some_and(remove_prefixes);
    if !normalizer && !pre_tokenizer {
        return Ok(None);
    }
    parse_tokenizer(dir, json.to_string().as_bytes()).map(Some)
}

/// Switches off everything in a normalizer or pre-tokenizer that adds to the beginning; says whether there was any.
fn remove_prefixes(part: &mut Value) -> bool {
    match part["type"].as_str() {
        Some("Prepend") => {
            *part = Value::Null;
            true
        }
        Some("Metaspace") if part["prepend_scheme"] != "never" => {
            part["prepend_scheme"] = json!("never");
            // The old spelling of the same setting contradicts the new one otherwise.
            if let Some(fields) = part.as_object_mut() {
                fields.remove("add_prefix_space");
            }
            true
        }
        Some("ByteLevel") if part["add_prefix_space"] == true => {
            part["add_prefix_space"] = json!(false);
            true
        }
        Some("Sequence") => {
            let mut found = false;
            for key in ["normalizers", "pretokenizers"] {
                let Some(steps) = part.get_mut(key).and_then(Value::as_array_mut) else {
                    continue;
                };
                for step in steps.iter_mut() {
                    found |= remove_prefixes(step);
                }
                steps.retain(|step| !step.is_null());
            }
            found
        }
        _ => false,
    }
}

fn special_texts(tokenizer: &tokenizers::Tokenizer) -> Vec<String> {
    let added = tokenizer.get_added_tokens_decoder();
    let mut texts: Vec<String> = added
        .into_values()
        // A token of one character cannot be cut in two; no real tokenizer marks one special.
        .filter(|token| token.special && token.content.chars().count() > 1)
        .map(|token| token.content)
        .collect();
    texts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    texts
}

fn adds_bos(tokenizer: &tokenizers::Tokenizer, bos: Option<&SpecialToken>, config: Option<&Value>) -> Result<bool> {
    let Some(bos) = bos else { return Ok(false) };
    if let Some(said) = config.and_then(|config| config.get("add_bos_token")).and_then(Value::as_bool) {
        return Ok(said);
    }
    let encoding = tokenizer.encode_fast("a", true).map_err(Error::tokenizer("encode"))?;
    Ok(encoding.get_ids().first() == Some(&bos.id))
}

fn vocab_size(dir: &Path, tokenizer: &tokenizers::Tokenizer) -> Result<usize> {
    let highest = tokenizer.get_vocab(true).into_values().max();
    let size = highest.map_or(0, |id| id as usize + 1);
    if size == 0 || size > MAX_VOCAB_SIZE {
        let reason = format!("its vocabulary spans {size} ids");
        return Err(unusable(dir, "tokenizer.json", &reason, "between 1 and 16,777,216 are possible"));
    }
    Ok(size)
}

fn parse_json(dir: &Path, files: &[(&'static str, Vec<u8>)], name: &str) -> Result<Option<Value>> {
    let Some(bytes) = file(files, name) else {
        return Ok(None);
    };
    serde_json::from_slice(bytes)
        .map(Some)
        .map_err(|error| unusable(dir, name, &error, "it must be JSON; fetch the model folder again"))
}

/// `chat_template.jinja` wins over the config's `chat_template`: a string, or a list of named ones (`default` is taken).
fn chat_template(dir: &Path, files: &[(&'static str, Vec<u8>)], config: Option<&Value>) -> Result<Option<String>> {
    if let Some(bytes) = file(files, "chat_template.jinja") {
        let text = String::from_utf8(bytes.to_vec());
        return text.map(Some).map_err(|error| unusable(dir, "chat_template.jinja", &error, "it must be UTF-8 text"));
    }
    let Some(said) = config.and_then(|config| config.get("chat_template")).filter(|said| !said.is_null()) else {
        return Ok(None);
    };
    named_template(said).map(|text| Some(text.to_owned())).ok_or_else(|| {
        let reason = "`chat_template` is neither a text nor a list with one named `default`";
        unusable(dir, "tokenizer_config.json", &reason, "keep one template, as a string")
    })
}

fn named_template(said: &Value) -> Option<&str> {
    if let Some(text) = said.as_str() {
        return Some(text);
    }
    let list = said.as_array()?;
    let default = list.iter().find(|entry| entry["name"] == "default");
    let chosen = default.or(if list.len() == 1 { list.first() } else { None })?;
    chosen["template"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        tokenizer().save_to(dir.path()).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn refusal(files: &[(&str, &str)]) -> String {
        let message = Tokenizer::load(folder(files).path()).unwrap_err().to_string();
        assert!(message.contains("hint:"), "{message}");
        message
    }

    #[test]
    fn a_special_token_in_a_text_from_outside_is_only_characters() {
        let tokenizer = tokenizer();
        let text = "end <|endoftext|><|endoftext|> of <|endoftext|";
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.contains(&tokenizer.eos_id().unwrap()));
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }

    #[test]
    fn an_empty_folder_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let message = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("holds no `tokenizer.json`") && message.contains("hint:"), "{message}");
    }

    #[test]
    fn broken_files_are_named() {
        assert!(refusal(&[("tokenizer.json", "{\"version\":")]).contains("tokenizer.json"));
        assert!(refusal(&[("tokenizer_config.json", "[1,")]).contains("tokenizer_config.json"));
        assert!(refusal(&[("tokenizer_config.json", r#"{"eos_token": "<end>"}"#)]).contains("`<end>`"));
        assert!(refusal(&[("tokenizer_config.json", r#"{"chat_template": 5}"#)]).contains("chat_template"));
    }

    #[test]
    fn the_template_file_wins_and_of_several_the_default_is_taken() {
        let named =
            r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        let of =
            |files: &[(&str, &str)]| Tokenizer::load(folder(files).path()).unwrap().chat_template().map(str::to_owned);
        assert_eq!(of(&[("tokenizer_config.json", named)]).unwrap(), "d");
        assert_eq!(of(&[("tokenizer_config.json", named), ("chat_template.jinja", "f")]).unwrap(), "f");
        assert_eq!(of(&[("tokenizer_config.json", "{}")]), None);
    }

    #[test]
    fn a_saved_tokenizer_is_the_same_tokenizer() {
        let dir = folder(&[]);
        let again = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(again.sha256(), tokenizer().sha256());
    }

    #[test]
    fn a_folder_of_one_file_is_saved_with_its_special_tokens() {
        let dir = folder(&[]);
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        let bare = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(bare.eos_id(), Some(0), "found by its usual name");
        let saved = tempfile::tempdir().unwrap();
        bare.save_to(saved.path()).unwrap();
        let config = std::fs::read_to_string(saved.path().join("tokenizer_config.json")).unwrap();
        assert!(config.contains(r#""eos_token":"<|endoftext|>""#), "{config}");
    }

    #[test]
    fn what_adds_to_the_beginning_is_found_at_any_depth() {
        let mut part =
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "NFC"}]});
        assert!(remove_prefixes(&mut part));
        assert_eq!(part, json!({"type": "Sequence", "normalizers": [{"type": "NFC"}]}));
        let mut part = json!({"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}]});
        assert!(remove_prefixes(&mut part));
        assert_eq!(
            part["pretokenizers"][0],
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"})
        );
        assert!(!remove_prefixes(&mut json!({"type": "ByteLevel", "add_prefix_space": false})));
    }
}
