//! A small tokenizer for the unit tests: trained once per test process on a few sentences of our own.

use std::sync::OnceLock;

use crate::render::{Limits, Renderer};
use crate::tokenizer::Tokenizer;
use crate::train_bpe::train_bpe;

pub(crate) const SENTENCES: &[&str] = &[
    "A web form does not escape what a visitor writes, so that a script runs in another visitor's browser.",
    "The server copies a name into a buffer without looking at its length and overwrites the stack.",
    "A path with dots leaves the folder of the web server and reads any file: CWE-22.",
    "A query is built from what a visitor writes, so that a visitor reads the whole table: CWE-89.",
    "The answer is CWE-79. The answer is CWE-787.",
];

pub(crate) fn tokenizer() -> Tokenizer {
    static TRAINED: OnceLock<Tokenizer> = OnceLock::new();
    let train = || {
        let dir = tempfile::tempdir().unwrap();
        let texts = (0..4).flat_map(|_| SENTENCES.iter().map(|&text| text.to_owned()));
        train_bpe(texts, 400, dir.path()).unwrap();
        Tokenizer::load(dir.path()).unwrap()
    };
    TRAINED.get_or_init(train).clone()
}

pub(crate) fn renderer(max_len_tokens: usize) -> Renderer {
    let limits = Limits { max_len_tokens, answer_tokens: 8 };
    Renderer::new(tokenizer(), limits).unwrap()
}
