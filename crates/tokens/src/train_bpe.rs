//! Trains a byte-level BPE on a corpus and writes it as a Hugging Face tokenizer folder.
//!
//! As GPT-2 does it (Radford et al. 2019: bytes as the alphabet, so nothing is ever unknown), but every digit stands
//! alone: "CWE-79" and "CVE-2021-44228" are then spelled from the same ten tokens instead of memorised piecemeal.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer};

use crate::error::{Error, Result};
use crate::files::{make_folder, write_renamed};
use crate::template::DEFAULT_TEMPLATE;

/// Begins, ends and pads a text.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// 256 bytes and one special token: less cannot say every text.
pub const MIN_VOCAB_SIZE: usize = 257;
const MAX_VOCAB_SIZE: usize = 1 << 20;
/// Longer words are mostly hashes and paths; they need no token of their own.
const MAX_TOKEN_BYTES: usize = 24;
/// A pair seen less often is an accident of the corpus.
const MIN_FREQUENCY: u64 = 2;

/// Trains on `texts` and writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `out_dir`.
/// The same texts give the same files. Returns the vocabulary's size, which is smaller than `vocab_size` where the
/// corpus has not enough repetition.
///
/// # Errors
/// `vocab_size` is impossible, or the folder cannot be written.
pub fn train_bpe(texts: impl Iterator<Item = String> + Send, vocab_size: usize, out_dir: &Path) -> Result<usize> {
    if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&vocab_size) {
        return Err(Error::Setting {
            name: "vocab_size",
            value: vocab_size.to_string(),
            reason: "a byte-level vocabulary has between 257 and 1,048,576 tokens",
            hint: "for a small base 8,000 to 16,000 is usual",
        });
    }
    let tokenizer = train(texts, vocab_size)?;
    let json = tokenizer.to_string(true).map_err(Error::tokenizer("be trained"))?;
    write_folder(out_dir, &json)?;
    Ok(tokenizer.get_vocab_size(true))
}

fn train(texts: impl Iterator<Item = String> + Send, vocab_size: usize) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let steps = vec![PreTokenizerWrapper::Digits(Digits::new(true)), PreTokenizerWrapper::ByteLevel(byte_level)];
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    tokenizer.with_decoder(Some(byte_level));
    let special = AddedToken::from(END_OF_TEXT, true).normalized(false);
    let trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocab_size)
        .min_frequency(MIN_FREQUENCY)
        .max_token_length(Some(MAX_TOKEN_BYTES))
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![special])
        .build();
    let mut trainer = tokenizers::models::TrainerWrapper::BpeTrainer(trainer);
    tokenizer.train(&mut trainer, texts).map_err(Error::tokenizer("be trained"))?;
    let begin_texts = begin_texts(&tokenizer)?;
    tokenizer.with_post_processor(Some(begin_texts));
    Ok(tokenizer)
}

/// Puts the end-of-text token before every text, so that `tokenizer(text)` in Transformers gives the tokens that a base
/// was trained with here.
fn begin_texts(tokenizer: &Tokenizer) -> Result<TemplateProcessing> {
    let refuse = |reason: String| Error::Tokenizer { action: "be trained", reason };
    let id = tokenizer.token_to_id(END_OF_TEXT).ok_or_else(|| refuse("its end token is missing".to_owned()))?;
    TemplateProcessing::builder()
        .try_single(format!("{END_OF_TEXT} $A"))
        .and_then(|builder| builder.try_pair(format!("{END_OF_TEXT} $A {END_OF_TEXT} $B:1")))
        .map_err(refuse)?
        .special_tokens(vec![(END_OF_TEXT, id)])
        .build()
        .map_err(|error| refuse(error.to_string()))
}

fn write_folder(dir: &Path, tokenizer_json: &str) -> Result<()> {
    make_folder(dir)?;
    let config = json!({
        "add_prefix_space": false,
        "bos_token": END_OF_TEXT,
        "chat_template": format!("{{{{ bos_token }}}}{DEFAULT_TEMPLATE}"),
        "clean_up_tokenization_spaces": false,
        "eos_token": END_OF_TEXT,
        "model_max_length": 1_000_000,
        "pad_token": END_OF_TEXT,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    let map = json!({"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT});
    let pretty = |value: &Value| format!("{value:#}\n");
    let files = [
        ("tokenizer.json", tokenizer_json.to_owned()),
        ("tokenizer_config.json", pretty(&config)),
        ("special_tokens_map.json", pretty(&map)),
    ];
    for (name, text) in files {
        write_renamed(&dir.join(name), |out| out.write_all(text.as_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SENTENCES, tokenizer};
    use proptest::prelude::*;

    fn trained() -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let texts = (0..4).flat_map(|_| SENTENCES.iter().map(|&text| text.to_owned()));
        train_bpe(texts, 400, dir.path()).unwrap();
        let names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
        names.iter().map(|name| std::fs::read(dir.path().join(name)).unwrap()).collect()
    }

    #[test]
    fn the_same_texts_give_the_same_files() {
        let first = trained();
        assert!((0..5).all(|_| trained() == first));
    }

    #[test]
    fn one_token_begins_ends_and_pads() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.special().eos.as_ref().unwrap().text, END_OF_TEXT);
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (Some(0), Some(0), Some(0)));
        assert_eq!(tokenizer.vocab_size(), 400);
    }

    #[test]
    fn a_weakness_number_is_spelled_from_single_digits() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("CWE-79 CVE-2021-44228").unwrap();
        let digits: Vec<u32> =
            "0123456789".chars().map(|digit| tokenizer.token_id(&digit.to_string()).unwrap()).collect();
        let spelled: String = ids
            .iter()
            .filter_map(|id| digits.iter().position(|digit| digit == id))
            .map(|digit| digit.to_string())
            .collect();
        assert_eq!(spelled, "79202144228");
        assert_eq!(tokenizer.encode(" CWE-79").unwrap().len(), 4, "the name, the dash, two digits");
    }

    #[test]
    fn an_impossible_vocabulary_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let message = train_bpe(std::iter::empty(), 256, dir.path()).unwrap_err().to_string();
        assert!(message.contains("`vocab_size` is 256") && message.contains("hint:"), "{message}");
    }

    #[test]
    fn an_empty_corpus_gives_the_bytes_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(train_bpe(std::iter::empty(), 300, dir.path()).unwrap(), MIN_VOCAB_SIZE);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "\\PC{0,80}", noise in any::<String>()) {
            let tokenizer = tokenizer();
            for text in [text, noise] {
                prop_assert_eq!(tokenizer.decode_with_special(&tokenizer.encode(&text).unwrap()).unwrap(), text);
            }
        }
    }
}
