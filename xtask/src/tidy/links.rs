//! Links in the root documents lead somewhere.

use super::Finding;
use super::tree::{File, Tree};

/// Links to files that are not there. Links to other sites are not looked at: no check needs a network.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| check_document(file, &tree.paths)).collect()
}

fn check_document(file: &File, paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in file.text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for target in targets(line) {
            let known = resolve(&file.path, target).is_none_or(|path| path.is_empty() || paths.contains(&path));
            if !known {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: number + 1,
                    what: format!("links to `{target}`, which does not exist"),
                });
            }
        }
    }
    findings
}

/// What stands in the round brackets of `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        rest.find(')').map(|end| rest[..end].split_whitespace().next().unwrap_or(""))
    })
}

/// The path of a target relative to the root; `None` for other sites and places in the same document.
fn resolve(document: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or("");
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_that_lead_nowhere_are_found() {
        let text = "[a](LICENSE) [b](crates/x/#top) [c](gone.md)\n```\n[d](code)\n```\n[e](https://example.org/x) [f](#here) [g](../LICENSE \"t\")";
        let paths = ["LICENSE", "crates", "crates/x"].map(str::to_owned);
        let file = File { path: "README.md".to_owned(), text: text.to_owned() };
        let found: Vec<String> = check_document(&file, &paths).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["README.md:1: links to `gone.md`, which does not exist"]);
        let inner = File { path: "crates/README.md".to_owned(), ..file };
        assert_eq!(check_document(&inner, &paths).len(), 3, "relative to the document's folder");
    }
}
