//! `wardsmith.json` in a model folder: what the model was tuned for and what it was made of. Plain data; every type here
//! is a part of that file. Folders from elsewhere have none, and are used all the same.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use wardsmith_model::weights::write_atomically;
use wardsmith_records::dataset::LabelInfo;

use crate::recipe::{DtypeRecipe, QuantizationRecipe};

/// Its name in a model folder.
const FILE: &str = "wardsmith.json";
/// The `format` of every such file.
const FORMAT: &str = "wardsmith-model";
/// The version that this code reads and writes.
const FORMAT_VERSION: u32 = 2;
/// No such file is larger.
const MAX_BYTES: u64 = 16 << 20;

/// `wardsmith.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModelManifest {
    format: String,
    format_version: u32,
    /// The program and its version.
    pub(crate) created_by: String,
    /// The tasks it was tuned for, each with the labels to choose from in the order of the dataset; none where answers
    /// are no labels.
    pub(crate) tasks: BTreeMap<String, Vec<LabelInfo>>,
    /// Longer questions are cut.
    pub(crate) max_len_tokens: usize,
    /// SHA-256 of the dataset's manifest, which in turn holds those of its files.
    pub(crate) dataset_sha256: String,
    /// SHA-256 of recipe, data and starting weights together, as in the run's checkpoints.
    pub(crate) run_sha256: String,
    /// The resolved recipe as TOML.
    pub(crate) recipe: String,
    /// How the base lay below the adapter that was tuned; absent where everything was f32. An adapter is used on a base that
    /// lies so too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Held>,
}

/// How the base of an adapter lay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) dtype: DtypeRecipe,
    pub(crate) quantization: QuantizationRecipe,
}

impl ModelManifest {
    /// A manifest of the current version.
    pub(crate) fn new(tasks: BTreeMap<String, Vec<LabelInfo>>, max_len_tokens: usize, sources: Sources) -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            created_by: concat!("wardsmith ", env!("CARGO_PKG_VERSION")).into(),
            tasks,
            max_len_tokens,
            dataset_sha256: sources.dataset_sha256,
            run_sha256: sources.run_sha256,
            recipe: sources.recipe,
            base: sources.base,
        }
    }

    /// Without the recipe, which may name places of this machine.
    pub(crate) fn without_recipe(mut self) -> Self {
        self.recipe.clear();
        self
    }

    /// The label names of all tasks.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.tasks.values().flatten().map(|label| label.name.clone()).collect()
    }

    /// Reads the manifest of `folder`, if it has one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let shown = path.display();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::metadata(&path).with_context(|| format!("cannot read `{shown}`"))?.len();
        if bytes > MAX_BYTES {
            bail!("`{shown}` has {bytes} bytes\nhint: a real one is far smaller");
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
        let hint = "hint: remove it to use the folder as any other model, with --data for its labels";
        let manifest: Self =
            serde_json::from_str(&text).with_context(|| format!("`{shown}` is not a model manifest\n{hint}"))?;
        if manifest.format != FORMAT || manifest.format_version != FORMAT_VERSION {
            bail!("`{shown}` has format `{}` version {}\n{hint}", manifest.format, manifest.format_version);
        }
        Ok(Some(manifest))
    }

    /// Writes it into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_atomically(&folder.join(FILE), text.as_bytes())?)
    }
}

/// What a model was made of.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) dataset_sha256: String,
    pub(crate) run_sha256: String,
    pub(crate) recipe: String,
    pub(crate) base: Option<Held>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_other_files_are_told_about() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ModelManifest::read(folder.path()).unwrap(), None);
        let base = Some(Held { dtype: DtypeRecipe::Bf16, quantization: QuantizationRecipe::Nf4 });
        let sources =
            Sources { dataset_sha256: "ab".into(), run_sha256: "cd".into(), recipe: "name = 'x'".into(), base };
        let label = LabelInfo {
            name: "CWE-79".into(),
            title: "Cross-site scripting".into(),
            train_count: 3,
            ancestors: vec!["CWE-74".into()],
        };
        let manifest = ModelManifest::new([("cwe_classify".into(), vec![label])].into(), 256, sources);
        manifest.write(folder.path()).unwrap();
        assert_eq!(ModelManifest::read(folder.path()).unwrap(), Some(manifest));
        for text in ["{", "{}", "[]"] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(format!("{:#}", ModelManifest::read(folder.path()).unwrap_err()).contains("hint:"), "{text}");
        }
    }
}
