//! The program from outside: its command line, its files, and what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod advisories;
mod ask;
mod benchmark;
mod broken_input;
mod common;
mod compare;
mod export;
mod fetch;
mod memory;
mod pipeline;
mod private;
mod ranks;
mod real_feeds;
mod resume;
mod sweep;
