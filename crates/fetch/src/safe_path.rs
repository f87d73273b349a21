//! Which names from servers may become files: one decision for indexes, release assets, lock files and mirrors.
//!
//! A path that passes stays below the folder it is joined to, on every system that Wardsmith runs on: Windows' rules hold
//! everywhere, so that a folder that was fetched on one system can be copied to another.

/// One part of a path may have so many bytes.
const MAX_PART_BYTES: usize = 200;
/// A whole path may have so many bytes.
const MAX_PATH_BYTES: usize = 800;
/// So many parts at most.
const MAX_PARTS: usize = 12;
/// Characters that mean something to some file system or shell.
const FORBIDDEN: &[char] = &['/', '\\', ':', '*', '?', '"', '<', '>', '|'];
/// Names of devices on Windows, with any extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];

/// `path` itself, where it is a relative path with `/` that is safe to join to a folder; else the reason why not.
///
/// Refuses nothing-parts, `.` and `..`, hidden names, absolute paths, drive letters, separators and control characters
/// of any system, names of devices, and what is too long or too deep.
pub(crate) fn safe_path(path: &str) -> Result<&str, &'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Err("it is too long");
    }
    let mut count = 0;
    for part in path.split('/') {
        safe_part(part)?;
        if part.starts_with('.') {
            return Err("it is hidden");
        }
        count += 1;
    }
    if count > MAX_PARTS { Err("it is too deep") } else { Ok(path) }
}

/// The same for one part of a path; hidden names pass.
pub(crate) fn safe_part(part: &str) -> Result<&str, &'static str> {
    if part.is_empty() {
        return Err("a part of it is empty");
    }
    if part.len() > MAX_PART_BYTES {
        return Err("a part of it is too long");
    }
    if part.contains(is_invisible) {
        return Err("it holds control characters");
    }
    if part.contains(FORBIDDEN) {
        return Err("it holds characters with a special meaning");
    }
    // This refuses `.` and `..` as well.
    if part.ends_with(['.', ' ']) || part.starts_with(' ') {
        return Err("a part of it ends with a dot, or begins or ends with a space");
    }
    if is_device(part) { Err("it is the name of a device") } else { Ok(part) }
}

/// Control characters, and marks that change the direction of text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_lowercase();
    let numbered = |kind: &str| {
        let rest = stem.strip_prefix(kind);
        rest.is_some_and(|rest| {
            matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass_unchanged() {
        for path in ["a.json", "2024/icsa-24-001-01.json", "nvd/nvdcve-2.0-2024.json.gz", "a b/ü.zip", "x/common.json"]
        {
            assert_eq!(safe_path(path), Ok(path));
        }
        assert_eq!(safe_part(".well-known"), Ok(".well-known"));
    }

    #[test]
    fn whatever_could_leave_the_folder_or_surprise_a_system_is_refused() {
        let long = "a".repeat(201);
        let deep = "a/".repeat(12) + "a";
        let wide = vec!["a".repeat(150); 6].join("/");
        for path in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            ".",
            "a/.",
            ".hidden",
            "a/.git",
            "C:",
            "C:/a",
            "c:a",
            "\\a",
            "a\\..\\b",
            "\\\\server\\share",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "con",
            "NUL.txt",
            "a/Com1.json",
            "lpt¹",
            "aux .json",
            "a.",
            "a ",
            " a",
            "a/b. ",
            "file:///a",
            "a?b",
            "a*",
            "a|b",
            &long,
            &deep,
            &wide,
        ] {
            assert!(safe_path(path).is_err(), "{path:?} passed");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_passes_stays_below_its_folder(path in "([a-z.]|\\PC|/|\\\\|:){0,40}") {
            if safe_path(&path).is_ok() {
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                assert!(std::path::Path::new(&path).components().all(normal), "{path:?}");
            }
        }
    }
}
