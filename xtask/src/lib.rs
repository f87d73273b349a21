//! The project's own checks. [`check`] runs cargo's tools one after another, [`tidy`] reads the tree by itself.

pub mod check;
pub mod command;
pub mod tidy;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use command::Command;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let parent = manifest.and_then(|dir| dir.parent().map(Path::to_path_buf));
    parent.unwrap_or_else(|| PathBuf::from("."))
}

/// Does what was asked; `false` means that something is wrong with the tree.
///
/// # Errors
/// A tool cannot be started or a file cannot be read.
pub fn run(command: &Command, root: &Path, out: &mut dyn Write) -> Result<bool> {
    match command {
        Command::Help => say(out, command::HELP),
        Command::Tidy => return tidy::report(root, out),
        Command::Check { skip } => return check::check(root, skip, out),
    }
    Ok(true)
}

/// Writes one line. A closed terminal is no reason to stop.
pub fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}
