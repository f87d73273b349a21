//! `wardsmith demo`: the whole way on what is built in, without a network — prepare, tune, evaluate, classify.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use wardsmith_train::world::{Alone, World};

use crate::cli;
use crate::commands::{classify, eval, prepare, tune};
use crate::demo::{self, ADVISORIES, BASE, CATALOGUE, RECIPE};
use crate::recipe::Recipe;
use crate::say;

/// Lies in every folder that a demo made, so that the next one may clear it.
const MARK: &str = ".wardsmith-demo";
/// What a demo makes.
const PARTS: [&str; 5] = ["feeds", "base", "data", "run", "report"];
/// Two advisories that stand nowhere else: what a user would paste.
const NEW_ADVISORIES: [&str; 2] = [
    "The sort field of the ticket list in Larkmoor Desk 2.3 is pasted into a database query as it stands, so that any \
     customer who is logged in can read the whole table of accounts.",
    "A crafted picture makes the decoder of Tarn Viewer before 1.8 write pixels behind the end of its row buffer, which \
     crashes the program and may let a stranger run code.",
];

/// Runs the command.
pub(crate) fn run(args: &cli::Demo) -> Result<()> {
    let out = &args.out;
    clear(out)?;
    let at = |part: &str| out.join(part);
    step(1, "unpacking a small base model and a feed of advisories");
    write_files(&at("base"), BASE)?;
    let feed = demo::feed(ADVISORIES)?;
    write_files(&at("feeds"), &[("advisories.jsonl", feed.as_bytes()), ("cwe.xml", CATALOGUE)])?;
    let recipe = recipe(out)?;

    step(2, "preparing a dataset: near-duplicates grouped, split by date");
    let Some(prepare) = &recipe.prepare else { bail!("the demo's recipe has no [prepare] table") };
    let dataset = prepare::make(prepare, recipe.seed, &at("data"), false)?;
    prepare::summary(&dataset.manifest.report).iter().for_each(say::note);

    step(3, "tuning a LoRA adapter");
    let world: Rc<dyn World> = Rc::new(Alone);
    tune::tune(&recipe, &at("run"), false, &world)?;

    step(4, "evaluating: base against tuned against two classical baselines");
    let examination = cli::Eval::new(at("run/model"), Some(at("base")), at("data"), at("report"));
    eval::run(&examination, &*world)?;

    step(5, "classifying two new advisories");
    let texts = NEW_ADVISORIES.map(str::to_owned).to_vec();
    classify::run(&cli::Classify::new(at("run/model"), texts))?;
    next(out);
    Ok(())
}

fn step(number: u8, what: &str) {
    say::note(format_args!("\n[{number}/5] {what}"));
}

/// Makes `out` an empty demo folder; only what a demo made is ever removed.
fn clear(out: &Path) -> Result<()> {
    let shown = out.display();
    let mark = out.join(MARK);
    let empty = || out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if out.exists() && !mark.exists() && !empty() {
        bail!("`{shown}` exists and is not a demo's folder\nhint: choose another one with --out");
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder `{shown}`"))?;
    for part in PARTS.map(|part| out.join(part)).iter().filter(|part| part.exists()) {
        std::fs::remove_dir_all(part).with_context(|| format!("cannot clear `{}`", part.display()))?;
    }
    std::fs::write(&mark, "").with_context(|| format!("cannot write into `{shown}`"))
}

fn write_files(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// The built-in recipe with its folders inside `out`; it is left there to be changed and run again.
fn recipe(out: &Path) -> Result<Recipe> {
    let text = std::str::from_utf8(RECIPE).context("the demo's recipe is not UTF-8")?;
    let set =
        |key: &str, part: &str| -> Result<String> { Ok(format!("{key}={}", serde_json::to_string(&out.join(part))?)) };
    let sets = [
        set("prepare.sources.cvelist", "feeds/advisories.jsonl")?,
        set("prepare.sources.cwe", "feeds/cwe.xml")?,
        set("model.base", "base")?,
        set("train.dataset", "data")?,
    ];
    Ok(Recipe::parse(text, "the demo's recipe", &sets)?)
}

fn next(out: &Path) {
    let at = |part: &str| -> String { PathBuf::from(out).join(part).display().to_string() };
    let (report, model, recipe) = (at("report/report.html"), at("run/model"), at("run/recipe.toml"));
    say::result(format_args!(
        "\nThe report:  {report}\nThe model:   {model} (opens in Transformers)\nThe recipe:  {recipe}\n\n\
         What next:\n\
         - Ask it yourself:   wardsmith classify --model {model} \"…\"\n\
         - Your own data:     wardsmith prepare --source nvd=FEEDS --source cwe=cwec_latest.xml.zip --task cwe_classify --out data/cwe\n\
         - A larger base:     copy {recipe}, set model.base to a Hugging Face folder (SmolLM2, TinyLlama)\n\
         \u{20}                    and train.dataset to data/cwe, then: wardsmith tune my.toml --out runs/cwe\n\
         This base has read little and weighs 11 MB: it shows the way, not how good a model can be."
    ));
}
