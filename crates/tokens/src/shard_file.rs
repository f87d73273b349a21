//! A [`Shard`] on disk: little-endian, one header, checked before anything is believed.
//!
//! ```text
//! magic 8 | version u32 | kind u32 (0 tokens, 1 classes) | sha256 of the renderer 32 | sha256 of the dataset 32
//! documents u64 | tokens u64 | truncated u64 | sha256 of the body 32
//! body: length u32 per document | id u32 per token | mask: one bit per token, or class u32 per document
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::{make_folder, write_renamed};
use crate::render::Renderer;
use crate::shard::{Shard, Supervision};

const MAGIC: &[u8; 8] = b"WARDTOKS";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 4 + 32 + 32 + 8 + 8 + 8 + 32;

/// What a shard was made from. Another key means another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardKey {
    renderer: [u8; 32],
    dataset: [u8; 32],
}

impl ShardKey {
    /// `dataset` is the SHA-256 of what is rendered; `part` names the split and the kind of rendering.
    #[must_use]
    pub fn new(renderer: &Renderer, dataset: [u8; 32], part: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(dataset);
        hash.update(part.as_bytes());
        Self { renderer: renderer.sha256(), dataset: hash.finalize().into() }
    }
}

/// Where a shard came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Read from disk.
    Cached,
    /// Made, for there was none.
    Made,
    /// Made again, because the one on disk was of no use; why.
    Remade(String),
}

impl Shard {
    /// Reads the shard at `path` if it was made from `key`; otherwise makes it and writes it there.
    ///
    /// # Errors
    /// What `make` says, or the file cannot be read or written.
    pub fn open_or_make<E: From<Error>>(
        path: &Path,
        key: ShardKey,
        make: impl FnOnce() -> Result<Self, E>,
    ) -> Result<(Self, Origin), E> {
        let origin = if path.exists() {
            match Self::open(path, key) {
                Ok(shard) => return Ok((shard, Origin::Cached)),
                Err(Error::Shard { reason, .. }) => Origin::Remade(reason),
                Err(other) => return Err(other.into()),
            }
        } else {
            Origin::Made
        };
        let shard = make()?;
        shard.save(path, key)?;
        Ok((shard, origin))
    }

    /// Reads a shard and checks it wholly.
    ///
    /// # Errors
    /// The file is damaged, of another version, or was made from something else than `key`.
    pub fn open(path: &Path, key: ShardKey) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let file_bytes = file.metadata().map_err(Error::io("read", path))?.len();
        let refuse = |reason: String| Error::Shard { path: path.to_path_buf(), reason };
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|error| refuse(format!("its header cannot be read: {error}")))?;
        let header = Header::parse(&header, key).map_err(&refuse)?;
        let body_bytes = header.body_bytes().ok_or_else(|| refuse("its header states impossible counts".to_owned()))?;
        // Nothing is allocated by a header's word alone: the file must really be that long.
        if file_bytes != (HEADER_BYTES as u64).saturating_add(body_bytes) {
            return Err(refuse(format!("it has {file_bytes} bytes, its header states otherwise")));
        }
        let mut body = Vec::new();
        file.take(body_bytes).read_to_end(&mut body).map_err(Error::io("read", path))?;
        if body.len() as u64 != body_bytes || Sha256::digest(&body)[..] != header.body_sha256 {
            return Err(refuse("its checksum does not match".to_owned()));
        }
        header.decode(&body).map_err(refuse)
    }

    /// Writes the shard to a sibling file, then renames it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, key: ShardKey) -> Result<()> {
        if let Some(dir) = path.parent() {
            make_folder(dir)?;
        }
        let body = self.body();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend(u32::from(matches!(self.supervision, Supervision::Classes(_))).to_le_bytes());
        header.extend(key.renderer);
        header.extend(key.dataset);
        for count in [self.len() as u64, self.tokens() as u64, self.truncated] {
            header.extend(count.to_le_bytes());
        }
        header.extend(Sha256::digest(&body));
        write_renamed(path, |out| {
            out.write_all(&header)?;
            out.write_all(&body)
        })
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 * (self.len() + self.tokens()) + self.tokens() / 8 + 1);
        let lengths = self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as u32);
        let numbers = lengths.chain(self.ids.iter().copied());
        body.extend(numbers.flat_map(u32::to_le_bytes));
        match &self.supervision {
            Supervision::Tokens(mask) => body.extend(mask.chunks(8).map(byte_of)),
            Supervision::Classes(classes) => body.extend(classes.iter().flat_map(|class| class.to_le_bytes())),
        }
        body
    }
}

fn byte_of(bits: &[bool]) -> u8 {
    bits.iter().enumerate().fold(0, |byte, (at, &bit)| byte | u8::from(bit) << at)
}

struct Header {
    classes: bool,
    documents: u64,
    tokens: u64,
    truncated: u64,
    body_sha256: [u8; 32],
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES], key: ShardKey) -> Result<Self, String> {
        let mut rest = bytes.as_slice();
        let mut take = |len: usize| rest.split_off(..len).expect("the header's parts add up to its length");
        if take(8) != MAGIC {
            return Err("it is no token shard".to_owned());
        }
        let version = u32_of(take(4));
        if version != VERSION {
            return Err(format!("it has format version {version}, this program writes {VERSION}"));
        }
        let kind = u32_of(take(4));
        if kind > 1 {
            return Err(format!("it holds documents of the unknown kind {kind}"));
        }
        if take(32) != key.renderer {
            return Err("it was made with another tokenizer, template or limit".to_owned());
        }
        if take(32) != key.dataset {
            return Err("it was made from another dataset".to_owned());
        }
        Ok(Self {
            classes: kind == 1,
            documents: u64_of(take(8)),
            tokens: u64_of(take(8)),
            truncated: u64_of(take(8)),
            body_sha256: take(32).try_into().expect("32 bytes"),
        })
    }

    /// The body's length; `None` if the counts cannot be (every document has a token).
    fn body_bytes(&self) -> Option<u64> {
        if self.documents > self.tokens || self.truncated > self.documents {
            return None;
        }
        let supervision = if self.classes { self.documents.checked_mul(4)? } else { self.tokens.div_ceil(8) };
        self.documents.checked_add(self.tokens)?.checked_mul(4)?.checked_add(supervision)
    }

    /// `body` has the length of [`Self::body_bytes`].
    fn decode(&self, body: &[u8]) -> Result<Shard, String> {
        let (documents, tokens) = (self.documents as usize, self.tokens as usize);
        let (lengths, rest) = body.split_at(4 * documents);
        let (ids, supervision) = rest.split_at(4 * tokens);
        let mut starts = Vec::with_capacity(documents + 1);
        let mut end = 0_usize;
        starts.push(end);
        for length in lengths.chunks_exact(4).map(u32_of) {
            end = end.saturating_add(length as usize);
            starts.push(end);
            if length == 0 || end > tokens {
                return Err("the lengths of its documents do not add up".to_owned());
            }
        }
        if end != tokens {
            return Err("the lengths of its documents do not add up".to_owned());
        }
        let supervision = if self.classes {
            Supervision::Classes(supervision.chunks_exact(4).map(u32_of).collect())
        } else {
            Supervision::Tokens((0..tokens).map(|at| supervision[at / 8] >> (at % 8) & 1 == 1).collect())
        };
        Ok(Shard { ids: ids.chunks_exact(4).map(u32_of).collect(), starts, supervision, truncated: self.truncated })
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::tests::small;
    use crate::testing::renderer;
    use proptest::prelude::*;

    fn key() -> ShardKey {
        ShardKey::new(&renderer(64), [7; 32], "train")
    }

    fn written() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        small(5).save(&path, key()).unwrap();
        std::fs::read(path).unwrap()
    }

    fn reason(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        std::fs::write(&path, bytes).unwrap();
        Shard::open(&path, key()).unwrap_err().to_string()
    }

    #[test]
    fn a_shard_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/shard");
        let classes = Shard::render_classes(&renderer(64), [("A path with dots.", 9)], &|_| ()).unwrap();
        for shard in [small(5), classes] {
            shard.save(&path, key()).unwrap();
            assert_eq!(Shard::open(&path, key()).unwrap(), shard);
        }
    }

    #[test]
    fn a_shard_is_made_once_and_again_when_its_key_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        let open = |key| Shard::open_or_make(&path, key, || Ok::<_, Error>(small(3))).unwrap().1;
        assert_eq!(open(key()), Origin::Made);
        assert_eq!(open(key()), Origin::Cached);
        let other = ShardKey::new(&renderer(64), [8; 32], "train");
        assert!(matches!(open(other), Origin::Remade(why) if why.contains("another dataset")));
        let other = ShardKey::new(&renderer(63), [8; 32], "train");
        assert!(matches!(open(other), Origin::Remade(why) if why.contains("another tokenizer")));
    }

    #[test]
    fn damage_is_found() {
        let good = written();
        assert!(reason(&good[..HEADER_BYTES - 1]).contains("header"));
        assert!(reason(&good[..good.len() - 1]).contains("bytes"));
        assert!(reason(b"not a shard at all").contains("header"));
        let changed = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            reason(&bad)
        };
        assert!(changed(0, b'X').contains("no token shard"));
        assert!(changed(8, 9).contains("format version 9"));
        assert!(changed(12, 2).contains("unknown kind"));
        assert!(changed(good.len() - 1, 0xA5).contains("checksum"));
    }

    #[test]
    fn a_header_with_hostile_counts_allocates_nothing() {
        let mut bad = written();
        bad[80..96].fill(0xFF);
        assert!(reason(&bad).contains("impossible counts"));
        bad[80..88].fill(0);
        bad[88..96].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        bad[96..104].fill(0);
        assert!(reason(&bad).contains("states otherwise"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200), documents in 0_u64..9, tokens in 0_u64..60, kind in 0_u8..2) {
            let mut bytes = written()[..HEADER_BYTES].to_vec();
            bytes[12] = kind;
            bytes[80..88].copy_from_slice(&documents.to_le_bytes());
            bytes[88..96].copy_from_slice(&tokens.to_le_bytes());
            bytes[96..104].fill(0);
            bytes[104..136].copy_from_slice(&Sha256::digest(&body));
            bytes.extend(body);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("shard");
            std::fs::write(&path, bytes).unwrap();
            let _ = Shard::open(&path, key());
        }
    }
}
