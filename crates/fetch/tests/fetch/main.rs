//! Fetching from outside: against a server on this machine that does what servers do on bad days.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod bench;
mod engine;
mod every_feed;
mod lock;
mod server;
