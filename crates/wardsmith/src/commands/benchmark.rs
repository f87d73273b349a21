//! `wardsmith eval --benchmark NAME=FILE`: published questions → answers, report.json, report.html; a folder a benchmark.
//!
//! Nothing here depends on the time: the same model and file give the same bytes, also where the work was stopped between.

mod against;
mod given;
mod sheet;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wardsmith_eval::benchmarks::{self, Benchmark};
use wardsmith_eval::evaluate::{Bootstrap, compare, evaluate};
use wardsmith_eval::extract::RULES;
use wardsmith_eval::item::{Asked, Item};
use wardsmith_eval::metric::Answer;
use wardsmith_records::conversation::{Conversation, Message, Role};
use wardsmith_records::manifest::InputSummary;
use wardsmith_records::task::Task;
use wardsmith_records::tasks::cwe_classify::{self, CweClassify};

use self::sheet::{Settings, Sheet};
use super::eval::{CONFUSION_LABELS, WRONG_ANSWERS, table};
use crate::cli::{self, Method};
use crate::model_manifest::ModelManifest;
use crate::report::{Report, draw_wrong};
use crate::respond::{self, Choice, Prompt, Respond, Scores, Wanted};
use crate::say::{self, count};
use crate::{interrupt, resolved};

/// Items between two looks at Ctrl-C, whose answers are kept together.
const ITEMS_PER_CHUNK: usize = 32;
/// Choices of an item whose order is certain.
const RANKED: usize = 8;

/// Runs the command.
pub(crate) fn run(args: &cli::Eval) -> Result<()> {
    interrupt::flag();
    // All files are read before the first question is asked.
    let exams = args.benchmark.iter().map(|named| Exam::open(named, args)).collect::<Result<Vec<_>>>()?;
    if args.answers.is_some() && exams.len() > 1 {
        bail!("--answers is about one benchmark, and {} were named\nhint: run once for each", exams.len());
    }
    for exam in exams {
        let out = args.out.join(exam.benchmark.name);
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make `{}`", out.display()))?;
        let report = exam.examined(args, &out)?;
        report.write_to(&out)?;
        say::result(format_args!("{}: {}", exam.benchmark.name, exam.benchmark.about));
        for line in table(&report) {
            say::result(line);
        }
        say::note(format_args!("wrote {}", out.join("report.html").display()));
    }
    Ok(())
}

/// A benchmark with its items.
struct Exam {
    benchmark: &'static Benchmark,
    input: InputSummary,
    items: Vec<Item>,
}

/// A system's answers to all items, and what is to be said of it.
struct System {
    name: &'static str,
    answers: Vec<Answer>,
    facts: Vec<(String, String)>,
}

impl Exam {
    /// The benchmark of `NAME=FILE`.
    fn open(named: &str, args: &cli::Eval) -> Result<Self> {
        let Some((name, file)) = named.split_once('=') else {
            bail!("`{named}` is no NAME=FILE\nhint: as --benchmark cti-rcm=cti-rcm.tsv");
        };
        let benchmark = benchmarks::by_name(name)?;
        let (input, mut items) = benchmark.open(&PathBuf::from(file))?;
        items.truncate(args.max_examples.map_or(usize::MAX, |most| most as usize));
        Ok(Self { benchmark, input, items })
    }

    fn examined(&self, args: &cli::Eval, out: &Path) -> Result<Report> {
        let asked = count(self.items.len() as u64);
        say::note(format_args!("{}: {asked} items, SHA-256 {}", self.benchmark.name, self.input.sha256));
        let mut systems = Vec::new();
        if let Some(file) = &args.answers {
            let facts = vec![("answers: file".to_owned(), digest_of(file)?)];
            systems.push(System { name: "answers", answers: given::answers(file, &self.items)?, facts });
        }
        let name = if args.base.is_some() { "tuned" } else { "model" };
        for (name, folder) in [(name, &args.model), ("base", &args.base)] {
            if let Some(folder) = folder {
                systems.push(self.ask(name, folder, args, out)?);
            }
        }
        if !args.against.is_empty() {
            self.against(args, &mut systems, out)?;
        }
        if !args.no_baselines {
            systems.extend(self.constant());
        }
        self.report(args, &systems)
    }

    /// The answers of the model in `folder`.
    fn ask(&self, name: &'static str, folder: &Path, args: &cli::Eval, out: &Path) -> Result<System> {
        let (model, manifest) = respond::open(folder, None)?;
        let digest = resolved::weights_digest(folder)?;
        let settings = Settings {
            made_by: concat!("wardsmith ", env!("CARGO_PKG_VERSION")).into(),
            benchmark: self.benchmark.name.into(),
            sha256: self.input.sha256.clone(),
            system: digest.clone(),
            method: format!("{:?}", args.method),
            rules: RULES.into(),
            max_new_tokens: args.max_new_tokens.into(),
            items: self.items.len(),
        };
        let asker = Asker { model: &*model, manifest: manifest.as_ref(), method: args.method, settings: &settings };
        let mut sheet = Sheet::open(out, name, &settings)?;
        let bar = say::bar(self.items.len() as u64, &format!("asking {name}"));
        bar.set_position(sheet.answers.len() as u64);
        let rest = self.items.get(sheet.answers.len()..).unwrap_or_default();
        for items in rest.chunks(ITEMS_PER_CHUNK) {
            if let Err(error) = respond::go_on() {
                bar.finish_and_clear();
                say::note("what was answered is kept; the same command goes on");
                return Err(error);
            }
            let answers = asker.answers(items)?;
            sheet.add(answers)?;
            bar.inc(items.len() as u64);
        }
        bar.finish_and_clear();
        let facts = vec![
            (format!("{name}: model"), model.about()),
            (format!("{name}: SHA-256 of the weights"), digest),
            (format!("{name}: answers"), asker.ways(&self.items)),
        ];
        Ok(System { name, answers: sheet.finish()?, facts })
    }

    /// Static analysers beside what was asked so far.
    fn against(&self, args: &cli::Eval, systems: &mut Vec<System>, out: &Path) -> Result<()> {
        let mut tools = against::run(&args.against, &self.items)?;
        tools.extend(against::union(&tools));
        for tool in &tools {
            let facts = vec![(format!("{}: version", tool.name), tool.about())];
            systems.push(System { name: tool.name, answers: tool.answers(&self.items), facts });
        }
        let all: Vec<(&str, &[Answer])> = systems.iter().map(|system| (system.name, &system.answers[..])).collect();
        against::compare(&self.items, &all, out)
    }

    /// What a system gets that knows no question: always the most frequent key.
    fn constant(&self) -> Option<System> {
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for key in self.items.iter().filter_map(|item| key(&item.asked)) {
            *keys.entry(key).or_default() += 1;
        }
        let (best, times) = keys.into_iter().max_by_key(|(_, times)| *times)?;
        let answers: Vec<Answer> = self.items.iter().map(|item| item.grade(&best)).collect();
        let about = format!("always {best}, the key of {} items", count(times as u64));
        Some(System { name: "constant", answers, facts: vec![("constant: model".into(), about)] })
    }

    fn report(&self, args: &cli::Eval, systems: &[System]) -> Result<Report> {
        let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
        let judged: Vec<bool> = self.items.iter().map(Item::is_judged).collect();
        let judged_of = |answers: &[Answer]| -> Vec<Answer> {
            answers.iter().zip(&judged).filter(|(_, judged)| **judged).map(|(answer, _)| answer.clone()).collect()
        };
        let answers: Vec<Vec<Answer>> = systems.iter().map(|system| judged_of(&system.answers)).collect();
        let result =
            |(system, answers): (&System, &Vec<Answer>)| evaluate(system.name, answers, bootstrap, CONFUSION_LABELS);
        let results = systems.iter().zip(&answers).map(result).collect();
        let mut report = Report::new(self.benchmark.about, self.benchmark.name, "published", results);
        for (system, others) in systems.iter().zip(&answers).skip(1) {
            let pair = compare((systems[0].name, &answers[0]), (system.name, others), bootstrap);
            report.comparisons.push(pair?);
        }
        let texts: HashMap<String, String> =
            self.items.iter().map(|item| (item.id.clone(), item.prompt.clone())).collect();
        report.wrong = draw_wrong(&answers[0], &texts, WRONG_ANSWERS);
        report.facts = self.facts(&judged);
        report.facts.extend(systems.iter().flat_map(|system| system.facts.clone()));
        Ok(report)
    }

    fn facts(&self, judged: &[bool]) -> Vec<(String, String)> {
        let mut facts = vec![
            ("Made by".to_owned(), concat!("wardsmith ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("Benchmark".into(), format!("{}, {}", self.benchmark.name, self.benchmark.about)),
            ("Benchmark: SHA-256 of the file".into(), self.input.sha256.clone()),
            ("Benchmark: items".into(), count(self.items.len() as u64)),
            ("Answers are read by".into(), format!("{RULES}; what it cannot read is wrong and counts")),
        ];
        let unjudged = judged.iter().filter(|judged| !**judged).count();
        if unjudged > 0 {
            let what = format!("{}, asked and kept but not scored: no rule can judge them", count(unjudged as u64));
            facts.push(("Benchmark: items without a judge".into(), what));
        }
        facts
    }
}

/// Asks a model, each item in the best way that the model has.
struct Asker<'a> {
    model: &'a dyn Respond,
    manifest: Option<&'a ModelManifest>,
    method: Method,
    settings: &'a Settings,
}

impl Asker<'_> {
    /// One answer an item, in order.
    fn answers(&self, items: &[Item]) -> Result<Vec<Answer>> {
        let mut answers: Vec<Option<Answer>> = vec![None; items.len()];
        let mut ways: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        let choices: Vec<Vec<Choice>> = items.iter().map(|item| self.choices(item)).collect();
        for (place, choices) in choices.iter().enumerate() {
            ways.entry(choices.iter().map(|choice| choice.text.clone()).collect()).or_default().push(place);
        }
        for places in ways.into_values() {
            let choices = &choices[places[0]];
            let asked: Vec<(Conversation, &str)> =
                places.iter().map(|&place| self.asked(&items[place], choices)).collect();
            let prompts: Vec<Prompt<'_>> =
                asked.iter().map(|(conversation, input)| Prompt { conversation, input, certain: None }).collect();
            let found: Vec<Answer> = if choices.is_empty() {
                let texts = self.model.generate(&prompts, self.settings.max_new_tokens, &|_| ())?;
                places.iter().zip(texts).map(|(&place, text)| items[place].grade(&text)).collect()
            } else {
                let wanted = Wanted { choices, ranked: RANKED, exact: true };
                let scores = self.model.score(&prompts, wanted, &|_| ())?;
                places.iter().zip(scores).map(|(&place, scores)| scored(&items[place], choices, &scores)).collect()
            };
            for (place, answer) in places.into_iter().zip(found) {
                answers[place] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.context("an item was not asked")).collect()
    }

    /// What the model chooses from; nothing where it writes.
    fn choices(&self, item: &Item) -> Vec<Choice> {
        if self.method == Method::Generate {
            return Vec::new();
        }
        if let (Asked::Weakness(_), Some(labels)) = (&item.asked, self.labels()) {
            return Choice::all(labels, &CweClassify);
        }
        let plain = |label: String| Choice { text: label.clone(), label };
        item.choices().into_iter().map(plain).collect()
    }

    /// The weaknesses that the model was tuned to choose from.
    fn labels(&self) -> Option<&[wardsmith_records::dataset::LabelInfo]> {
        self.manifest?.tasks.get(CweClassify.name()).map(Vec::as_slice).filter(|labels| !labels.is_empty())
    }

    /// What the model reads: a weakness that it was tuned for is asked as in its training, all else as the benchmark asks.
    fn asked<'a>(&self, item: &'a Item, choices: &[Choice]) -> (Conversation, &'a str) {
        let input = item.subject.as_deref().unwrap_or(&item.prompt);
        if matches!(item.asked, Asked::Weakness(_)) && !choices.is_empty() && item.subject.is_some() {
            return (Conversation::question(cwe_classify::question(input), ""), input);
        }
        let mut conversation = Conversation::question(item.prompt.as_str(), "");
        if let Some(system) = &item.system {
            conversation.messages.insert(0, Message { role: Role::System, content: system.clone() });
        }
        (conversation, input)
    }

    /// In which ways the items are asked, in words.
    fn ways(&self, items: &[Item]) -> String {
        let chosen = items.iter().filter(|item| !self.choices(item).is_empty()).count();
        let (chosen, written) = (count(chosen as u64), items.len() - chosen);
        let written = count(written as u64);
        format!("{chosen} chosen ({}), {written} written freely, the likeliest token each time", self.model.chooses())
    }
}

/// The answer of a model that scored every choice.
fn scored(item: &Item, choices: &[Choice], scores: &Scores) -> Answer {
    let mut ranked: Vec<(String, f64)> =
        choices.iter().zip(&scores.nats).map(|(choice, nats)| (choice.label.clone(), *nats)).collect();
    ranked.retain(|(_, nats)| nats.is_finite());
    ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
    let best = ranked.first().map(|(label, _)| label.clone()).unwrap_or_default();
    Answer { ranked, ..item.grade(&best) }
}

/// A text that would be right, where one can be told.
fn key(asked: &Asked) -> Option<String> {
    let letters = |letters: &[char]| letters.iter().map(char::to_string).collect::<Vec<_>>().join(", ");
    match asked {
        Asked::Letter { gold, .. } => gold.map(String::from),
        Asked::Letters { golds, .. } => Some(letters(golds)).filter(|key| !key.is_empty()),
        Asked::Weakness(gold) => Some(gold.clone()),
        Asked::Vector(gold) => Some(gold.to_string()),
        Asked::Score(gold) => Some(format!("{gold:.1}")),
        Asked::Techniques(golds) | Asked::Mitigations(golds) => Some(golds.join(", ")),
        Asked::Name(golds) => golds.first().cloned(),
        Asked::Vulnerable { gold, .. } => Some(if *gold { "yes" } else { "no" }.into()),
        _ => None,
    }
}

/// The last part of a file's path and the SHA-256 of its bytes.
fn digest_of(file: &Path) -> Result<String> {
    use sha2::Digest as _;
    let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!("{name}, SHA-256 {}", resolved::hex(&sha2::Sha256::digest(&bytes))))
}
