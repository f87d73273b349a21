//! The objects of a file, found by scanning it once from the beginning to the end.
//!
//! The cross-reference table is not read: what is written later replaces what is written earlier, which is what an
//! incremental update means (ISO 32000-1 §7.5.6), and damaged files need no repair. Objects are parsed again each time
//! they are asked for, so memory holds only what a page needs.

use std::collections::BTreeMap;

use lopdf::encryption::decrypt_object;
use lopdf::{DecompressError, Dictionary, Document, EncryptionState, Object, Stream};

use super::name;
use super::object::{Lexer, References, is_regular, is_space, run};
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::{Limits, Work};

/// What an object costs beside its bytes.
const OBJECT_WORK: usize = 64;
/// How many references are followed from one to the next.
const MAX_CHAIN: usize = 16;
/// How many times the limit of one stream all object streams together may have.
const CONTAINERS: usize = 4;

/// A PDF in memory.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    work: &'a Work,
    places: BTreeMap<u32, Place>,
    /// Object streams, decoded.
    containers: Vec<Vec<u8>>,
    trailer: Dictionary,
    /// The last catalog seen, for trailers that name none.
    last_catalog: Option<u32>,
    /// Pages in the order of the file, for files without a page tree.
    loose_pages: Vec<u32>,
    encryption: Option<Encryption>,
}

/// Where the value of an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the file.
    At { offset: usize, generation: u16 },
    /// In a container.
    In { container: usize, offset: usize },
}

struct Encryption {
    state: EncryptionState,
    /// The dictionary that describes the encryption, itself not encrypted.
    described_in: Option<u32>,
}

/// An object that the scan found.
#[derive(Debug, Clone, Copy)]
struct Found {
    id: u32,
    generation: u16,
    offset: usize,
    is_container: bool,
}

impl<'a> File<'a> {
    /// Finds all objects.
    ///
    /// # Errors
    /// Where there are too many of them, or a password is needed.
    pub(super) fn open(bytes: &'a [u8], limits: &'a Limits, work: &'a Work) -> Result<Self> {
        let mut file = Self {
            bytes,
            limits,
            work,
            places: BTreeMap::new(),
            containers: Vec::new(),
            trailer: Dictionary::new(),
            last_catalog: None,
            loose_pages: Vec::new(),
            encryption: None,
        };
        let found = file.scan()?;
        for object in &found {
            file.places.insert(object.id, Place::At { offset: object.offset, generation: object.generation });
        }
        file.encryption = file.encryption()?;
        file.places.clear();
        let mut members = 0;
        for object in &found {
            file.places.insert(object.id, Place::At { offset: object.offset, generation: object.generation });
            if object.is_container {
                file.open_container(*object, &mut members)?;
            }
        }
        Ok(file)
    }

    /// Walks over the file once; the trailers are merged on the way.
    fn scan(&mut self) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        let mut at = 0;
        while at < self.bytes.len() {
            let step = run(&self.bytes[at..], |byte| !matches!(byte, b'o' | b't'));
            self.work.spend(step)?;
            at += step;
            let rest = &self.bytes[at..];
            if rest.starts_with(b"trailer") {
                let (object, end) = self.parse(at + "trailer".len())?;
                if let Some(Object::Dictionary(dictionary)) = object {
                    self.merge_trailer(&dictionary);
                }
                at = self.after(at + "trailer".len(), end);
            } else if rest.starts_with(b"obj")
                && let Some((id, generation)) = number_before(&self.bytes[..at])
            {
                let offset = at + "obj".len();
                let (object, end) = self.parse(offset)?;
                let end = self.after(offset, end);
                let (is_container, end) = match &object {
                    Some(Object::Dictionary(dictionary)) => self.look_at(id, dictionary, end)?,
                    _ => (false, end),
                };
                found.push(Found { id, generation, offset, is_container });
                if found.len() > self.limits.pdf_objects {
                    return Err(self.too_many_objects());
                }
                at = end;
            } else {
                at += 1;
            }
        }
        Ok(found)
    }

    fn too_many_objects(&self) -> Error {
        Error::TooLarge { what: "the document", limit: self.limits.pdf_objects as u64, unit: "objects" }
    }

    /// Where the scan goes on: a string that never ends must not hide all objects after it.
    fn after(&self, begin: usize, end: usize) -> usize {
        if end >= self.bytes.len() { begin } else { end }
    }

    /// Notes what the dictionary of an object says of the file; whether it is a container, and where its stream ends.
    fn look_at(&mut self, id: u32, dictionary: &Dictionary, end: usize) -> Result<(bool, usize)> {
        let kind = name(dictionary, b"Type").unwrap_or_default();
        match kind {
            b"Catalog" => self.last_catalog = Some(id),
            b"Page" if self.loose_pages.len() < self.limits.pdf_pages => self.loose_pages.push(id),
            b"XRef" => self.merge_trailer(dictionary),
            _ => {}
        }
        let length = dictionary.get(b"Length").ok().and_then(|length| length.as_i64().ok());
        let end = match self.stream_range(end, length)? {
            Some((_, end)) => end,
            None => end,
        };
        Ok((kind == b"ObjStm", end))
    }

    fn merge_trailer(&mut self, dictionary: &Dictionary) {
        for key in [&b"Root"[..], b"Info", b"Encrypt", b"ID"] {
            if let Ok(value) = dictionary.get(key) {
                self.trailer.set(key, value.clone());
            }
        }
    }

    /// Parses the value at `offset`; also where it ends.
    fn parse(&self, offset: usize) -> Result<(Option<Object>, usize)> {
        let mut lexer = Lexer::new(self.bytes, offset, References::Read);
        let object = lexer.object();
        self.work.spend(lexer.at - offset.min(lexer.at) + OBJECT_WORK)?;
        Ok((object, lexer.at))
    }

    /// Where the data of a stream begin and end, if `at` stands before the word `stream`.
    fn stream_range(&self, at: usize, length: Option<i64>) -> Result<Option<(usize, usize)>> {
        let mut lexer = Lexer::new(self.bytes, at, References::None);
        lexer.skip_space();
        let rest = &self.bytes[lexer.at..];
        let Some(data) = rest.strip_prefix(b"stream") else {
            return Ok(None);
        };
        let data = data.strip_prefix(b"\r\n").or(data.strip_prefix(b"\n")).or(data.strip_prefix(b"\r")).unwrap_or(data);
        let begin = self.bytes.len() - data.len();
        // The stated length is believed where the stream ends there.
        let stated = length.and_then(|length| usize::try_from(length).ok()).filter(|length| {
            data.get(*length..).is_some_and(|after| after[run(after, is_space)..].starts_with(b"endstream"))
        });
        if let Some(length) = stated {
            return Ok(Some((begin, begin + length)));
        }
        let length = find(data, b"endstream").unwrap_or(data.len());
        self.work.spend(length)?;
        Ok(Some((begin, begin + length)))
    }

    /// The trailer's entries, later ones before earlier ones.
    pub(super) fn trailer(&self) -> &Dictionary {
        &self.trailer
    }

    /// Pages in the order of the file.
    pub(super) fn loose_pages(&self) -> &[u32] {
        &self.loose_pages
    }

    /// The dictionary from which the pages are found.
    pub(super) fn catalog(&self) -> Result<Option<Dictionary>> {
        if let Some(Object::Dictionary(catalog)) = self.entry(&self.trailer, b"Root")? {
            return Ok(Some(catalog));
        }
        match self.last_catalog.map(|id| self.get(id)).transpose()?.flatten() {
            Some(Object::Dictionary(catalog)) => Ok(Some(catalog)),
            _ => Ok(None),
        }
    }

    /// Takes this many units of work.
    pub(super) fn spend(&self, units: usize) -> Result<()> {
        self.work.spend(units)
    }

    /// The value under a key, references followed.
    pub(super) fn entry(&self, dictionary: &Dictionary, key: &[u8]) -> Result<Option<Object>> {
        match dictionary.get(key) {
            Ok(object) => self.resolve(object),
            Err(_) => Ok(None),
        }
    }

    /// The value that an object is or refers to; a stream gives its dictionary.
    pub(super) fn resolve(&self, object: &Object) -> Result<Option<Object>> {
        let Object::Reference((id, _)) = object else {
            return Ok(Some(object.clone()));
        };
        self.get(*id)
    }

    /// The value of an object, references followed; a stream gives its dictionary.
    pub(super) fn get(&self, id: u32) -> Result<Option<Object>> {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            match self.get_once(id)? {
                Some(Object::Reference((next, _))) => id = next,
                object => return Ok(object),
            }
        }
        Ok(None)
    }

    fn get_once(&self, id: u32) -> Result<Option<Object>> {
        match self.places.get(&id) {
            None => Ok(None),
            Some(Place::In { container, offset }) => {
                let mut lexer = Lexer::new(&self.containers[*container], *offset, References::Read);
                let object = lexer.object();
                self.work.spend(lexer.at.saturating_sub(*offset) + OBJECT_WORK)?;
                Ok(object)
            }
            Some(Place::At { offset, generation }) => {
                let (mut object, _) = self.parse(*offset)?;
                if let Some(object) = &mut object {
                    self.decrypt(id, *generation, object);
                }
                Ok(object)
            }
        }
    }

    /// The decoded data of a stream; `None` where it is none, or is encoded like a picture.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where it decodes to more than the limit.
    pub(super) fn stream(&self, id: u32) -> Result<Option<Vec<u8>>> {
        let Some(Place::At { offset, generation }) = self.places.get(&id).copied() else {
            return Ok(None);
        };
        let (Some(Object::Dictionary(mut dictionary)), end) = self.parse(offset)? else {
            return Ok(None);
        };
        let length = self.entry(&dictionary, b"Length")?.and_then(|length| length.as_i64().ok());
        let Some((begin, end)) = self.stream_range(end, length)? else {
            return Ok(None);
        };
        self.work.spend(end - begin)?;
        for key in [&b"Filter"[..], b"DecodeParms"] {
            if let Some(value) = self.entry(&dictionary, key)? {
                dictionary.set(key, self.resolve_elements(value)?);
            }
        }
        let mut stream = Object::Stream(Stream::new(dictionary, self.bytes[begin..end].to_vec()));
        self.decrypt(id, generation, &mut stream);
        match stream {
            Object::Stream(stream) => self.decode(&stream),
            _ => Ok(None),
        }
    }

    fn resolve_elements(&self, object: Object) -> Result<Object> {
        let Object::Array(array) = object else {
            return Ok(object);
        };
        let resolved: Result<Vec<Object>> =
            array.iter().take(MAX_CHAIN).map(|element| Ok(self.resolve(element)?.unwrap_or(Object::Null))).collect();
        Ok(Object::Array(resolved?))
    }

    fn decode(&self, stream: &Stream) -> Result<Option<Vec<u8>>> {
        let limit = self.limits.pdf_stream_bytes;
        match stream.get_plain_content_with_limit(limit) {
            Ok(content) => {
                self.work.spend(content.len())?;
                Ok(Some(content))
            }
            Err(lopdf::Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => {
                Err(Error::too_many_bytes("a stream", limit))
            }
            Err(_) => Ok(None),
        }
    }

    /// Notes where the members of an object stream stand, ISO 32000-1 §7.5.7.
    fn open_container(&mut self, found: Found, members: &mut usize) -> Result<()> {
        let (Some(Object::Dictionary(dictionary)), Some(content)) = (self.get(found.id)?, self.stream(found.id)?)
        else {
            return Ok(());
        };
        let whole = |key: &[u8]| dictionary.get(key).ok().and_then(|value| value.as_i64().ok());
        let first = whole(b"First").and_then(|first| usize::try_from(first).ok()).unwrap_or(usize::MAX);
        let held: usize = self.containers.iter().map(Vec::len).sum();
        let limit = self.limits.pdf_stream_bytes.saturating_mul(CONTAINERS);
        if held + content.len() > limit {
            return Err(Error::too_many_bytes("all object streams", limit));
        }
        let container = self.containers.len();
        let mut lexer = Lexer::new(&content, 0, References::None);
        while lexer.at < first {
            let (Some(Object::Integer(id)), Some(Object::Integer(offset))) = (lexer.object(), lexer.object()) else {
                break;
            };
            let offset = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(first));
            if let (Ok(id), Some(offset)) = (u32::try_from(id), offset.filter(|offset| *offset < content.len())) {
                self.places.insert(id, Place::In { container, offset });
            }
            *members += 1;
            if *members > self.limits.pdf_objects {
                return Err(self.too_many_objects());
            }
        }
        self.containers.push(content);
        Ok(())
    }

    /// How the file is encrypted, opened with the empty password.
    fn encryption(&self) -> Result<Option<Encryption>> {
        let described_in = match self.trailer.get(b"Encrypt") {
            Ok(Object::Reference((id, _))) => Some(*id),
            Ok(Object::Dictionary(_)) => None,
            _ => return Ok(None),
        };
        let Some(Object::Dictionary(dictionary)) = self.entry(&self.trailer, b"Encrypt")? else {
            return Ok(None);
        };
        let mut document = Document::new();
        document.trailer = self.trailer.clone();
        if let Some(id) = self.entry(&self.trailer, b"ID")? {
            document.trailer.set("ID", id);
        }
        document.objects.insert((1, 0), Object::Dictionary(dictionary));
        document.trailer.set("Encrypt", Object::Reference((1, 0)));
        let encrypted = |error: lopdf::Error| Error::Encrypted { kind: Kind::Pdf, detail: error.to_string() };
        document.authenticate_raw_password(b"").map_err(encrypted)?;
        let state = EncryptionState::decode(&document, b"").map_err(encrypted)?;
        Ok(Some(Encryption { state, described_in }))
    }

    /// Decrypts an object in place; one that cannot be decrypted stays as it is.
    fn decrypt(&self, id: u32, generation: u16, object: &mut Object) {
        if let Some(encryption) = &self.encryption
            && encryption.described_in != Some(id)
        {
            let _ = decrypt_object(&encryption.state, (id, generation), object);
        }
    }
}

/// Where `part` stands first.
pub(super) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let first = part.first().copied()?;
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(part) {
            return Some(at);
        }
        at += 1;
    }
}

/// The numbers before `obj`: `12 0 ` at the end of `bytes`.
fn number_before(bytes: &[u8]) -> Option<(u32, u16)> {
    let (bytes, generation) = digits_before(trim_space(bytes), 5)?;
    let trimmed = trim_space(bytes);
    if trimmed.len() == bytes.len() {
        return None;
    }
    let (before, id) = digits_before(trimmed, 10)?;
    if before.last().is_some_and(|byte| is_regular(*byte)) {
        return None;
    }
    Some((id.parse().ok()?, generation.parse().ok()?))
}

/// Up to `most` digits at the end, and what stands before them.
fn digits_before(bytes: &[u8], most: usize) -> Option<(&[u8], &str)> {
    let count = bytes.iter().rev().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = bytes.split_at(bytes.len() - count);
    (count > 0).then(|| Some((before, std::str::from_utf8(digits).ok()?))).flatten()
}

/// `bytes` without white space at the end; more of it than a file ever has is left.
fn trim_space(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().rev().take(64).take_while(|byte| is_space(**byte)).count();
    &bytes[..bytes.len() - count]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_before_an_object_are_found() {
        assert_eq!(number_before(b"endobj\n12 0 "), Some((12, 0)));
        assert_eq!(number_before(b"1\n7"), Some((1, 7)));
        for wrong in [&b"end"[..], b"", b"0 ", b"a1 0 ", b"x 0 ", b"1 99999 ", b"99999999999 0 "] {
            assert_eq!(number_before(wrong), None, "{:?}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn later_objects_replace_earlier_ones() {
        let bytes = b"1 0 obj 5 endobj 1 0 obj 6 endobj 2 0 obj 1 0 R endobj 3 0 obj 3 0 R endobj 4 0 obj (x 7 0 obj 8";
        let (limits, work) = (Limits::default(), Work::new(10_000));
        let file = File::open(bytes, &limits, &work).unwrap();
        assert_eq!(file.get(1).unwrap(), Some(Object::Integer(6)));
        assert_eq!(file.get(2).unwrap(), Some(Object::Integer(6)));
        assert_eq!(file.get(3).unwrap(), None);
        assert_eq!(file.get(7).unwrap(), Some(Object::Integer(8)));
        assert_eq!(file.get(9).unwrap(), None);
    }
}
