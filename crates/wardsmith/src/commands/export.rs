//! `wardsmith export`: a dataset → a folder that others read.

use anyhow::Result;
use wardsmith_tables::chat::export_chat;
use wardsmith_tables::hub::{ExportOptions, export};
use wardsmith_tables::{Exported, check_target};

use crate::cli::{self, ExportFormat};
use crate::keys;
use crate::say::{self, count};

/// Runs the command.
pub(crate) fn run(args: &cli::Export) -> Result<()> {
    check_target(&args.out, args.overwrite)?;
    let dataset = keys::open(&args.data)?;
    if dataset.is_sealed() {
        say::note("warning: the dataset is encrypted, and what is exported is not");
    }
    say::note(format_args!("exporting {} to {}", args.data.display(), args.out.display()));
    let exported = match args.format {
        ExportFormat::Hf => {
            let options =
                ExportOptions { overwrite: args.overwrite, name: args.name.clone(), ..ExportOptions::default() };
            export(&dataset, &args.out, &options)?
        }
        ExportFormat::Chat => export_chat(&dataset, &args.out, args.overwrite)?,
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
