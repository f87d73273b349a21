//! `wardsmith tokenizer`: a byte-level BPE from a dataset's training texts.

use anyhow::{Result, bail};
use serde_json::json;
use wardsmith_model::weights::write_atomically;
use wardsmith_records::dataset::Split;

use crate::cli;
use crate::say::{self, count};
use crate::{keys, resolved};

/// Runs the command.
pub(crate) fn run(args: &cli::Tokenizer) -> Result<()> {
    if args.out.join("tokenizer.json").exists() {
        bail!("`{}` already holds a tokenizer\nhint: choose another --out", args.out.display());
    }
    let dataset = keys::open(&args.data)?;
    let mut examples = Vec::new();
    for task in &dataset.manifest.tasks {
        examples.extend(dataset.examples(task, Split::Train)?);
    }
    say::note(format_args!("training on {} texts", count(examples.len() as u64)));
    let texts = examples.into_iter().flat_map(|e| e.conversation.messages).map(|m| m.content);
    let size = wardsmith_tokens::train_bpe(texts, args.vocab, &args.out)?;
    let made = json!({
        "format": "wardsmith-tokenizer",
        "format_version": 1,
        "created_by": concat!("wardsmith ", env!("CARGO_PKG_VERSION")),
        "dataset_sha256": resolved::hex(&resolved::dataset_digest(&dataset)?),
        "vocab": args.vocab,
    });
    write_atomically(&args.out.join("wardsmith-tokenizer.json"), format!("{made:#}\n").as_bytes())?;
    say::result(format_args!("vocabulary of {size} tokens in {}", args.out.display()));
    Ok(())
}
