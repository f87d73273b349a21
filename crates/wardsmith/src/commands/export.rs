//! `wardsmith export`: a dataset or a model → what others read.

mod model;

use std::path::Path;

use anyhow::{Result, bail};
use wardsmith_tables::chat::export_chat;
use wardsmith_tables::hub::{ExportOptions, export};
use wardsmith_tables::{Exported, check_target};

use crate::cli::{self, ExportFormat};
use crate::keys;
use crate::say::{self, count};

/// Runs the command.
pub(crate) fn run(args: &cli::Export) -> Result<()> {
    match (&args.model, &args.data) {
        (Some(folder), _) => model::run(folder, args),
        (None, Some(data)) => dataset(data, args),
        (None, None) => {
            bail!("nothing is named that could be exported\nhint: name a model with --model or a dataset with --data")
        }
    }
}

fn dataset(data: &Path, args: &cli::Export) -> Result<()> {
    if matches!(args.format, ExportFormat::Peft | ExportFormat::Gguf) {
        bail!("a dataset is exported as hf or chat\nhint: name a model with --model for the other formats");
    }
    check_target(&args.out, args.overwrite)?;
    let dataset = keys::open(data)?;
    if dataset.is_sealed() {
        say::note("warning: the dataset is encrypted, and what is exported is not");
    }
    say::note(format_args!("exporting {} to {}", data.display(), args.out.display()));
    let exported = match args.format {
        ExportFormat::Chat => export_chat(&dataset, &args.out, args.overwrite)?,
        _ => {
            let options =
                ExportOptions { overwrite: args.overwrite, name: args.name.clone(), ..ExportOptions::default() };
            export(&dataset, &args.out, &options)?
        }
    };
    tell(&exported);
    say::note(format_args!("wrote {}", args.out.display()));
    Ok(())
}

/// Rows by task and split, what stayed behind, and how large it is.
fn tell(exported: &Exported) {
    let statement = &exported.statement;
    for (task, splits) in &statement.examples {
        let splits: Vec<String> = splits.iter().map(|(split, rows)| format!("{split} {}", count(*rows))).collect();
        say::result(format_args!("{task}: {}", splits.join(", ")));
    }
    if statement.withheld_private_examples > 0 {
        let withheld = count(statement.withheld_private_examples);
        say::result(format_args!("private examples that were left out: {withheld}"));
    }
    let bytes: u64 = statement.files.values().map(|file| file.bytes).sum();
    say::result(format_args!("{} files, {} bytes", statement.files.len(), count(bytes)));
}
