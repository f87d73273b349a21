//! `wardsmith tokenizer`: a byte-level BPE from a dataset's training texts.

use anyhow::{Result, bail};
use wardsmith_records::dataset::{Dataset, Split};

use crate::cli;
use crate::say::{self, count};

/// Runs the command.
pub(crate) fn run(args: &cli::Tokenizer) -> Result<()> {
    if args.out.join("tokenizer.json").exists() {
        bail!("`{}` already holds a tokenizer\nhint: choose another --out", args.out.display());
    }
    let dataset = Dataset::open(&args.data)?;
    let examples = dataset.examples(Split::Train)?;
    say::note(format_args!("training on {} texts", count(examples.len() as u64)));
    let texts = examples.into_iter().flat_map(|e| e.conversation.messages).map(|m| m.content);
    let size = wardsmith_tokens::train_bpe(texts, args.vocab, &args.out)?;
    say::result(format_args!("vocabulary of {size} tokens in {}", args.out.display()));
    Ok(())
}
