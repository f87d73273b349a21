//! Foreign parsers on a thread of their own: a known stack, and a panic is an error.
//!
//! The parsers behind this crate meet bytes that their authors never saw. What they still get wrong ends here.

use std::any::Any;
use std::panic;
use std::sync::Once;
use std::thread;

use crate::error::{Error, Result};
use crate::kind::Kind;

/// Room for the few recursions there are, all of them bounded; only what is touched takes memory.
const STACK_BYTES: usize = 16 << 20;
/// By this name the panic hook knows that a panic is dealt with and not to be printed.
const THREAD_NAME: &str = "wardsmith-document";

/// Runs `work` on its own stack; a panic in it becomes [`Error::Broken`] and is not printed.
pub(crate) fn on_own_stack<T: Send>(kind: Kind, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    silence();
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(THREAD_NAME.into()).stack_size(STACK_BYTES);
        let worker = builder.spawn_scoped(scope, work).map_err(Error::Thread)?;
        worker.join().unwrap_or_else(|payload| Err(Error::broken(kind, message(&*payload))))
    })
}

/// Lets the panic hook pass over our threads, once for the whole process.
fn silence() {
    static ONCE: Once = Once::new();
    // Setting a hook while this thread unwinds would abort the process.
    if thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD_NAME) {
                previous(info);
            }
        }));
    });
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("its parser gave up ({})", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_broken_document() {
        let result: Result<()> = on_own_stack(Kind::Pdf, || panic!("index {} out of range", 7));
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with("the PDF document is broken: its parser gave up (index 7 out of range)"),
            "{message}"
        );
    }

    #[test]
    fn what_works_is_handed_through() {
        assert_eq!(on_own_stack(Kind::Plain, || Ok(5)).unwrap(), 5);
    }
}
