//! How much a document may cost: sizes, depths and work.
//!
//! Nothing here is a time, because a clock would make the same file readable on one day and not on another. Work is
//! counted instead, and the caps are chosen so that no file takes more than some seconds and some hundred megabytes.

use std::cell::Cell;

use crate::error::{Error, Result};

/// The limits of one call of [`read`](crate::read). The default suits documents that people wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the input.
    pub input_bytes: usize,
    /// Size of all texts of one input together.
    pub output_bytes: usize,
    /// Size of a Markdown document: its parser may take seventy times as much memory.
    pub markdown_bytes: usize,
    /// How deep parts of a message and text boxes of a document may be nested; what lies deeper is left out.
    pub depth: usize,
    /// Members of a zip archive.
    pub zip_members: usize,
    /// Size of one member of a zip archive, decompressed.
    pub zip_member_bytes: usize,
    /// How many times as large as its compressed form a member of more than a MiB may be.
    pub zip_ratio: usize,
    /// Messages of a mailbox, and parts of a message.
    pub mail_parts: usize,
    /// Pages of a PDF.
    pub pdf_pages: usize,
    /// Indirect objects of a PDF.
    pub pdf_objects: usize,
    /// Size of one stream of a PDF, decompressed.
    pub pdf_stream_bytes: usize,
    /// Work for one PDF; a unit is about one byte that is parsed or decompressed.
    pub pdf_work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 64 << 20,
            output_bytes: 16 << 20,
            markdown_bytes: 8 << 20,
            depth: 32,
            zip_members: 10_000,
            zip_member_bytes: 64 << 20,
            zip_ratio: 200,
            mail_parts: 100_000,
            pdf_pages: 10_000,
            pdf_objects: 1_000_000,
            pdf_stream_bytes: 32 << 20,
            pdf_work: 512 << 20,
        }
    }
}

/// What is left of a document's work.
#[derive(Debug)]
pub(crate) struct Work {
    limit: u64,
    left: Cell<u64>,
}

impl Work {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, left: Cell::new(limit) }
    }

    /// Takes `units` off what is left.
    pub(crate) fn spend(&self, units: usize) -> Result<()> {
        let left = self.left.get().checked_sub(units as u64);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Error::TooLarge { what: "the work", limit: self.limit, unit: "units" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spent_work_stays_spent() {
        let work = Work::new(10);
        assert!(work.spend(10).is_ok());
        assert!(work.spend(1).unwrap_err().to_string().starts_with("the work passes the limit of 10 units"));
        assert!(Work::new(1).spend(usize::MAX).is_err());
    }
}
