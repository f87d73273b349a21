//! `wardsmith eval`: a model on a dataset, beside its base and classical baselines → answers, report.json, report.html.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wardsmith_eval::baselines::majority::Majority;
use wardsmith_eval::baselines::nearest::Nearest;
use wardsmith_eval::baselines::tfidf::{TfidfLinear, TfidfOptions};
use wardsmith_eval::evaluate::{Bootstrap, compare, evaluate};
use wardsmith_eval::grounding::grounded;
use wardsmith_eval::metric::{Answer, Lineage};
use wardsmith_records::conversation::Role;
use wardsmith_records::dataset::{Dataset, Example, Split};
use wardsmith_records::explain::PRIVATE;
use wardsmith_records::record::CweId;
use wardsmith_records::task::Task;
use wardsmith_train::progress::read_lines;
use wardsmith_train::world::{World, agree, share};

use crate::cli::{self, Method};
use crate::model_manifest::ModelManifest;
use crate::report::{CurvePoint, Report, draw_wrong};
use crate::respond::{self, Choice, Prompt, Respond, Scores, Wanted};
use crate::say::{self, count};
use crate::{interrupt, keys, resolved};

/// Labels of the confusion picture.
pub(super) const CONFUSION_LABELS: usize = 15;
/// Wrong answers that the report shows.
pub(super) const WRONG_ANSWERS: usize = 10;
/// Ranked labels that an answers file keeps.
const RANKED_LABELS: usize = 10;
/// Labels of an answer whose order is certain: as many as a page of wrong answers shows.
const RANKED: usize = 5;

/// Runs the command.
pub(crate) fn run(args: &cli::Eval, world: &dyn World) -> Result<()> {
    if !args.benchmark.is_empty() {
        if world.size() > 1 {
            bail!("a benchmark is asked by one process\nhint: run it without mpirun");
        }
        return super::benchmark::run(args);
    }
    let Some(report) = evaluated(args, world)? else { return Ok(()) };
    report.write_to(&args.out)?;
    for line in table(&report) {
        say::result(line);
    }
    say::note(format_args!("wrote {}", args.out.join("report.html").display()));
    Ok(())
}

/// What all systems are asked, and how answers are graded.
struct Examination<'a> {
    world: &'a dyn World,
    dataset: Dataset,
    task: &'static dyn Task,
    examples: Vec<Example>,
    choices: Vec<Choice>,
    bootstrap: Bootstrap,
    max_new_tokens: usize,
}

/// A system with its answers to all examples.
struct System {
    name: &'static str,
    answers: Vec<Answer>,
    facts: Vec<(String, String)>,
}

/// Asks every system, the questions divided among the ranks, and measures the answers on the one that leads.
fn evaluated(args: &cli::Eval, world: &dyn World) -> Result<Option<Report>> {
    interrupt::flag();
    let examination = agree(world, Examination::open(args, world))?;
    let shown = count(examination.examples.len() as u64);
    say::note(format_args!("asking {shown} questions of the {} split", args.split));
    let make = || std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make `{}`", args.out.display()));
    agree(world, if world.leads() { make() } else { Ok(()) })?;
    let name = if args.base.is_some() { "tuned" } else { "model" };
    let (main, manifest) = examination.ask_folder(name, model_of(args)?, args.method)?;
    let mut systems = vec![main];
    if let Some(base) = &args.base {
        systems.push(examination.ask_folder("base", base, args.method)?.0);
    }
    if !world.leads() {
        return Ok(None);
    }
    if !args.no_baselines {
        systems.extend(examination.baselines()?);
    }
    let report = examination.report(args, &systems, manifest)?;
    // Behind the long work, so that a run which is stopped leaves the answers and the report of one evaluation.
    for system in &systems {
        write_answers(&args.out, system, &examination.hidden())?;
    }
    Ok(Some(report))
}

impl<'a> Examination<'a> {
    fn open(args: &cli::Eval, world: &'a dyn World) -> Result<Self> {
        let data = data_of(args)?;
        let dataset = keys::open(data)?;
        let task = resolved::task_of(&dataset, args.task.as_deref())?;
        let choices = Choice::all(dataset.labels(task.name()), task);
        let split = split_named(&args.split);
        let examples = dataset.examples(task.name(), split)?;
        let most = args.max_examples.map_or(examples.len(), |n| n as usize);
        let examples = resolved::draw(examples, most, args.seed);
        if examples.is_empty() {
            bail!("the {split} split of `{}` is empty\nhint: prepare with other dates", data.display());
        }
        if task.grade(&examples[0], "", &dataset.hierarchy).is_none() {
            bail!("the answers of the task `{}` cannot be graded\nhint: name another one with --task", task.name());
        }
        let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
        let max_new_tokens = args.max_new_tokens.into();
        Ok(Self { world, dataset, task, examples, choices, bootstrap, max_new_tokens })
    }

    /// The answers of the model in `folder`, and what the folder says of it.
    fn ask_folder(&self, name: &'static str, folder: &Path, method: Method) -> Result<(System, Option<ModelManifest>)> {
        let (model, manifest) = agree(self.world, respond::open(folder, None))?;
        let mut system = self.ask(name, &*model, method)?;
        system.facts.push((format!("{name}: SHA-256 of the weights"), resolved::weights_digest(folder)?));
        if let Some(manifest) = &manifest {
            self.check(name, manifest, &mut system)?;
        }
        Ok((system, manifest))
    }

    /// Says whether the model learned from this very dataset, whose splits are known not to overlap.
    fn check(&self, name: &str, manifest: &ModelManifest, system: &mut System) -> Result<()> {
        if !manifest.tasks.contains_key(self.task.name()) {
            // A base that was pretrained on plain texts: the borders of its dataset are told in its recipe.
            return Ok(());
        }
        let same = manifest.dataset_sha256 == resolved::hex(&resolved::dataset_digest(&self.dataset)?);
        let said = match same {
            true => "this one",
            false => "another one: nothing here says that it has not learned from the examples it was asked",
        };
        if !same {
            say::note(format_args!("warning: {name} was tuned on a dataset that is not this one"));
        }
        system.facts.push((format!("{name}: tuned on the dataset"), said.to_owned()));
        Ok(())
    }

    /// The answers of one model.
    fn ask(&self, name: &'static str, model: &dyn Respond, method: Method) -> Result<System> {
        let begun = Instant::now();
        let prompt = |example| Prompt { certain: self.place(example), ..Prompt::of(example, self.task) };
        let examples: Vec<&Example> = share(&self.examples, self.world.rank(), self.world.size()).collect();
        let prompts: Vec<Prompt<'_>> = examples.iter().copied().map(prompt).collect();
        let bar = say::bar(prompts.len() as u64, &format!("asking {name}"));
        let progress = |n: usize| bar.inc(n as u64);
        let method = match method {
            Method::Auto if self.choices.is_empty() || self.task.asks_for_several() => Method::Generate,
            Method::Auto => Method::Score,
            stated => stated,
        };
        if method == Method::Score && self.choices.is_empty() {
            bail!("the task `{}` has no labels to score\nhint: leave --method out, or say generate", self.task.name());
        }
        let answers = match method {
            Method::Auto | Method::Score => {
                let wanted = Wanted { choices: &self.choices, ranked: RANKED, exact: true };
                let scores = model.score(&prompts, wanted, &progress);
                scores.map(|scores| examples.iter().zip(scores).map(|(e, s)| self.scored(e, &s)).collect())
            }
            Method::Generate => {
                let texts = model.generate(&prompts, self.max_new_tokens, &progress);
                texts.map(|texts| examples.iter().zip(texts).map(|(e, text)| self.graded(e, &text)).collect())
            }
        };
        bar.finish_and_clear();
        let answers = self.gathered(answers)?;
        let how = if method == Method::Generate { "written freely" } else { model.chooses() };
        let facts = vec![
            (format!("{name}: model"), model.about()),
            (format!("{name}: answers"), how.to_owned()),
            (format!("{name}: speed"), speed(answers.len(), begun)),
        ];
        Ok(System { name, answers, facts })
    }

    /// The answers of all ranks to their shares, in the order of the examples.
    fn gathered(&self, own: Result<Vec<Answer>>) -> Result<Vec<Answer>> {
        let own = agree(self.world, own)?;
        if self.world.size() == 1 {
            return Ok(own);
        }
        let parts = self.world.gather(&serde_json::to_vec(&own)?)?;
        let read = |part: &Vec<u8>| Ok(serde_json::from_slice::<Vec<Answer>>(part)?.into_iter());
        let mut parts = parts.iter().map(read).collect::<Result<Vec<_>>>()?;
        let ranks = parts.len();
        Ok((0..self.examples.len()).filter_map(|at| parts[at % ranks].next()).collect())
    }

    /// The place of an example's gold label among the choices.
    fn place(&self, example: &Example) -> Option<usize> {
        self.choices.iter().position(|choice| Some(&choice.label) == example.gold.as_ref())
    }

    /// The answer of a model that scored the labels that matter.
    fn scored(&self, example: &Example, scores: &Scores) -> Answer {
        let mut ranked: Vec<(usize, f64)> = scores.nats.iter().copied().enumerate().collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        let best =
            ranked.first().filter(|(_, nats)| nats.is_finite()).map(|&(choice, _)| self.choices[choice].label.clone());
        let place = self.place(example);
        // Without tokens (a classifier) there is no text whose likelihood could be told.
        let tokens = place.and_then(|place| scores.tokens.get(place)).copied().unwrap_or(0);
        let possible = ranked.into_iter().filter(|(_, nats)| nats.is_finite());
        let ranked = possible.map(|(label, nats)| (self.choices[label].label.clone(), nats)).collect();
        let answer = self.graded(example, best.as_deref().unwrap_or_default());
        Answer { ranked, nats: place.filter(|_| tokens > 0).map(|place| -scores.nats[place]), tokens, ..answer }
    }

    /// The answer of a model that wrote `text`.
    fn graded(&self, example: &Example, text: &str) -> Answer {
        let grade = self.task.grade(example, text, &self.dataset.hierarchy).unwrap_or_default();
        let said = example.conversation.text_of(Role::Assistant).unwrap_or_default();
        let answer = Answer {
            id: example.id.clone(),
            hierarchical: Some(grade.credit),
            // The end of the answer is surprising too, and counts as one byte.
            bytes: said.len() + 1,
            ..Answer::default()
        };
        let Some(gold) = &example.gold else {
            let supported = Some(grounded(text, said)).filter(|share| share.all > 0);
            return Answer { parsed: grade.parsed, expected: Some(said.to_owned()), grounded: supported, ..answer };
        };
        if self.task.asks_for_several() {
            let list = |labels: &str| labels.split(", ").map(str::to_owned).collect();
            let set = grade.parsed.as_deref().map(list).unwrap_or_default();
            return Answer { golds: list(gold), set, parsed: grade.parsed, ..answer };
        }
        let lineage = self.lineage(gold, grade.parsed.as_deref());
        Answer { gold: gold.clone(), parsed: grade.parsed, lineage, ..answer }
    }

    /// How a weakness lies to the right one in the dataset's tree; `None` where none is asked for.
    fn lineage(&self, gold: &str, said: Option<&str>) -> Option<Lineage> {
        let gold: CweId = gold.parse().ok()?;
        let said = said.and_then(|said| said.parse().ok());
        let (common, said, gold) = match said {
            Some(said) => self.dataset.hierarchy.lineage(said, gold),
            None => (0, 0, self.dataset.hierarchy.lineage(gold, gold).2),
        };
        Some(Lineage { common, said, gold })
    }

    /// What a model has to beat: the nearest training text, and for labels a linear classifier and the most frequent one.
    fn baselines(&self) -> Result<Vec<System>> {
        let train = self.dataset.examples(self.task.name(), Split::Train)?;
        if train.is_empty() {
            say::note("there is nothing to train baselines on: the training split is empty");
            return Ok(Vec::new());
        }
        let mut systems = Vec::new();
        if !self.choices.is_empty() && !self.task.asks_for_several() {
            systems.extend(self.classical(&train)?);
        }
        systems.push(self.nearest(&train));
        Ok(systems)
    }

    /// The answer of the training example that is most like each.
    fn nearest(&self, train: &[Example]) -> System {
        let begun = Instant::now();
        let inputs: Vec<&str> = train.iter().map(|example| self.task.input(example)).collect();
        let nearest = Nearest::fit(&inputs);
        let asked: Vec<&str> = self.examples.iter().map(|example| self.task.input(example)).collect();
        let said = |place: &Option<usize>| {
            place.and_then(|place| train[place].conversation.text_of(Role::Assistant)).unwrap_or_default()
        };
        let found = nearest.find_all(&asked);
        let answers =
            self.examples.iter().zip(&found).map(|(example, place)| self.graded(example, said(place))).collect();
        let about = "copies the answer of the training text that is most like the question, by BM25";
        let facts = vec![("nearest: model".into(), about.into()), ("nearest: speed".into(), speed(asked.len(), begun))];
        System { name: "nearest", answers, facts }
    }

    /// The majority class and the linear classifier, learned from the training split.
    fn classical(&self, train: &[Example]) -> Result<[System; 2]> {
        let texts: Vec<&str> = train.iter().map(|e| self.task.input(e)).collect();
        let gold: Vec<&str> = train.iter().map(|e| e.gold.as_deref().unwrap_or_default()).collect();
        let begun = Instant::now();
        let bar = say::bar(1, "learning tfidf");
        let tfidf = TfidfLinear::fit(&texts, &gold, &TfidfOptions::default(), &|progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        });
        bar.finish_and_clear();
        let (tfidf, learning) = (tfidf?, begun.elapsed());
        let begun = Instant::now();
        let asked: Vec<&str> = self.examples.iter().map(|e| self.task.input(e)).collect();
        let ranked = tfidf.predict_all(&asked, self.choices.len());
        let about = format!(
            "TF-IDF of words and pairs of words, {} features, one linear classifier a label; learned in {:.1} s",
            count(tfidf.features() as u64),
            learning.as_secs_f64()
        );
        let facts = vec![("tfidf: model".into(), about), ("tfidf: speed".into(), speed(asked.len(), begun))];
        let tfidf = System { name: "tfidf", answers: self.ranked(ranked), facts };
        let majority = Majority::fit(&gold);
        let always = vec![majority.ranked().to_vec(); self.examples.len()];
        let about = majority.ranked().first().map_or_else(String::new, |(label, _)| format!("always {label}"));
        let facts = vec![("majority: model".into(), about)];
        Ok([tfidf, System { name: "majority", answers: self.ranked(always), facts }])
    }

    /// The examples whose texts must not lie in a file.
    fn hidden(&self) -> HashSet<&str> {
        let sealed = self.dataset.is_sealed();
        self.examples.iter().filter(|one| sealed || one.private).map(|one| one.id.as_str()).collect()
    }

    /// What `example` asks about, for others to read; what is encrypted at rest must not lie in a report.
    fn quoted<'e>(&self, example: &'e Example) -> &'e str {
        if example.private || self.dataset.is_sealed() { PRIVATE } else { self.task.input(example) }
    }

    fn ranked(&self, ranked: Vec<Vec<(String, f64)>>) -> Vec<Answer> {
        let answer = |(example, ranked): (&Example, Vec<(String, f64)>)| {
            let best = ranked.first().map(|(label, _)| label.clone()).unwrap_or_default();
            Answer { ranked, ..self.graded(example, &best) }
        };
        self.examples.iter().zip(ranked).map(answer).collect()
    }

    fn report(&self, args: &cli::Eval, systems: &[System], manifest: Option<ModelManifest>) -> Result<Report> {
        let bar = say::bar(systems.len() as u64 * 2, "drawing intervals");
        let mut results = Vec::new();
        let mut comparisons = Vec::new();
        for system in systems {
            results.push(evaluate(system.name, &system.answers, self.bootstrap, CONFUSION_LABELS));
            bar.inc(1);
            respond::go_on()?;
        }
        let main = &systems[0];
        for other in &systems[1..] {
            let pair = compare((main.name, &main.answers), (other.name, &other.answers), self.bootstrap);
            comparisons.push(pair?);
            bar.inc(1);
            respond::go_on()?;
        }
        bar.finish_and_clear();
        let model = model_of(args)?;
        let title = format!("{} on {}", last_parts(model), last_parts(data_of(args)?));
        let mut report = Report::new(&title, self.task.name(), &args.split, results);
        report.comparisons = comparisons;
        report.titles =
            self.dataset.labels(self.task.name()).iter().map(|l| (l.name.clone(), l.title.clone())).collect();
        let run = args.run.clone().or_else(|| model.parent().map(Path::to_path_buf));
        report.curve = run.as_deref().map(curve).unwrap_or_default();
        let texts: HashMap<String, String> =
            self.examples.iter().map(|e| (e.id.clone(), self.quoted(e).to_owned())).collect();
        report.wrong = draw_wrong(&main.answers, &texts, WRONG_ANSWERS);
        report.set_dataset(&self.dataset.manifest);
        report.facts = facts(run.as_deref(), systems);
        report.recipe = manifest.map(|manifest| manifest.recipe);
        Ok(report)
    }
}

/// The command line asks for both where it names no benchmark.
fn model_of(args: &cli::Eval) -> Result<&Path> {
    args.model.as_deref().context("there is no model to ask\nhint: name its folder with --model")
}

fn data_of(args: &cli::Eval) -> Result<&Path> {
    args.data.as_deref().context("there is no dataset to ask from\nhint: name one with --data")
}

fn split_named(name: &str) -> Split {
    Split::ALL.into_iter().find(|split| split.name() == name).unwrap_or(Split::Test)
}

fn speed(questions: usize, begun: Instant) -> String {
    let seconds = begun.elapsed().as_secs_f64();
    format!("{} questions in {seconds:.1} s, {:.0} a second", count(questions as u64), questions as f64 / seconds)
}

/// The last two parts of a path: enough to know it by, nothing of the machine.
fn last_parts(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

fn curve(run: &Path) -> Vec<CurvePoint> {
    let point = |line: &wardsmith_train::progress::Line| CurvePoint {
        step: line.step,
        train_loss: line.loss_nats,
        validation_loss: line.validation_loss_nats,
    };
    read_lines(run).iter().map(point).collect()
}

fn facts(run: Option<&Path>, systems: &[System]) -> Vec<(String, String)> {
    let mut facts = vec![("Made by".to_owned(), concat!("wardsmith ", env!("CARGO_PKG_VERSION")).to_owned())];
    facts.push(("Threads".into(), rayon::current_num_threads().to_string()));
    if let Some(last) = run.and_then(|run| read_lines(run).pop()) {
        let rate = last.tokens as f64 / last.elapsed_s.max(1e-9);
        facts.push((
            "Training".into(),
            format!(
                "{} steps, {} tokens, {:.2} epochs in {:.0} s, {rate:.0} tokens/s",
                count(last.step),
                count(last.tokens),
                last.epoch,
                last.elapsed_s
            ),
        ));
    }
    facts.extend(systems.iter().flat_map(|system| system.facts.clone()));
    facts
}

/// Every answer of a system, a JSON object a line, so that each number can be checked.
///
/// Of an example in `hidden` the texts stay out.
fn write_answers(out: &Path, system: &System, hidden: &HashSet<&str>) -> Result<()> {
    let path: PathBuf = out.join(format!("answers-{}.jsonl", system.name));
    let write = || -> Result<()> {
        let mut text = Vec::new();
        for answer in &system.answers {
            let mut answer = answer.clone();
            answer.ranked.truncate(RANKED_LABELS);
            if answer.expected.is_some() && hidden.contains(answer.id.as_str()) {
                (answer.expected, answer.parsed) = (None, None);
            }
            serde_json::to_writer(&mut text, &answer)?;
            text.write_all(b"\n")?;
        }
        Ok(wardsmith_model::weights::write_atomically(&path, &text)?)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// What the terminal shows; the report has every metric.
const HEADLINES: &[&str] = &[
    "accuracy",
    "top_3",
    "macro_f1",
    "micro_f1",
    "mcc",
    "hierarchical_accuracy",
    "cvss_exact",
    "cvss_metrics",
    "cvss_band",
    "cvss_score_mad",
    "jaccard",
    "mrr",
    "exact_match",
    "token_f1",
    "bleu",
    "rouge_l",
    "invented_identifiers",
    "grounded",
    "unparseable",
    "ece",
    "coverage_at_95",
    "perplexity",
    "bits_per_byte",
];

/// The systems side by side for the terminal.
pub(crate) fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![row("", report.systems.iter().map(|system| system.name.clone()))];
    let Some(widest) = report.systems.iter().max_by_key(|system| system.metrics.len()) else { return lines };
    for metric in widest.metrics.iter().filter(|metric| HEADLINES.contains(&metric.name.as_str())) {
        let cell = |system: &wardsmith_eval::evaluate::SystemResult| {
            system
                .estimate(&metric.name)
                .map_or_else(|| "–".to_owned(), |e| format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high))
        };
        lines.push(row(&metric.name, report.systems.iter().map(cell)));
    }
    let n = report.systems.first().map_or(0, |system| system.answers);
    lines.push(format!("n = {}; brackets are 95 % bootstrap intervals", count(n as u64)));
    for comparison in &report.comparisons {
        if let Some(difference) = comparison.difference("accuracy") {
            let (e, sign) = (&difference.estimate, if difference.estimate.value < 0.0 { "" } else { "+" });
            lines.push(format!(
                "accuracy of {} against {}: {sign}{:.3} [{:.3}, {:.3}], paired",
                comparison.candidate, comparison.reference, e.value, e.low, e.high
            ));
        }
    }
    lines
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:>24}")).collect();
    format!("{head:<22}{}", cells.join(""))
}
