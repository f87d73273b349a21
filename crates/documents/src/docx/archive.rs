//! The zip archive around a document, with bounded members.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::charset;
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::Limits;

/// Below this size no ratio is looked at; a short text of blanks is no bomb.
const RATIO_FREE_BYTES: usize = 1 << 20;
/// How the directory entry of a member begins.
const ENTRY: &[u8] = b"PK\x01\x02";

/// An archive in memory. Member names are compared and never used as paths.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    limits: &'a Limits,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &'a Limits) -> Result<Self> {
        // Counted before the directory is read, because every entry of it takes memory.
        let entries = bytes.windows(ENTRY.len()).filter(|window| *window == ENTRY).count();
        if entries > limits.zip_members {
            return Err(Error::TooLarge { what: "the archive", limit: limits.zip_members as u64, unit: "members" });
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Error::broken(Kind::Docx, error.to_string()))?;
        Ok(Self { zip, limits })
    }

    /// The text of a member; `None` where there is none of that name.
    pub(super) fn member(&mut self, name: &'static str) -> Result<Option<String>> {
        let Some(index) = self.zip.index_for_name(name) else {
            return Ok(None);
        };
        let member = self.zip.by_index(index).map_err(|error| Error::broken(Kind::Docx, error.to_string()))?;
        let what = match name {
            "word/document.xml" => "`word/document.xml`",
            _ => "a member of the archive",
        };
        let limit = self.limits.zip_member_bytes;
        let by_ratio = usize::try_from(member.compressed_size()).unwrap_or(usize::MAX);
        let by_ratio = by_ratio.saturating_mul(self.limits.zip_ratio).max(RATIO_FREE_BYTES);
        let mut bytes = Vec::new();
        let most = limit.min(by_ratio) as u64;
        let read = member.take(most + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > most {
            return Err(match limit <= by_ratio {
                true => Error::too_many_bytes(what, limit),
                false => Error::TooLarge { what, limit: self.limits.zip_ratio as u64, unit: "times its size" },
            });
        }
        read.map_err(|error| Error::broken(Kind::Docx, format!("`{name}`: {error}")))?;
        Ok(Some(charset::decode(&bytes, None)))
    }
}
