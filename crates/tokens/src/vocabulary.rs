//! The bytes that every token stands for, read from `tokenizer.json`: what a constraint on text needs to know of a vocabulary.
//!
//! Two alphabets exist. Byte-level tokenizers write each byte as one printable character (GPT-2's table, Radford et al. 2019);
//! those that come from SentencePiece write a space as `▁` and a byte that no piece covers as `<0x0A>`.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Stands for a space at the beginning of a piece.
const LOWER_ONE_EIGHTH_BLOCK: char = '\u{2581}';

/// Bytes by token.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokens: Vec<Option<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    ByteLevel,
    Pieces { bytes: bool },
}

impl Vocabulary {
    /// The bytes of each token of `tokenizer`.
    ///
    /// # Errors
    /// Its decoder is of a kind whose bytes are not known, such as WordPiece.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let json: Value = serde_json::from_slice(tokenizer.json()).map_err(|e| unknown(e.to_string()))?;
        let alphabet = alphabet(&json)?;
        let mut tokens: Vec<Option<Vec<u8>>> = vec![None; tokenizer.vocab_size()];
        let mut put = |id: u32, bytes: Option<Vec<u8>>| {
            if let Some(place) = tokens.get_mut(id as usize) {
                *place = bytes.filter(|bytes| !bytes.is_empty());
            }
        };
        for (text, id) in tokenizer.vocabulary() {
            put(id, Some(alphabet.bytes(&text)));
        }
        // Added tokens are written as they are; those that are special are no text.
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let (Some(id), Some(content)) = (added["id"].as_u64(), added["content"].as_str()) else { continue };
            let special = added["special"].as_bool().unwrap_or(false);
            put(u32::try_from(id).unwrap_or(u32::MAX), (!special).then(|| content.as_bytes().to_vec()));
        }
        let special = tokenizer.special();
        for token in [&special.bos, &special.eos, &special.pad, &special.unk].into_iter().flatten() {
            put(token.id, None);
        }
        Ok(Self { tokens })
    }

    /// What a token stands for; `None` for special tokens and numbers that are no token.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize)?.as_deref()
    }

    /// What tokens stand for one after the other.
    #[must_use]
    pub fn text(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().filter_map(|id| self.bytes(*id)).flatten().copied().collect()
    }
}

fn unknown(reason: String) -> Error {
    Error::Vocabulary { reason }
}

/// How the tokenizer's decoder, or what stands before its model, spells bytes.
fn alphabet(json: &Value) -> Result<Alphabet> {
    let (decoder, before) = (kinds(&json["decoder"]), kinds(&json["pre_tokenizer"]));
    let has = |kind: &str| decoder.contains(&kind);
    if has("ByteLevel") || (decoder.is_empty() && before.contains(&"ByteLevel")) {
        return Ok(Alphabet::ByteLevel);
    }
    let spaces = json["decoder"].to_string().contains(LOWER_ONE_EIGHTH_BLOCK);
    if has("Metaspace") || has("ByteFallback") || (has("Replace") && spaces) {
        return Ok(Alphabet::Pieces { bytes: has("ByteFallback") });
    }
    Err(unknown(format!("its decoder is {decoder:?}")))
}

/// The kinds of a component of `tokenizer.json`, those inside a sequence too.
fn kinds(component: &Value) -> Vec<&str> {
    let inner = ["decoders", "pretokenizers"].into_iter().filter_map(|key| component[key].as_array()).flatten();
    component["type"].as_str().into_iter().chain(inner.filter_map(|part| part["type"].as_str())).collect()
}

impl Alphabet {
    fn bytes(self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
                bytes.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Self::Pieces { bytes } => match byte_piece(token).filter(|_| bytes) {
                Some(byte) => vec![byte],
                None => token.replace(LOWER_ONE_EIGHTH_BLOCK, " ").into_bytes(),
            },
        }
    }
}

/// The byte of `<0x0A>`.
fn byte_piece(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The byte that a character stands for: printable Latin-1 stands for itself, all other bytes count on from U+0100.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        33..=126 | 161..=172 | 174..=255 => u8::try_from(code).ok(),
        256..=288 => u8::try_from(code - 256).ok(),
        289..=322 => u8::try_from(code - 289 + 127).ok(),
        323 => Some(173),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SENTENCES, tokenizer};

    #[test]
    fn every_byte_has_one_character() {
        let mut bytes: Vec<u8> = (0..400).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(
            [byte_of('Ġ'), byte_of('Ċ'), byte_of('ł'), byte_of('Ń')],
            [Some(32), Some(10), Some(160), Some(173)]
        );
    }

    #[test]
    fn the_bytes_of_a_texts_tokens_are_the_text() {
        let tokenizer = tokenizer();
        let vocabulary = Vocabulary::new(&tokenizer).unwrap();
        for text in SENTENCES.iter().copied().chain(["naïve 💥\n\t{\"a\": [1.5e-3, null]}", "\u{7f}\u{ad}"]) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(String::from_utf8(vocabulary.text(&ids)).unwrap(), text);
        }
        assert_eq!(vocabulary.bytes(tokenizer.eos_id().unwrap()), None);
        assert_eq!(vocabulary.bytes(u32::MAX), None);
    }

    #[test]
    fn pieces_of_sentencepiece_are_spelled_with_spaces_and_bytes() {
        let pieces = Alphabet::Pieces { bytes: true };
        assert_eq!(pieces.bytes("▁a▁b"), b" a b");
        assert_eq!([pieces.bytes("<0x0A>"), pieces.bytes("<0xFF>")], [vec![10], vec![255]]);
        assert_eq!(pieces.bytes("<0xFFF>"), b"<0xFFF>");
        assert_eq!(Alphabet::Pieces { bytes: false }.bytes("<0x0A>"), b"<0x0A>");
        let json = |decoder: &str| serde_json::from_str(&format!("{{\"decoder\": {decoder}}}")).unwrap();
        let llama = r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}"#;
        assert_eq!(alphabet(&json(llama)).unwrap(), pieces);
        assert_eq!(alphabet(&json("{\"type\": \"ByteLevel\"}")).unwrap(), Alphabet::ByteLevel);
        assert!(alphabet(&json("{\"type\": \"WordPiece\"}")).unwrap_err().to_string().contains("WordPiece"));
    }
}
