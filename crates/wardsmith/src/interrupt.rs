//! Ctrl-C: the first asks the work to stop and save, the second ends the program at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::say;

static STOP: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Whether Ctrl-C was pressed, in a command that listens for it (others end at once).
pub(crate) fn raised() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The flag that Ctrl-C raises; installs the handler at the first call.
pub(crate) fn flag() -> &'static AtomicBool {
    INSTALLED.get_or_init(|| {
        let handler = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            say::note("\nstopping; press Ctrl-C again to stop at once");
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            say::note(format_args!("warning: Ctrl-C will not save the run: {error}"));
        }
    });
    &STOP
}
