//! Reading small files with a cap, and writing so that a reader never sees half a file.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Reads a whole file of at most `limit_bytes`.
pub(crate) fn read_capped(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::TooLarge { path: path.to_path_buf(), limit_bytes });
    }
    Ok(bytes)
}

/// [`read_capped`], but a file that is not there is `None`.
pub(crate) fn read_if_present(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    match read_capped(path, limit_bytes) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes to a sibling file, flushes it to the disk, then renames it over `path`.
pub(crate) fn write_renamed(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let sibling = sibling_of(path);
    let outcome = File::create(&sibling).and_then(|file| {
        let mut buffered = std::io::BufWriter::with_capacity(1 << 20, file);
        write(&mut buffered)?;
        buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    });
    let outcome = outcome
        .map_err(Error::io("write", path))
        .and_then(|()| std::fs::rename(&sibling, path).map_err(Error::io("rename", path)));
    if outcome.is_err() {
        // The first error is what the caller must hear; a leftover sibling is only untidy.
        let _ = std::fs::remove_file(&sibling);
    }
    outcome
}

/// Makes a folder and its parents.
pub(crate) fn make_folder(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io("make", dir))
}

fn sibling_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_cap_is_refused_and_an_absent_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
        assert!(matches!(read_capped(&path, 4), Err(Error::TooLarge { limit_bytes: 4, .. })));
        assert!(read_if_present(&dir.path().join("b"), 5).unwrap().is_none());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_sibling() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_renamed(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_renamed(&path, |out| {
            out.write_all(b"new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
