//! Walks the folder that a user names, and tells by its name which file is worth opening.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::input::Wanted;

/// What else lies in the folders and archives of feeds: texts, checksums, signatures.
const NO_DATA: &[&str] = &["md", "txt", "meta", "sha256", "sha512", "md5", "asc", "sig", "xsd", "pdf", "html", "csv"];
/// Endings of what may hold wanted files, whatever is wanted.
const CONTAINERS: &[&str] = &["zip", "gz", "tgz", "xz", "txz", "tar"];
/// Folders in folders; what lies deeper is not opened.
const MAX_DEPTH: usize = 64;

/// The files of a folder tree, in the order of their names.
#[derive(Default)]
pub(super) struct Walk {
    /// Where each lies, and how it is called.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What was left aside, by its place.
    pub(super) skipped: Vec<String>,
}

impl Walk {
    /// Walks the tree at `path`, which is called `place`. Symbolic links are not followed.
    pub(super) fn tree(&mut self, path: &Path, place: &str, wants: Wanted<'_>) -> Result<()> {
        self.folder(path, place, 0, wants)
    }

    fn folder(&mut self, path: &Path, place: &str, depth: usize, wants: Wanted<'_>) -> Result<()> {
        let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
        let entries: io::Result<Vec<fs::DirEntry>> = entries.collect();
        let mut entries = entries.map_err(Error::io("read", path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(Error::io("read", &path))?;
            let place = format!("{place}/{}", entry.file_name().to_string_lossy());
            let is_open = !is_hidden(&place);
            if kind.is_dir() && is_open && depth < MAX_DEPTH {
                self.folder(&path, &place, depth + 1, wants)?;
            } else if kind.is_file() && is_open && wants(&place) {
                self.files.push((path, place));
            } else {
                self.skipped.push(place);
            }
        }
        Ok(())
    }
}

/// Whether the last part of a path begins with a dot.
fn is_hidden(place: &str) -> bool {
    place.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
}

/// What follows the last dot of the last part of a path, in lower case.
pub(crate) fn extension(place: &str) -> String {
    let name = place.rsplit('/').next().unwrap_or(place);
    name.rsplit_once('.').map_or(String::new(), |(_, end)| end.to_ascii_lowercase())
}

/// Whether a name stands for an archive or a compressed file.
pub(crate) fn is_container(place: &str) -> bool {
    CONTAINERS.contains(&extension(place).as_str())
}

/// Whether a file in a folder or archive of a feed is worth opening, by its name.
pub(crate) fn may_be_data(place: &str) -> bool {
    let name = place.rsplit('/').next().unwrap_or(place);
    !is_hidden(place)
        && !NO_DATA.contains(&extension(place).as_str())
        && !name.starts_with("README")
        && name != "LICENSE"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::input::tests::{contents, folder};

    #[test]
    fn a_folder_is_walked_in_order_without_what_is_no_data() {
        let files: &[(&str, &[u8])] = &[
            ("b.json", b"2"),
            ("a/z.json", b"1"),
            (".hidden.json", b"x"),
            (".git/c.json", b"x"),
            ("README.md", b"x"),
            ("b.meta", b"x"),
        ];
        let folder = folder(files);
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let places: Vec<String> = contents(folder.path()).unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["a/z.json", "b.json"]);
        let summary = Input::open(folder.path(), &may_be_data).unwrap().summary;
        assert_eq!((summary.files, summary.bytes, summary.members.len()), (2, 2, 2));
        assert!(summary.skipped.len() >= 4);
        fs::write(folder.path().join("b.json"), b"3").unwrap();
        assert_ne!(Input::open(folder.path(), &may_be_data).unwrap().summary.sha256, summary.sha256);
    }

    #[test]
    fn who_asks_says_what_is_wanted() {
        let folder = folder(&[("a.json", b"1"), ("b.md", b"2"), (".c.md", b"3")]);
        let input = Input::open(folder.path(), &|place| extension(place) == "md").unwrap();
        assert_eq!((input.summary.files, input.units.len()), (1, 1));
        assert_eq!(input.summary.skipped.len(), 2);
    }

    #[test]
    fn a_tree_of_folders_without_end_ends() {
        let root = folder(&[("top.json", b"1")]);
        let deep = root.path().join("d/".repeat(MAX_DEPTH + 3));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("deep.json"), b"2").unwrap();
        let places: Vec<String> = contents(root.path()).unwrap().into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["top.json"]);
    }

    #[test]
    fn endings_are_told_in_any_case() {
        assert_eq!((extension("a.b/C.JSON").as_str(), extension("a.b/c").as_str()), ("json", ""));
        assert!(is_container("x/rules.tar.XZ") && is_container("x.tgz") && !is_container("x.json"));
        assert!(may_be_data("x.tar.xz/a.yml") && !may_be_data("x/a.CSV") && !may_be_data("x/README"));
    }
}
