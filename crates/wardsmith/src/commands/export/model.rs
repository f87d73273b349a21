//! `wardsmith export --model`: a model or an adapter → a Hugging Face folder, a PEFT adapter or a GGUF file.
//!
//! It is written to a hidden sibling, read back from there and run. Only where the logits of the adapter, of the merged model
//! and of what was written agree does it get its name.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use wardsmith_model::adapter::{self, LoraConfig};
use wardsmith_model::checkpoint::{self, Wanted};
use wardsmith_model::export::gguf::Encoding;
use wardsmith_model::export::gguf_model::{self, Layout};
use wardsmith_model::export::parity::{self, Difference, Logits};
use wardsmith_model::weights::{Precision, write_atomically};
use wardsmith_model::{Model, Purpose};
use wardsmith_tokens::Tokenizer;

use crate::cli::{self, ExportDtype, ExportFormat};
use crate::model_manifest::ModelManifest;
use crate::{resolved, say};

/// What a model is asked at the gate.
const PROMPTS: [&str; 4] = [
    "A heap-based buffer overflow in the image decoder lets remote attackers execute code by way of a crafted PNG file.",
    "The search field is written into the page without escaping, which lets an attacker run scripts in a visitor's browser.",
    "Which weakness does this describe?\nAn SQL statement is put together from the parameter `id`.",
    "Use after free in the USB driver; fixed in version 6.1.4 (CWE-416).",
];
/// Tokens of each that are run.
const PROMPT_TOKENS: usize = 48;
/// Of adapter against merged model, and of what is stored in f32.
const EXACT: f32 = 1e-4;
const GENERATION: &str = "generation_config.json";
/// No such file is larger.
const MAX_GENERATION_BYTES: u64 = 1 << 20;

/// Exports the model or adapter in `folder`.
pub(super) fn run(folder: &Path, args: &cli::Export) -> Result<()> {
    let stored = Stored::of(args)?;
    check_target(args)?;
    let opened = Opened::open(folder)?;
    let shown = args.out.display();
    say::note(format_args!("exporting {} to {shown}", folder.display()));
    let stage = Stage::beside(&args.out)?;
    match stored {
        Stored::Folder(precision) => opened.folder(&stage.path, (precision, args.max_shard_size))?,
        Stored::Adapter(precision) => opened.adapter(&stage.path, precision, args.name.as_deref())?,
        Stored::Gguf(encoding) => opened.gguf(&stage.path, encoding)?,
    }
    stage.take_place_of(&args.out)?;
    say::result(format_args!("{}: {shown}", stored.name()));
    Ok(())
}

/// What is written.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Folder(Precision),
    Adapter(Precision),
    Gguf(Encoding),
}

impl Stored {
    fn of(args: &cli::Export) -> Result<Self> {
        let precision = |dtype| match dtype {
            None | Some(ExportDtype::F32) => Ok(Precision::F32),
            Some(ExportDtype::F16) => Ok(Precision::F16),
            Some(ExportDtype::Bf16) => Ok(Precision::Bf16),
            Some(_) => bail!("safetensors are written in f32, f16 or bf16\nhint: --format gguf has fewer bits"),
        };
        Ok(match args.format {
            ExportFormat::Hf => Self::Folder(precision(args.dtype)?),
            ExportFormat::Peft => Self::Adapter(precision(args.dtype)?),
            ExportFormat::Gguf => Self::Gguf(match args.dtype {
                None | Some(ExportDtype::F16) => Encoding::F16,
                Some(ExportDtype::F32) => Encoding::F32,
                Some(ExportDtype::Bf16) => Encoding::Bf16,
                Some(ExportDtype::Q8_0) => Encoding::Q8_0,
                Some(ExportDtype::Q4_0) => Encoding::Q4_0,
            }),
            ExportFormat::Chat => {
                bail!("a model is exported as hf, peft or gguf\nhint: name a dataset with --data for chats")
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Folder(_) => "model",
            Self::Adapter(_) => "adapter",
            Self::Gguf(_) => "GGUF file",
        }
    }
}

/// How far the logits of what is stored so may lie from those of the model, in units of their spread.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => EXACT,
        Precision::F16 | Precision::Bf16 => 5e-2,
    }
}

fn tolerance_of(encoding: Encoding) -> f32 {
    match encoding {
        Encoding::F32 => EXACT,
        Encoding::F16 | Encoding::Bf16 | Encoding::Q8_0 => 5e-2,
        Encoding::Q4_0 => 0.4,
    }
}

/// Refuses a target that is there and is no older export.
fn check_target(args: &cli::Export) -> Result<()> {
    let (out, shown) = (&args.out, args.out.display());
    if !out.exists() {
        return Ok(());
    }
    let older = if args.format == ExportFormat::Gguf {
        let mut magic = [0; 4];
        out.is_file() && fs::File::open(out).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
    } else {
        ["config.json", adapter::CONFIG].iter().any(|name| out.join(name).is_file())
    };
    match (args.overwrite, older) {
        (_, false) => bail!("`{shown}` is there and is no such export\nhint: name another place"),
        (false, true) => bail!("`{shown}` is already there\nhint: name another place, or allow it with --overwrite"),
        (true, true) => Ok(()),
    }
}

/// A hidden sibling of the target, which goes unless it takes the target's place.
struct Stage {
    path: PathBuf,
    kept: bool,
}

impl Stage {
    fn beside(out: &Path) -> Result<Self> {
        let Some(name) = out.file_name() else {
            bail!("`{}` has no name\nhint: name a folder or file that is to be made", out.display());
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", std::process::id()));
        let path = out.with_file_name(hidden);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
        }
        remove(&path);
        Ok(Self { path, kept: false })
    }

    fn take_place_of(mut self, out: &Path) -> Result<()> {
        let fail = || format!("cannot put the export at `{}`", out.display());
        if out.is_dir() {
            let old = self.path.with_extension("old");
            fs::rename(out, &old).with_context(fail)?;
            fs::rename(&self.path, out).with_context(fail)?;
            remove(&old);
        } else {
            fs::rename(&self.path, out).with_context(fail)?;
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// Removes a folder or file of ours; where it stays, the next export removes it.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// What is exported.
struct Opened {
    /// With its adapter beside its weights, where it has one.
    model: Model,
    adapter: Option<LoraConfig>,
    /// Where the adapter's base lies.
    base: Option<PathBuf>,
    manifest: Option<ModelManifest>,
    /// Where tokenizer and template lie, if there are any.
    texts: Option<(PathBuf, Tokenizer)>,
    /// Where further files lie.
    folders: Vec<PathBuf>,
    prompts: Vec<Vec<u32>>,
    logits: Logits,
}

impl Opened {
    fn open(folder: &Path) -> Result<Self> {
        let manifest = ModelManifest::read(folder)?;
        let labels = manifest.as_ref().map(ModelManifest::labels).unwrap_or_default();
        let base = resolved::base_of(folder)?;
        let (model, adapter) = match &base {
            Some(base) => {
                let (model, config) = resolved::on_base(folder, base, &labels)?;
                (model, Some(config))
            }
            None => (checkpoint::load(folder, &Wanted::AsStored, Purpose::Inference)?, None),
        };
        let folders: Vec<PathBuf> = [Some(folder.to_path_buf()), base.clone()].into_iter().flatten().collect();
        let texts = match folders.iter().find(|folder| folder.join("tokenizer.json").exists()) {
            Some(folder) => Some((folder.clone(), Tokenizer::load(folder)?)),
            None => None,
        };
        if let Some((_, tokenizer)) = &texts {
            resolved::check_vocabulary(&model, tokenizer.vocab_size())?;
        }
        let prompts = prompts(&model, texts.as_ref().map(|(_, tokenizer)| tokenizer))?;
        let logits = parity::logits(&model, &prompts)?;
        Ok(Self { model, adapter, base, manifest, texts, folders, prompts, logits })
    }

    /// Adds the adapter into the weights, and holds the merged model against the two apart.
    fn merge(&mut self) -> Result<()> {
        if self.adapter.take().is_none() {
            return Ok(());
        }
        adapter::merge(&mut self.model);
        let merged = parity::logits(&self.model, &self.prompts)?;
        tell("merged against adapter", parity::hold("the merged model", &self.logits, &merged, EXACT)?, EXACT);
        Ok(())
    }

    /// Holds what was read back against the model.
    fn hold(&self, what: &str, read: &Model, tolerance: f32) -> Result<()> {
        let logits = parity::logits(read, &self.prompts)?;
        tell("exported against model", parity::hold(what, &self.logits, &logits, tolerance)?, tolerance);
        Ok(())
    }

    fn folder(mut self, out: &Path, (precision, max_shard_bytes): (Precision, u64)) -> Result<()> {
        self.merge()?;
        checkpoint::save_sharded(&self.model, out, precision, max_shard_bytes)?;
        self.neighbours(out)?;
        let generation = self.generation_config()?;
        write_atomically(&out.join(GENERATION), format!("{generation:#}\n").as_bytes())?;
        let read = checkpoint::load(out, &Wanted::AsStored, Purpose::Inference)?;
        self.hold("the exported folder", &read, tolerance(precision))
    }

    fn adapter(self, out: &Path, precision: Precision, name: Option<&str>) -> Result<()> {
        let (Some(config), Some(base)) = (&self.adapter, &self.base) else {
            bail!("the model has no adapter\nhint: name the folder with adapter_config.json, such as RUN/adapter");
        };
        let shown = base.display().to_string();
        adapter::save_as(&self.model, config, name.unwrap_or(&shown), (out, precision))?;
        self.neighbours(out)?;
        let labels = self.manifest.as_ref().map(ModelManifest::labels).unwrap_or_default();
        let (read, _) = resolved::on_base(out, base, &labels)?;
        self.hold("the exported adapter", &read, tolerance(precision))
    }

    fn gguf(mut self, out: &Path, encoding: Encoding) -> Result<()> {
        self.merge()?;
        let layout = Layout::of(&self.model)?;
        let Some((folder, _)) = &self.texts else {
            bail!("the folder has no `tokenizer.json`\nhint: a GGUF file holds the tokenizer of its model");
        };
        let bytes = gguf_model::write(&self.model, folder, encoding, out)?;
        say::note(format_args!("{} in {}", crate::machine::bytes(bytes), encoding.name()));
        self.hold("the GGUF file", &layout.read(out, encoding)?, tolerance_of(encoding))
    }

    /// Writes tokenizer, template and manifest into `out`.
    fn neighbours(&self, out: &Path) -> Result<()> {
        if let Some((_, tokenizer)) = &self.texts {
            tokenizer.save_to(out)?;
        }
        match &self.manifest {
            Some(manifest) => manifest.clone().without_recipe().write(out),
            None => Ok(()),
        }
    }

    /// The folder's own settings of generation, or the special tokens of the configuration.
    fn generation_config(&self) -> Result<Value> {
        if let Some(path) = self.folders.iter().map(|folder| folder.join(GENERATION)).find(|path| path.exists()) {
            let shown = path.display();
            let bytes = fs::metadata(&path).with_context(|| format!("cannot read `{shown}`"))?.len();
            if bytes > MAX_GENERATION_BYTES {
                bail!("`{shown}` has {bytes} bytes\nhint: a real one is far smaller");
            }
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
            let object: Map<String, Value> =
                serde_json::from_str(&text).with_context(|| format!("`{shown}` is no JSON object"))?;
            return Ok(Value::Object(object));
        }
        let mut made = Map::from_iter([("_from_model_config".to_owned(), Value::Bool(true))]);
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            made.extend(self.model.config.get(key).filter(|id| !id.is_null()).map(|id| (key.to_owned(), id.clone())));
        }
        Ok(Value::Object(made))
    }
}

fn tell(what: &str, found: Difference, tolerance: f32) {
    say::result(format_args!(
        "{what}: logits off by {:.1e} of their spread at most ({tolerance:.0e} is allowed)",
        found.relative
    ));
}

/// The tokens of [`PROMPTS`]; where there is no tokenizer, ids spread over the vocabulary.
fn prompts(model: &Model, tokenizer: Option<&Tokenizer>) -> Result<Vec<Vec<u32>>> {
    let most = PROMPT_TOKENS.min(model.spec.positions.limit().unwrap_or(PROMPT_TOKENS));
    let mut all = Vec::new();
    for (i, text) in PROMPTS.iter().enumerate() {
        let mut ids = match tokenizer {
            Some(tokenizer) => tokenizer.encode(text)?,
            None => (0..PROMPT_TOKENS).map(|j| ((31 * i + 7919 * j) % model.spec.vocab) as u32).collect(),
        };
        ids.truncate(most);
        all.push(ids);
    }
    all.retain(|ids| !ids.is_empty());
    Ok(all)
}
