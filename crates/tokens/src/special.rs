//! Which tokens begin, end and pad a text: read from a Hugging Face folder's `tokenizer_config.json` and `special_tokens_map.json`.
//!
//! A folder with neither file (only `tokenizer.json`) is searched for the names that the families use.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// Names tried, in order, when no file says which token begins a text.
const USUAL_BEGIN: &[&str] = &["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"];
/// Names tried, in order, when no file says which token ends a text.
const USUAL_END: &[&str] = &["</s>", "<|endoftext|>", "<eos>", "<|end_of_text|>", "<|im_end|>"];
const USUAL_PAD: &[&str] = &["<pad>", "<|padding|>", "[PAD]"];
const USUAL_UNKNOWN: &[&str] = &["<unk>", "[UNK]"];

/// A special token: its text and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// As it is written in a template.
    pub text: String,
    /// Its row in the embedding.
    pub id: u32,
}

/// The special tokens with a role; each may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<SpecialToken>,
    /// Ends a text or a turn.
    pub eos: Option<SpecialToken>,
    /// Fills rows; Wardsmith packs and needs none, but writes it for others.
    pub pad: Option<SpecialToken>,
    /// Stands for what the vocabulary cannot say.
    pub unk: Option<SpecialToken>,
}

/// The two files that may name special tokens, parsed, and where they lie.
pub(crate) struct SpecialFiles<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) config: Option<&'a Value>,
    pub(crate) map: Option<&'a Value>,
}

impl SpecialFiles<'_> {
    /// Resolves all four roles; `id_of` is the tokenizer's vocabulary.
    pub(crate) fn resolve(&self, id_of: impl Fn(&str) -> Option<u32>) -> Result<SpecialTokens> {
        let required = |key, usual| self.named(key, usual, &id_of);
        // Foreign folders often name a pad token that was never added; nothing here needs one.
        let optional = |key, usual| self.named(key, usual, &id_of).unwrap_or(None);
        Ok(SpecialTokens {
            bos: required("bos_token", USUAL_BEGIN)?,
            eos: required("eos_token", USUAL_END)?,
            pad: optional("pad_token", USUAL_PAD),
            unk: optional("unk_token", USUAL_UNKNOWN),
        })
    }

    fn named(&self, key: &str, usual: &[&str], id_of: &impl Fn(&str) -> Option<u32>) -> Result<Option<SpecialToken>> {
        let said = [(self.config, "tokenizer_config.json"), (self.map, "special_tokens_map.json")];
        for (file, name) in said {
            let Some(value) = file.and_then(|file| file.get(key)).filter(|value| !value.is_null()) else {
                continue;
            };
            return self.checked(value, key, name, id_of).map(Some);
        }
        if self.config.is_some() || self.map.is_some() {
            return Ok(None);
        }
        Ok(usual.iter().find_map(|&text| id_of(text).map(|id| SpecialToken { text: text.to_owned(), id })))
    }

    fn checked(
        &self,
        value: &Value,
        key: &str,
        file: &str,
        id_of: &impl Fn(&str) -> Option<u32>,
    ) -> Result<SpecialToken> {
        let refuse = |reason: String, hint| Error::TokenizerFile { path: self.dir.join(file), reason, hint };
        let text = token_text(value).ok_or_else(|| {
            refuse(format!("`{key}` is `{value}`"), "write the token as a string or as an object with `content`")
        })?;
        let id = id_of(text).ok_or_else(|| {
            refuse(
                format!("`{key}` is `{text}`, which `tokenizer.json` does not hold"),
                "the files are of two different tokenizers; fetch the model folder again",
            )
        })?;
        Ok(SpecialToken { text: text.to_owned(), id })
    }
}

/// A token is written as a string or as an object with `content`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id_of(text: &str) -> Option<u32> {
        ["<unk>", "<s>", "</s>"].iter().position(|&t| t == text).map(|id| id as u32)
    }

    fn resolve(config: Option<&Value>, map: Option<&Value>) -> Result<SpecialTokens> {
        let dir = Path::new("folder");
        SpecialFiles { dir, config, map }.resolve(id_of)
    }

    #[test]
    fn strings_and_objects_are_read_and_the_config_wins() {
        let config = json!({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "unk_token": null});
        let map = json!({"eos_token": "<s>", "unk_token": "<unk>"});
        let found = resolve(Some(&config), Some(&map)).unwrap();
        assert_eq!(found.bos.unwrap().id, 1);
        assert_eq!(found.eos.unwrap().text, "</s>");
        assert_eq!(found.unk.unwrap().id, 0);
        assert_eq!(found.pad, None);
    }

    #[test]
    fn a_folder_without_files_uses_the_usual_names() {
        let found = resolve(None, None).unwrap();
        assert_eq!(found.bos.unwrap().text, "<s>");
        assert_eq!(found.eos.unwrap().text, "</s>");
    }

    #[test]
    fn a_config_that_is_silent_means_there_is_none() {
        assert_eq!(resolve(Some(&json!({})), None).unwrap(), SpecialTokens::default());
    }

    #[test]
    fn an_end_token_outside_the_vocabulary_is_told_about_but_a_pad_token_is_not() {
        let message = resolve(Some(&json!({"eos_token": "<end>"})), None).unwrap_err().to_string();
        assert!(message.contains("`<end>`") && message.contains("hint:"), "{message}");
        assert_eq!(resolve(Some(&json!({"pad_token": "[PAD]"})), None).unwrap().pad, None);
    }

    #[test]
    fn a_token_of_the_wrong_type_is_told_about() {
        let message = resolve(Some(&json!({"eos_token": 7})), None).unwrap_err().to_string();
        assert!(message.contains("`eos_token` is `7`"), "{message}");
    }
}
