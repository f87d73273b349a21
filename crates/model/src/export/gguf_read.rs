//! Reads GGUF files as `gguf.rs` writes them: what an export is held against the model by.
//!
//! Nothing that a header says is believed: counts, lengths and places are held against the file's length before anything is
//! kept of them. Kinds of values and of tensors that are never written are refused by their number.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::gguf::{ALIGNMENT, Encoding, MAGIC, VERSION, Value};
use crate::error::{Error, Result};
use crate::ops::quant::BLOCK;

/// Most tensors, and most entries of metadata.
const MAX_ENTRIES: u64 = 1 << 16;
/// Longest key or name.
const MAX_NAME_BYTES: u64 = 1 << 10;
/// Longest text: a chat template.
const MAX_TEXT_BYTES: u64 = 1 << 22;
/// Most elements of an array: tokens.
const MAX_ELEMENTS: u64 = 1 << 24;
/// Largest head: metadata and tensor table.
const MAX_HEAD_BYTES: u64 = 1 << 29;

/// Where one tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The slowest dimension first.
    shape: Vec<usize>,
    encoding: Encoding,
    /// From the beginning of the file.
    start: u64,
}

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: File,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, Place>,
}

impl Gguf {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// The file cannot be read, or its head is not what GGUF says or holds what Wardsmith never writes.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io("read", path, e);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let left = length.min(MAX_HEAD_BYTES);
        let mut head = Head { path, reader: BufReader::new(&file), read: 0, left };
        if head.bytes::<4>()? != *MAGIC {
            return Err(head.bad("it does not begin with `GGUF`"));
        }
        let version = head.u32()?;
        if version != VERSION {
            return Err(head.bad(format!("it has version {version}; {VERSION} is read")));
        }
        let (tensors, entries) = (head.count(MAX_ENTRIES)?, head.count(MAX_ENTRIES)?);
        let mut metadata = HashMap::new();
        for _ in 0..entries {
            let key = head.text(MAX_NAME_BYTES)?;
            let value = head.value()?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(head.bad(format!("the key `{key}` stands twice")));
            }
        }
        let mut table = HashMap::new();
        for _ in 0..tensors {
            let (name, place) = head.tensor()?;
            if table.insert(name.clone(), place).is_some() {
                return Err(head.bad(format!("the tensor `{name}` stands twice")));
            }
        }
        let data = head.read.next_multiple_of(ALIGNMENT as u64);
        for (name, place) in &mut table {
            let start = data.checked_add(place.start);
            let end = start.and_then(|start| start.checked_add(place.bytes()));
            match start.filter(|_| end.is_some_and(|end| end <= length)) {
                Some(start) => place.start = start,
                None => return Err(bad(path, format!("the tensor `{name}` reaches beyond the end"))),
            }
        }
        Ok(Self { path: path.to_path_buf(), file, metadata, tensors: table })
    }

    /// A value of the metadata.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The values of a tensor of exactly this shape, row-major, the slowest dimension first.
    ///
    /// # Errors
    /// It is not there, has another shape, or cannot be read.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let place = self.tensors.get(name).ok_or_else(missing)?.clone();
        if place.shape != shape {
            return Err(Error::Shape { tensor: name.to_owned(), found: place.shape, expected: shape.to_vec() });
        }
        let io = |e| Error::io("read", &self.path, e);
        self.file.seek(SeekFrom::Start(place.start)).map_err(io)?;
        // The file is known to be so long.
        let mut bytes = vec![0; place.bytes() as usize];
        self.file.read_exact(&mut bytes).map_err(io)?;
        Ok(place.encoding.decode(&bytes))
    }
}

impl Place {
    fn bytes(&self) -> u64 {
        self.encoding.bytes(self.shape.iter().product()) as u64
    }
}

fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::Gguf { path: path.to_path_buf(), reason: reason.into() }
}

/// The head of a file while it is read.
struct Head<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    /// Bytes read so far.
    read: u64,
    /// Bytes that may still be read.
    left: u64,
}

impl Head<'_> {
    fn bad(&self, reason: impl Into<String>) -> Error {
        bad(self.path, reason)
    }

    /// Counts bytes that are about to be read.
    fn take(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| self.bad("its head ends too early or is too long"))?;
        self.read += bytes;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N as u64)?;
        let mut out = [0; N];
        self.reader.read_exact(&mut out).map_err(|e| Error::io("read", self.path, e))?;
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn count(&mut self, most: u64) -> Result<u64> {
        let n = u64::from_le_bytes(self.bytes()?);
        if n > most {
            return Err(self.bad(format!("it says {n} where at most {most} are read")));
        }
        Ok(n)
    }

    fn text(&mut self, most: u64) -> Result<String> {
        let n = self.count(most)?;
        self.take(n)?;
        let mut out = vec![0; n as usize];
        self.reader.read_exact(&mut out).map_err(|e| Error::io("read", self.path, e))?;
        String::from_utf8(out).map_err(|_| self.bad("a text in it is not UTF-8"))
    }

    fn flag(&mut self) -> Result<bool> {
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.bad(format!("a flag is {other}"))),
        }
    }

    fn value(&mut self) -> Result<Value> {
        match self.u32()? {
            4 => Ok(Value::U32(self.u32()?)),
            6 => Ok(Value::F32(f32::from_le_bytes(self.bytes()?))),
            7 => Ok(Value::Bool(self.flag()?)),
            8 => Ok(Value::Text(self.text(MAX_TEXT_BYTES)?)),
            9 => self.array(),
            kind => Err(self.bad(format!("a value of kind {kind} is not read"))),
        }
    }

    /// Elements are kept as they come: what is kept was in the file.
    fn array(&mut self) -> Result<Value> {
        let kind = self.u32()?;
        let n = 0..self.count(MAX_ELEMENTS)?;
        match kind {
            5 => Ok(Value::Ints(n.map(|_| Ok(i32::from_le_bytes(self.bytes()?))).collect::<Result<_>>()?)),
            6 => Ok(Value::Floats(n.map(|_| Ok(f32::from_le_bytes(self.bytes()?))).collect::<Result<_>>()?)),
            7 => Ok(Value::Bools(n.map(|_| self.flag()).collect::<Result<_>>()?)),
            8 => Ok(Value::Texts(n.map(|_| self.text(MAX_TEXT_BYTES)).collect::<Result<_>>()?)),
            kind => Err(self.bad(format!("an array of kind {kind} is not read"))),
        }
    }

    fn tensor(&mut self) -> Result<(String, Place)> {
        let name = self.text(MAX_NAME_BYTES)?;
        let dimensions = self.u32()?;
        if !(1..=2).contains(&dimensions) {
            return Err(self.bad(format!("the tensor `{name}` has {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let n = u64::from_le_bytes(self.bytes()?);
            shape.insert(0, usize::try_from(n).map_err(|_| self.bad(format!("`{name}` is too large")))?);
        }
        let kind = self.u32()?;
        let encoding = Encoding::ALL.into_iter().find(|e| e.tensor_type() == kind);
        let encoding = encoding.ok_or_else(|| self.bad(format!("the tensor `{name}` is of kind {kind}")))?;
        let start = u64::from_le_bytes(self.bytes()?);
        let all = shape.iter().try_fold(1_usize, |all, n| all.checked_mul(*n)).filter(|n| *n <= usize::MAX / 8);
        let whole = !matches!(encoding, Encoding::Q8_0 | Encoding::Q4_0)
            || shape.last().is_some_and(|columns| columns.is_multiple_of(BLOCK));
        if all.is_none() || !whole || !start.is_multiple_of(ALIGNMENT as u64) {
            return Err(self.bad(format!("the tensor `{name}` has an impossible shape or place")));
        }
        Ok((name, Place { shape, encoding, start }))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::gguf::{Entry, write_file};
    use super::*;

    /// A file with two tensors and every kind of value.
    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("x.gguf");
        let metadata = vec![
            ("a".to_owned(), Value::U32(7)),
            ("b".to_owned(), Value::F32(0.5)),
            ("c".to_owned(), Value::Bool(true)),
            ("d".to_owned(), Value::Text("x".into())),
            ("e".to_owned(), Value::Texts(vec!["p".into(), "q".into()])),
            ("f".to_owned(), Value::Floats(vec![1.0, 2.0])),
            ("g".to_owned(), Value::Ints(vec![-1, 3])),
            ("h".to_owned(), Value::Bools(vec![true, false])),
        ];
        let entry = |name: &str, shape: Vec<usize>, encoding| {
            let columns = shape.get(1).copied().unwrap_or(1);
            let row = move |i: usize| Cow::Owned((0..columns).map(|j| (i * columns + j) as f32).collect::<Vec<f32>>());
            Entry { name: name.into(), shape, encoding, row: Box::new(row) }
        };
        let entries = [entry("m", vec![2, 32], Encoding::F32), entry("v", vec![3], Encoding::F32)];
        write_file(&path, &metadata, &entries).unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = Gguf::open(&written(folder.path())).unwrap();
        assert_eq!(file.value("e"), Some(&Value::Texts(vec!["p".into(), "q".into()])));
        assert_eq!(file.value("h"), Some(&Value::Bools(vec![true, false])));
        assert_eq!(file.values("v", &[3]).unwrap(), [0.0, 1.0, 2.0]);
        assert_eq!(file.values("m", &[2, 32]).unwrap()[63], 63.0);
        assert!(file.values("m", &[32, 2]).unwrap_err().to_string().contains("has shape [2, 32]"));
        assert!(file.values("w", &[1]).unwrap_err().to_string().contains("lacks the tensor `w`"));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        // The last tensor ends before the padding does.
        for end in 0..bytes.len() - 20 {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(Gguf::open(&path).is_err(), "{end} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic_or_take_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() - 2 * 32 * 4 - 32 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                std::fs::write(&path, &changed).unwrap();
                if let Ok(mut file) = Gguf::open(&path) {
                    let _ = file.values("m", &[2, 32]);
                }
            }
        }
    }

    #[test]
    fn hostile_counts_are_refused_before_anything_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        let head = |tensors: u64, entries: u64, rest: &[u8]| {
            let mut bytes = b"GGUF".to_vec();
            bytes.extend(VERSION.to_le_bytes());
            bytes.extend(tensors.to_le_bytes());
            bytes.extend(entries.to_le_bytes());
            bytes.extend(rest);
            std::fs::write(&path, bytes).unwrap();
            Gguf::open(&path).unwrap_err().to_string()
        };
        assert!(head(u64::MAX, 0, &[]).contains("at most 65536"));
        assert!(head(0, 1, &u64::MAX.to_le_bytes()).contains("at most 1024"));
        // A key, then an array of 2²⁴ flags that are not there.
        let array =
            [&1_u64.to_le_bytes()[..], b"k", &9_u32.to_le_bytes(), &7_u32.to_le_bytes(), &(1_u64 << 24).to_le_bytes()];
        assert!(head(0, 1, &array.concat()).contains("ends too early"));
        // A matrix whose values no memory holds.
        let huge = (1_u64 << 40).to_le_bytes();
        let tensor =
            [&1_u64.to_le_bytes()[..], b"t", &2_u32.to_le_bytes(), &huge, &huge, &0_u32.to_le_bytes(), &[0; 8]];
        assert!(head(1, 0, &tensor.concat()).contains("impossible shape"));
        // One that is longer than the file.
        let large = (1_u64 << 20).to_le_bytes();
        let tensor = [&1_u64.to_le_bytes()[..], b"t", &1_u32.to_le_bytes(), &large, &0_u32.to_le_bytes(), &[0; 8]];
        assert!(head(1, 0, &tensor.concat()).contains("beyond the end"));
    }
}
