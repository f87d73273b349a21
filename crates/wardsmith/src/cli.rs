//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Fine-tune, evaluate and run a vulnerability language model on your own machine.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = "Start with: wardsmith demo")]
pub(crate) struct Cli {
    /// Threads to use; all processors by default.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The key of encrypted datasets: a file as `age-keygen` makes it. Else WARDSMITH_AGE_IDENTITY_FILE, _RECIPIENTS or
    /// _PASSPHRASE count.
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What Wardsmith can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole way, offline, on what is built in: prepare, tune, evaluate, classify.
    #[command(after_help = "Example:\n  wardsmith demo --out my-demo")]
    Demo(Demo),
    /// Fetch public feeds from their original servers or a mirror: resumable, verified, recorded in a lock file.
    #[command(
        after_help = "Examples:\n  wardsmith fetch --list\n  wardsmith fetch nvd cvelist cwe --into feeds\n  wardsmith fetch --into feeds                  (what is there, once more)\n  wardsmith fetch --locked feeds/wardsmith.lock.json --mirror copies --into feeds-of-then\n\nA mirror holds the file of https://HOST/PATH under HOST/PATH. NVD_API_KEY is the key of feed nvd-api; ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY and SSL_CERT_FILE count."
    )]
    Fetch(Fetch),
    /// Turn feeds into a dataset: merged records, near-duplicates grouped, split by date.
    #[command(
        after_help = "Examples:\n  wardsmith prepare recipes/cwe-classify.toml --out data/cwe\n  wardsmith prepare --source nvd=feeds/nvd --source cwe=cwec_latest.xml.zip --task cwe_classify --out data/cwe\n  wardsmith prepare recipes/cwe-classify.toml --explain CVE-2021-44228      (what becomes of it, and why)"
    )]
    Prepare(Prepare),
    /// Train a byte-level BPE tokenizer on a dataset's training texts.
    #[command(after_help = "Example:\n  wardsmith tokenizer --data data/documents --vocab 4096 --out models/tokenizer")]
    Tokenizer(Tokenizer),
    /// Train a model as a recipe says: fine-tuning (full or LoRA), or a base from scratch.
    #[command(
        after_help = "Examples:\n  wardsmith tune recipes/cwe-classify.toml --out runs/cwe\n  wardsmith tune recipes/cwe-classify.toml --set train.learning_rate=1e-4 --out runs/slow\n  wardsmith tune --resume runs/cwe\n\nIn the recipe, for an adapter instead of all weights:\n  [lora]\n  rank = 16\n  alpha = 32\n  target_modules = \"all-linear\"       # or names, [\"q_proj\", \"v_proj\"], or an expression for whole names\n  exclude_modules = [\"down_proj\"]\n  rslora = true                       # scaled by alpha / √rank\n  dora = true                         # the lengths of the weights' rows learn too\n  dropout = 0.05"
    )]
    Tune(Tune),
    /// Search for good hyper-parameters as a recipe's table `sweep` says; stop and repeat it at will, in several processes.
    #[command(
        after_help = "Examples:\n  wardsmith sweep recipes/sweep-cwe.toml --out sweeps/cwe\n  wardsmith sweep recipes/sweep-cwe.toml --set sweep.trials=60 --out sweeps/cwe      (go on with more trials)\n\nIn the recipe:\n  [sweep]\n  method = \"tpe\"                    # or random, grid\n  trials = 30\n  halving = { min_steps = 20, factor = 3 }\n  [sweep.parameters]\n  \"train.learning_rate\" = { kind = \"log_uniform\", low = 1e-5, high = 1e-2 }\n  \"train.packs_per_step\" = { kind = \"int\", low = 1, high = 8, log = true }\n  \"lora.rank\" = { kind = \"choice\", values = [4, 8, 16] }"
    )]
    Sweep(Sweep),
    /// Measure a model on a dataset, beside its base and classical baselines; writes report.json and report.html.
    #[command(
        after_help = "Example:\n  wardsmith eval --model runs/cwe/model --base models/small --data data/cwe --out reports/cwe"
    )]
    Eval(Eval),
    /// Put runs side by side: where their recipes differ, losses, speed, and which answers flipped.
    #[command(
        after_help = "Example:\n  wardsmith compare runs/slow runs/fast --out comparisons/rates\n\nA folder is a run, an evaluation, or a run with evaluations in it (wardsmith eval … --out RUN/test)."
    )]
    Compare(Compare),
    /// Ask a language model: free text as it is written, or JSON that follows a schema.
    #[command(
        after_help = "Examples:\n  wardsmith ask --model runs/qa/model \"What does CWE-79 mean?\"\n  wardsmith ask --model runs/qa/model --schema report.schema.json --json --file prompts.txt\n  wardsmith ask --model runs/qa/model --messages conversation.json --temperature 0.7 --top-p 0.9 --seed 1\n\nWithout a prompt the lines of standard input are asked one by one; at a terminal they are a conversation. By default the\nlikeliest token is taken; a temperature draws. A schema's texts and lists need bounds (maxLength, maxItems), or a model may\nreach --max-tokens before its answer is whole, which is an error."
    )]
    Ask(Ask),
    /// Name the weakness (CWE) of vulnerability descriptions.
    #[command(
        after_help = "Examples:\n  wardsmith classify --model runs/cwe/model \"A heap overflow in the PNG decoder …\"\n  wardsmith classify --model runs/cwe/model --bits 8 --json < descriptions.txt"
    )]
    Classify(Classify),
    /// Write a dataset or a model for others: Hugging Face folders, PEFT adapters, GGUF files, JSON lines of chats.
    #[command(
        after_help = "Examples:\n  wardsmith export --model runs/cwe/adapter --format hf --dtype bf16 --out cwe-model\n  wardsmith export --model runs/cwe/model --format gguf --dtype q8_0 --out cwe.gguf\n  wardsmith export --data data/cwe --format hf --out cwe-dataset\n  wardsmith export --data data/cwe --format chat --out cwe-chats\n\nA model that is written is read back and run: where its logits are not near those of the model, nothing is exported. Of a dataset private examples stay behind."
    )]
    Export(Export),
    /// Measure this machine: the multipliers' rate, matrix products, training steps of a 135-million-value model.
    #[command(
        after_help = "Examples:\n  wardsmith bench\n  wardsmith bench --examples examples.jsonl --tokenizer models/gpt2 --steps 10\n\nAn example is a line {\"prompt\": …, \"completion\": …}; the loss is on the completion."
    )]
    Bench(Bench),
}

/// `wardsmith bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Train on these examples instead of random tokens, all supervised.
    #[arg(long, value_name = "FILE", requires = "tokenizer")]
    pub examples: Option<PathBuf>,
    /// The tokenizer of the examples.
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// A model folder instead of random weights.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A PEFT adapter to go on from instead of a new one of rank 16 on all linear layers.
    #[arg(long, value_name = "DIR", requires = "model")]
    pub adapter: Option<PathBuf>,
    /// Training steps; the first two are not counted.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(3..=1000))]
    pub steps: u16,
}

/// `wardsmith demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where to write dataset, run, report and model.
    #[arg(long, default_value = "wardsmith-demo", value_name = "DIR")]
    pub out: PathBuf,
}

/// `wardsmith fetch`.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The feeds, as --list names them; by default those that were fetched before, or that the lock file names.
    pub source: Vec<String>,
    /// The folder to fetch into; each feed gets a folder in it.
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    pub into: Option<PathBuf>,
    /// A server or folder that stands in for all original servers.
    #[arg(long, value_name = "URL|FOLDER")]
    pub mirror: Option<String>,
    /// Fetch exactly the files of this wardsmith.lock.json, and refuse any that differ.
    #[arg(long, value_name = "FILE")]
    pub locked: Option<PathBuf>,
    /// An ecosystem of feed ghsa, such as npm or PyPI; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub ecosystem: Vec<String>,
    /// A provider of feed csaf: a domain, or the address of its provider-metadata.json; may be given several times.
    #[arg(long, value_name = "URL")]
    pub provider: Vec<String>,
    /// Leave earlier years out, in feeds that come by year (nvd, csaf, certcc).
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i16).range(1990..=2200))]
    pub since: Option<i16>,
    /// Show all feeds, and fetch nothing.
    #[arg(long, conflicts_with_all = ["source", "into", "mirror", "locked", "verify"])]
    pub list: bool,
    /// Hold what is there against its lock file, and fetch nothing.
    #[arg(long, conflicts_with_all = ["source", "mirror", "locked"])]
    pub verify: bool,
}

/// `wardsmith prepare`.
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// The recipe; its table `prepare` is used.
    #[arg(required_unless_present = "source")]
    pub recipe: Option<PathBuf>,
    /// A source (nvd, cvelist, cwe, …) and its file, archive or folder; once for each source.
    #[arg(long, value_name = "NAME=PATH", conflicts_with = "recipe")]
    pub source: Vec<String>,
    /// A task, such as cwe_classify, or document for pretraining text; once for each task.
    #[arg(long, value_name = "NAME", conflicts_with = "recipe")]
    pub task: Vec<String>,
    /// Change one value of the recipe, such as prepare.test_from=2023-01-01.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A source whose records may teach, but are never exported or quoted; once for each source.
    #[arg(long, value_name = "NAME")]
    pub private: Vec<String>,
    /// A benchmark to keep out of training and validation, and its file or folder; once for each benchmark.
    #[arg(long, value_name = "NAME=PATH")]
    pub decontaminate: Vec<String>,
    /// Where to write the dataset.
    #[arg(long, value_name = "DATASET", required_unless_present = "explain")]
    pub out: Option<PathBuf>,
    /// Replace an existing dataset.
    #[arg(long)]
    pub overwrite: bool,
    /// Encrypt all files with data, and the checkpoints of runs on it, by the age format. Tokenizers, finished models and exports
    /// are not encrypted.
    #[arg(long)]
    pub encrypt: bool,
    /// Write nothing, but tell what becomes of one record and why: a CVE, CWE, CAPEC, technique or document ID.
    #[arg(long, value_name = "ID", conflicts_with_all = ["out", "overwrite", "encrypt"])]
    pub explain: Option<String>,
    /// Tell it as JSON.
    #[arg(long, requires = "explain")]
    pub json: bool,
}

/// `wardsmith tokenizer`.
#[derive(Debug, Args)]
pub(crate) struct Tokenizer {
    /// A prepared dataset; its training split is read.
    #[arg(long, value_name = "DATASET")]
    pub data: PathBuf,
    /// Tokens in the vocabulary.
    #[arg(long, value_name = "N")]
    pub vocab: usize,
    /// Where to write the tokenizer's files.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `wardsmith tune`.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// The recipe; its tables `model`, `lora` and `train` are used.
    #[arg(required_unless_present = "resume")]
    pub recipe: Option<PathBuf>,
    /// The dataset, instead of the recipe's train.dataset.
    #[arg(long, value_name = "DATASET")]
    pub data: Option<PathBuf>,
    /// Change one value of the recipe, such as train.max_steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where to write the run: metrics, checkpoints, model.
    #[arg(long, value_name = "RUN", required_unless_present = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with an interrupted run.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "out", "data", "set"])]
    pub resume: Option<PathBuf>,
    /// Begin even where the memory that is free will not do.
    #[arg(long)]
    pub force: bool,
}

/// `wardsmith sweep`.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// The recipe with a table `sweep`.
    pub recipe: PathBuf,
    /// The dataset, instead of the recipe's train.dataset.
    #[arg(long, value_name = "DATASET")]
    pub data: Option<PathBuf>,
    /// Change one value of the recipe, such as sweep.trials=60.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The study's folder; one that exists is gone on with.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Begin even where the memory that is free will not do.
    #[arg(long)]
    pub force: bool,
}

/// How a language model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// The classifier head if the model has one, else label scores.
    Auto,
    /// Exact probability of every label.
    Score,
    /// Free greedy text, from which the first CWE is taken; it may not parse.
    Generate,
}

/// `wardsmith eval`.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The model folder.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["answers", "against"])]
    pub model: Option<PathBuf>,
    /// The model it was tuned from, to be measured beside it.
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// The dataset.
    #[arg(long, value_name = "DATASET", required_unless_present = "benchmark", conflicts_with = "benchmark")]
    pub data: Option<PathBuf>,
    /// A published benchmark and its file, such as cti-rcm=cti-rcm.tsv; a folder in --out for each.
    #[arg(long, value_name = "NAME=FILE")]
    pub benchmark: Vec<String>,
    /// Answers that a system gave elsewhere, JSON lines with `id` and `text`, or samples of lm-evaluation-harness.
    #[arg(long, value_name = "FILE", requires = "benchmark")]
    pub answers: Option<PathBuf>,
    /// Static analysers to run on the same code: cppcheck, flawfinder, semgrep, bandit.
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',', requires = "benchmark")]
    pub against: Vec<String>,
    /// The task to measure, where the dataset holds several.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Where to write report.json and report.html.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The split to measure on.
    #[arg(long, default_value = "test", value_parser = ["train", "validation", "test"])]
    pub split: String,
    /// At most this many examples, drawn by the seed; of a benchmark, the first ones.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_examples: Option<u32>,
    /// The longest answer that is written to a benchmark's question.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_new_tokens: u16,
    /// How a language model answers.
    #[arg(long, value_enum, default_value = "auto")]
    pub method: Method,
    /// Leave the classical baselines out.
    #[arg(long)]
    pub no_baselines: bool,
    /// The run folder, for the loss curve; found beside the model by default.
    #[arg(long, value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// Seed of the draw and of the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Eval {
    /// `model` beside `base` on the test split of `data`, everything else as by default.
    pub(crate) fn new(model: PathBuf, base: Option<PathBuf>, data: PathBuf, out: PathBuf) -> Self {
        let split = "test".to_owned();
        Self {
            model: Some(model),
            base,
            data: Some(data),
            benchmark: Vec::new(),
            answers: None,
            against: Vec::new(),
            task: None,
            out,
            split,
            max_examples: None,
            max_new_tokens: 128,
            method: Method::Auto,
            no_baselines: false,
            run: None,
            seed: 0,
        }
    }
}

/// `wardsmith compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Folders of runs or evaluations; the others are held against the first.
    #[arg(required = true, num_args = 2..)]
    pub run: Vec<PathBuf>,
    /// Where to write compare.json and compare.html.
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    pub out: PathBuf,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// `wardsmith ask`.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The model folder, or an adapter's.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Questions, each answered by itself.
    pub prompt: Vec<String>,
    /// Questions from a file, one a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "messages"])]
    pub file: Option<PathBuf>,
    /// A conversation to go on with: a JSON list of {"role": "user", "content": "…"}.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "system"])]
    pub messages: Option<PathBuf>,
    /// Instructions that hold for every question, where the model's template knows such.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// The answer is JSON that follows the JSON schema in this file.
    #[arg(long, value_name = "FILE", conflicts_with = "stop")]
    pub schema: Option<PathBuf>,
    /// Hold the weights in 8 or 4 bits: less memory, faster, rounded.
    #[arg(long, value_name = "8|4", value_parser = bits)]
    pub bits: Option<u8>,
    /// Tokens of an answer at most.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_tokens: u32,
    /// Divides the logits before a draw; 0 takes the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Draw from this many likeliest tokens; 0 for all.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: u32,
    /// Draw from the likeliest tokens that together have this probability.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Draw from tokens with at least this share of the likeliest one's probability.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f32,
    /// Make tokens that stand there already less likely; 1 for not.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Fixes the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// End before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `wardsmith classify`.
#[derive(Debug, Args)]
pub(crate) struct Classify {
    /// The model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Descriptions; standard input, one a line, when none is given.
    pub text: Vec<String>,
    /// The dataset whose labels a language model chooses from; not needed for models that Wardsmith tuned.
    #[arg(long, value_name = "DATASET")]
    pub data: Option<PathBuf>,
    /// Show this many labels.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub top: u16,
    /// Hold the weights in 8 or 4 bits: less memory, faster with long labels, rounded.
    #[arg(long, value_name = "8|4", value_parser = bits)]
    pub bits: Option<u8>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

impl Classify {
    /// `texts` by `model`, everything else as by default.
    pub(crate) fn new(model: PathBuf, text: Vec<String>) -> Self {
        Self { model, text, data: None, top: 3, bits: None, json: false }
    }
}

/// `wardsmith export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A prepared dataset.
    #[arg(long, value_name = "DATASET", required_unless_present = "model")]
    pub data: Option<PathBuf>,
    /// A model folder, or the adapter folder of a run.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub model: Option<PathBuf>,
    /// What to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// How a model's weights are stored; else f32, and f16 in GGUF.
    #[arg(long, value_enum, conflicts_with = "data")]
    pub dtype: Option<ExportDtype>,
    /// A model's weights are split into files of at most this size, such as 2GB or 500MiB.
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size, conflicts_with = "data")]
    pub max_shard_size: u64,
    /// What the dataset is called on its card, or an adapter's base in its configuration.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where to write it: a folder, or a file for GGUF.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Replace an older export.
    #[arg(long)]
    pub overwrite: bool,
}

/// What `wardsmith export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Of a dataset: Parquet files and a dataset card, as the Hugging Face Hub and its `datasets` read them. Of a model: a folder
    /// with everything in it, adapter merged, as Transformers reads it.
    Hf,
    /// Of a dataset: a file of JSON lines a task and split, as TRL, Axolotl and OpenAI's fine-tuning read them.
    Chat,
    /// Of an adapter: an adapter folder, as PEFT reads it.
    Peft,
    /// Of a language model: a file for llama.cpp and what is built on it, tokenizer and chat template inside.
    Gguf,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportDtype {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value, IEEE half.
    F16,
    /// 2 bytes a value, the upper half of an f32.
    Bf16,
    /// 8 bits a value (GGUF).
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits a value (GGUF).
    #[value(name = "q4_0")]
    Q4_0,
}

/// Reads the bits of a weight.
fn bits(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|bits| [8, 4].contains(bits)).ok_or_else(|| "weights are held in 8 or 4 bits".to_owned())
}

/// Reads `5GB`, `500MiB`, or a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit; KB, MB, GB, KiB, MiB and GiB are")),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    bytes.ok_or_else(|| format!("`{text}` is no size such as 5GB"))
}
