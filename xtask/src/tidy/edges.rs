//! Who may depend on whom: two roots, text and tensors, that meet only in training and in the binary.

use toml::{Table, Value};

use super::Finding;
use super::tree::{File, Tree};

const OURS: &str = "wardsmith";

/// The allowed edges, tests included. The binary may use all.
const TABLE: &[(&str, &[&str])] = &[
    ("wardsmith-documents", &[]),
    ("wardsmith-fetch", &[]),
    ("wardsmith-vault", &[]),
    ("wardsmith-records", &["wardsmith-documents", "wardsmith-vault"]),
    ("wardsmith-eval", &["wardsmith-records"]),
    ("wardsmith-tables", &["wardsmith-records"]),
    ("wardsmith-model", &[]),
    ("wardsmith-tokens", &["wardsmith-records"]),
    ("wardsmith-train", &["wardsmith-tokens", "wardsmith-model", "wardsmith-vault"]),
    (
        "wardsmith",
        &[
            "wardsmith-eval",
            "wardsmith-fetch",
            "wardsmith-records",
            "wardsmith-tables",
            "wardsmith-tokens",
            "wardsmith-model",
            "wardsmith-train",
            "wardsmith-vault",
        ],
    ),
    ("xtask", &[]),
    ("wardsmith-fuzz", &["wardsmith-documents", "wardsmith-records"]),
];

/// Crates that open sockets.
const NETWORK: &[&str] = &["reqwest", "ureq", "hyper", "curl", "isahc", "attohttpc", "surf", "minreq"];
/// The one of them that is used, and by whom. The workspace's list states its version.
const CLIENT: (&str, &str) = ("ureq", "wardsmith-fetch");

/// Edges outside the table, unknown crates, network crates.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    let finding = |what| Finding { path: file.path.clone(), line: 0, what };
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![finding(format!("is not TOML: {error}"))],
    };
    let dependencies = all_dependencies(&manifest);
    let package = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let (client, user) = CLIENT;
    let may = |name: &str| name == client && package.is_none_or(|package| package == user);
    let network = dependencies.iter().filter(|(_, name)| NETWORK.contains(&name.as_str()) && !may(name));
    let mut findings: Vec<Finding> = network
        .map(|(_, name)| {
            finding(format!("depends on `{name}`, which opens sockets; `{user}` alone does, by `{client}`"))
        })
        .collect();
    let Some(package) = package else {
        return findings;
    };
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == package) else {
        findings.push(finding(format!("`{package}` stands in no table of edges; add it to `xtask/src/tidy/edges.rs`")));
        return findings;
    };
    for (section, name) in dependencies.iter().filter(|(_, name)| name.starts_with(OURS)) {
        let name = name.as_str();
        if !allowed.contains(&name) {
            findings.push(finding(format!("`{package}` must not depend on `{name}` ({section})")));
        }
    }
    findings
}

/// (section, name of the package) of every dependency, under `[target.…]` and `[workspace]` too.
fn all_dependencies(manifest: &Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            found.extend(table.iter().map(|(name, value)| (key.clone(), package_name(name, value))));
        } else if key == "target"
            || key == "workspace"
            || key.starts_with("cfg(")
            || table.keys().any(|key| key.ends_with("dependencies"))
        {
            let inner = all_dependencies(table);
            // The workspace's own list states versions, not edges.
            found.extend(inner.into_iter().filter(|(_, name)| key != "workspace" || !name.starts_with(OURS)));
        }
    }
    found
}

/// A dependency may be renamed: `name = { package = "real" }`.
fn package_name(name: &str, value: &Value) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let file = File { path: "Cargo.toml".to_owned(), text: text.to_owned() };
        check_manifest(&file).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn an_edge_outside_the_table_is_found_wherever_it_hides() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let text =
                format!("[package]\nname = \"wardsmith-model\"\n[{section}]\nwardsmith-tokens.workspace = true\n");
            assert_eq!(found(&text).len(), 1, "{section}");
            let renamed = text
                .replace("wardsmith-tokens.workspace = true", "t = { package = \"wardsmith-tokens\", path = \"x\" }");
            assert_eq!(found(&renamed).len(), 1, "{section}");
        }
    }

    #[test]
    fn the_allowed_edges_and_the_workspace_list_are_silent() {
        assert!(found("[package]\nname = \"wardsmith-train\"\n[dependencies]\nwardsmith-model.workspace = true\nserde = \"1\"\n").is_empty());
        assert!(found("[workspace.dependencies]\nwardsmith-model = { path = \"m\" }\n").is_empty());
    }

    #[test]
    fn network_crates_and_unknown_crates_are_found() {
        assert_eq!(found("[workspace.dependencies]\nreqwest = \"3\"\n").len(), 1);
        assert!(found("[package]\nname = \"wardsmith-magic\"\n")[0].contains("no table of edges"));
        assert!(found("[package").first().unwrap().contains("not TOML"));
    }

    #[test]
    fn one_client_of_the_network_is_allowed_in_one_crate() {
        let manifest =
            |name: &str, line: &str| found(&format!("[package]\nname = \"{name}\"\n[dependencies]\n{line}\n"));
        assert!(found("[workspace.dependencies]\nureq = \"3\"\n").is_empty());
        assert!(manifest("wardsmith-fetch", "ureq.workspace = true").is_empty());
        for name in ["wardsmith-records", "wardsmith-documents", "wardsmith-tables", "wardsmith", "xtask"] {
            let found = manifest(name, "client = { package = \"ureq\", version = \"3\" }");
            assert!(found.len() == 1 && found[0].contains("`wardsmith-fetch` alone"), "{name}: {found:?}");
        }
        assert_eq!(manifest("wardsmith-fetch", "reqwest = \"0.13\"").len(), 1);
        assert!(!manifest("wardsmith-records", "wardsmith-fetch.workspace = true").is_empty());
    }
}
