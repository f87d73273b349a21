//! STIX 2.1 bundles: their objects one after the other, by type.
//!
//! Specification: OASIS STIX 2.1. An object's relations may stand before or behind it, so a source gathers small parts of
//! what it needs while the bundle streams by, and makes its records at the end. How much may stream by is bounded here.

use std::io::BufRead;

use serde::Deserialize;

use crate::error::Result;
use crate::record::{Published, Reject, RejectReason};
use crate::source::{Sink, Source, broken};
use crate::sources::json::{elements, or_default, record};

/// A bundle of ATT&CK has some 25,000 objects.
pub(super) const MAX_OBJECTS: u64 = 1_000_000;
/// And 33 MB.
pub(super) const MAX_BUNDLE_BYTES: u64 = 1 << 30;

/// What objects say is told again with every object that they relate to, in all so many bytes; with ATT&CK it is 1 MB.
pub(super) const MAX_REPEATED_BYTES: usize = 256 << 20;
/// A name is repeated too, but with objects that are not much shorter.
pub(super) const MAX_NAME_BYTES: usize = 1000;

/// What of an object says whether it is wanted.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// What the objects that are read have in common; each type fills some of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Common {
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) description: String,
    pub(super) created: Option<String>,
    #[serde(deserialize_with = "or_default")]
    revoked: bool,
    #[serde(deserialize_with = "or_default")]
    x_mitre_deprecated: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) external_references: Vec<Reference>,
    #[serde(deserialize_with = "or_default")]
    pub(super) relationship_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) source_ref: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) target_ref: String,
}

/// What an object is called elsewhere.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    pub(super) source_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) external_id: String,
}

impl Common {
    /// Revoked, or deprecated as MITRE marks it.
    pub(super) fn is_retired(&self) -> bool {
        self.revoked || self.x_mitre_deprecated
    }

    /// The day on which it was written; a date that is none is told to `sink`.
    pub(super) fn created(&self, place: &str, sink: Sink<'_>) -> Option<Published> {
        let text = self.created.as_deref()?;
        let date = text.parse().ok();
        if date.is_none() {
            sink(Err(Reject { place: place.to_owned(), reason: RejectReason::BadDate }));
        }
        date
    }
}

/// Counts what is told more than once, so that a small bundle cannot become large.
#[derive(Debug, Default)]
pub(super) struct Repeated(usize);

impl Repeated {
    /// Whether `text` may be told once more.
    pub(super) fn allows(&mut self, text: &str) -> bool {
        self.0 = self.0.saturating_add(text.len());
        self.0 <= MAX_REPEATED_BYTES
    }

    /// An error where something was not allowed.
    pub(super) fn check(&self, source: &dyn Source, place: &str) -> Result<()> {
        if self.0 <= MAX_REPEATED_BYTES {
            return Ok(());
        }
        Err(broken(source, place, &format!("its relations repeat more than {MAX_REPEATED_BYTES} bytes")))
    }
}

/// What is done with an object: it gets the type, the text and the place. An error is why it is lost.
pub(super) type Each<'a> = &'a mut dyn FnMut(&str, &str, &str, Sink<'_>) -> Result<(), RejectReason>;

/// Calls `each` for every object of a bundle whose type is in `wanted`.
pub(super) fn objects(
    source: &dyn Source,
    reader: &mut dyn BufRead,
    place: &str,
    wanted: &[&str],
    each: Each<'_>,
    sink: Sink<'_>,
) -> Result<()> {
    let (mut number, mut bytes) = (0, 0);
    let mut read = |text: &str| {
        number += 1;
        bytes += text.len() as u64;
        if number > MAX_OBJECTS || bytes > MAX_BUNDLE_BYTES {
            return;
        }
        let place = format!("{place} object {number}");
        let found = record::<Kind>(text).and_then(|one| {
            if wanted.contains(&one.kind.as_str()) { each(&one.kind, text, &place, sink) } else { Ok(()) }
        });
        if let Err(reason) = found {
            sink(Err(Reject { place, reason }));
        }
    };
    let arrays = elements(reader, &["objects"], &mut read).map_err(|error| broken(source, place, &error))?;
    if arrays == 0 {
        return Err(broken(source, place, &"it has no array of objects"));
    }
    if number > MAX_OBJECTS || bytes > MAX_BUNDLE_BYTES {
        let limit = format!("it has more than {MAX_OBJECTS} objects or {MAX_BUNDLE_BYTES} bytes");
        return Err(broken(source, place, &limit));
    }
    Ok(())
}
