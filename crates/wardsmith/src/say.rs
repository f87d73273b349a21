//! What the program says: results on standard output, everything else on standard error. Beside it only
//! `wardsmith-train`'s progress prints.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Exit status after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// The run was stopped on request; not a failure of anything.
#[derive(Debug)]
pub(crate) struct Interrupted(pub String);

impl Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Whether another process speaks for this one.
static HUSHED: AtomicBool = AtomicBool::new(false);

/// From now on only errors are told.
pub(crate) fn hush() {
    HUSHED.store(true, Ordering::Relaxed);
}

fn hushed() -> bool {
    HUSHED.load(Ordering::Relaxed)
}

/// One line of progress or explanation.
pub(crate) fn note(text: impl Display) {
    if !hushed() {
        tell(text);
    }
}

fn tell(text: impl Display) {
    // Nobody reads a closed standard error; that is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why results no longer reach standard output.
static OUTPUT: OnceLock<ErrorKind> = OnceLock::new();

/// One line of result. What goes wrong is told at the end, by [`finish`], so that work which is not about the output is
/// done all the same.
pub(crate) fn result(text: impl Display) {
    if hushed() {
        return;
    }
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        OUTPUT.get_or_init(|| error.kind());
    }
}

/// A part of a line of result, shown at once.
pub(crate) fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        OUTPUT.get_or_init(|| error.kind());
    }
}

/// Whether nobody hears results any more, as behind `| head`.
pub(crate) fn is_closed() -> bool {
    OUTPUT.get().is_some()
}

/// The status of a program that did its work: a failure where results were lost, other than to a reader that had enough.
pub(crate) fn finish() -> ExitCode {
    match OUTPUT.get() {
        None | Some(ErrorKind::BrokenPipe) => ExitCode::SUCCESS,
        Some(kind) => {
            let hint = system_hint(*kind).unwrap_or("look at where standard output leads");
            note(format_args!("error: results could not be written to standard output: {kind}\nhint: {hint}"));
            ExitCode::FAILURE
        }
    }
}

/// Shows why the program ends.
pub(crate) fn error(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        note(interrupted);
        return ExitCode::from(INTERRUPTED);
    }
    tell(format_args!("error: {}", chain(error)));
    ExitCode::FAILURE
}

/// The error and its causes; a cause that its error already tells is not told twice. Where none of them hints at the
/// cure, the operating system's answer may.
fn chain(error: &anyhow::Error) -> String {
    let text = told(error);
    match error.chain().find_map(|cause| system_hint(cause.downcast_ref::<std::io::Error>()?.kind())) {
        Some(hint) if !text.contains("\nhint:") => format!("{text}\nhint: {hint}"),
        _ => text,
    }
}

fn system_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("the disk is full; free some space or write elsewhere")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some("this user may not do that there; choose another place or change its permissions")
        }
        ErrorKind::NotFound => Some("check the path"),
        _ => None,
    }
}

fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let (message, hint) = text.split_once("\nhint:").map_or((text.as_str(), None), |(m, h)| (m, Some(h)));
            text = match hint {
                Some(hint) => format!("{message}: {cause}\nhint:{hint}"),
                None => format!("{message}: {cause}"),
            };
        }
    }
    text
}

/// A bar that hides itself where there is no terminal.
pub(crate) fn bar(total: u64, what: &str) -> ProgressBar {
    if hushed() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{msg:20} {bar:24} {percent:>3}%  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// 242314 as `242,314`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_242_314), "1,242,314");
    }

    #[test]
    fn a_cause_stands_before_the_hint_and_only_once() {
        let cause = anyhow::anyhow!("no space left");
        let error = cause.context("cannot write `x`\nhint: free some");
        assert_eq!(chain(&error), "cannot write `x`: no space left\nhint: free some");
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(chain(&anyhow::Error::new(denied).context("cannot write `x`")).contains("\nhint: this user may not"));
        let twice = anyhow::anyhow!("b").context("a: b");
        assert_eq!(chain(&twice), "a: b");
    }
}
