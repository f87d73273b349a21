//! The repository's text files in memory.

use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold nothing written by hand, wherever they are.
const SKIPPED: &[&str] = &["target", ".git", "venv", "__pycache__"];
/// Outputs at the root, as `.gitignore` has them; deeper down these are names like any other.
const SKIPPED_AT_ROOT: &[&str] = &["runs", "data", "feeds", "models", "reports", "wardsmith-demo"];
/// What the rules read; fixtures and data tell of foreign machines and may.
const READ: &[&str] = &["rs", "toml", "md", "py", "sh", "yml", "yaml"];
const MAX_FILE_BYTES: u64 = 4 << 20;

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the root, with `/` between folders.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl File {
    /// Whether it is Rust source.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// All text files of the repository, sorted by path, and the paths of all others.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Files that rules read.
    pub files: Vec<File>,
    /// Every path: files and folders.
    pub paths: Vec<String>,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// # Errors
    /// A folder or file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        tree.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        tree.paths.sort_unstable();
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<()> {
        let dir = root.join(folder);
        for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot read `{}`", dir.display()))? {
            let entry = entry.with_context(|| format!("cannot read `{}`", dir.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            let at_root = folder.is_empty() && SKIPPED_AT_ROOT.contains(&name.as_str());
            if kind.is_dir() && !at_root && !SKIPPED.contains(&name.as_str()) {
                self.paths.push(path.clone());
                self.walk(root, &path)?;
            } else if kind.is_file() {
                self.paths.push(path.clone());
                self.read_file(&entry.path(), path)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, place: &Path, path: String) -> Result<()> {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !(READ.contains(&ending) || path.starts_with(".ci/")) || place.metadata()?.len() > MAX_FILE_BYTES {
            return Ok(());
        }
        let bytes = std::fs::read(place).with_context(|| format!("cannot read `{path}`"))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.files.push(File { path, text });
        Ok(())
    }

    /// Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_things_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("target/a.rs", "x"),
            ("feeds/a.md", "x"),
            ("src/b.rs", "y"),
            ("src/c.bin", "z"),
            ("src/feeds/d.rs", "y"),
            (".ci/run", "w"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let tree = Tree::read(dir.path()).unwrap();
        let read: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(read, [".ci/run", "src/b.rs", "src/feeds/d.rs"]);
        assert!(tree.paths.contains(&"src/c.bin".to_owned()));
    }
}
