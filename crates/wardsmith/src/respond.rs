//! All that evaluation and use know of a model: it scores allowed answers, and it writes text.
//!
//! A language model scores answers exactly, over a trie of their tokens, as many as matter, and can also write one freely. A
//! classifier scores the labels it has a class for. What a caller hands over is text; what a model reads is made by
//! [`wardsmith_tokens::Renderer`] and nobody else.

use std::path::Path;

use anyhow::{Result, bail};
use rayon::prelude::*;
use wardsmith_model::cache::Cache;
use wardsmith_model::constrain::{Search, Trie};
use wardsmith_model::generate::Limits;
use wardsmith_model::head::HeadKind;
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::cross_entropy::log_softmax;
use wardsmith_model::ops::quant::Format;
use wardsmith_model::{Batch, Model, Target, adapter};
use wardsmith_records::conversation::Conversation;
use wardsmith_records::dataset::{Example, LabelInfo};
use wardsmith_records::task::Task;
use wardsmith_tokens::Renderer;

use crate::model_manifest::ModelManifest;
use crate::say::{self, Interrupted};
use crate::{interrupt, resolved};

/// Texts of one classifier batch hold about so many tokens.
const TOKENS_PER_BATCH: usize = 4096;
/// Prompts between two looks at Ctrl-C.
const PROMPTS_PER_CHUNK: usize = 64;
/// What the choices that a language model does not score have together, at most, of the probability of those that it scores.
const LEFT_OUT: f64 = 1e-4;
/// For the sake of that, a token of an answer is run for so many of the prompt: some sixth of the prompt's time.
const NODES_PER_TOKENS: usize = 12;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt<'a> {
    /// The question with its instruction, for language models.
    pub(crate) conversation: &'a Conversation,
    /// What is asked about, for classifiers.
    pub(crate) input: &'a str,
    /// The choice that is scored in any case.
    pub(crate) certain: Option<usize>,
}

impl<'a> Prompt<'a> {
    /// What `example` of `task` asks.
    pub(crate) fn of(example: &'a Example, task: &dyn Task) -> Self {
        Self { conversation: &example.conversation, input: task.input(example), certain: None }
    }
}

/// One of the allowed answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The label, such as `CWE-79`: what a classifier's class is called.
    pub(crate) label: String,
    /// The text of the answer, which a language model writes.
    pub(crate) text: String,
}

impl Choice {
    /// The labels of a task's dataset as answers.
    pub(crate) fn all(labels: &[LabelInfo], task: &dyn Task) -> Vec<Self> {
        labels.iter().map(|label| Self { label: label.name.clone(), text: task.answer(label) }).collect()
    }
}

/// How likely each choice is as the answer to one prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    /// ln p(choice | prompt), by choice; minus infinity of one that was not scored, as it cannot matter.
    pub(crate) nats: Vec<f64>,
    /// Tokens of each choice with its end token; empty for classifiers, which have no tokens to be surprised by.
    pub(crate) tokens: Vec<usize>,
    /// What the choices that were not scored have together at most, as a share of the probability of the others.
    pub(crate) left_out: f64,
}

/// What is to be known of the choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The choices.
    pub(crate) choices: &'a [Choice],
    /// So many of the likeliest are scored in any case.
    pub(crate) ranked: usize,
    /// Whether what is left out must be at most 1e-4 of the whole, whatever time it takes: measures of probabilities need it.
    pub(crate) exact: bool,
}

/// Something that answers. `progress` hears how many prompts more are done.
pub(crate) trait Respond {
    /// How it answers, in a word or two for reports.
    fn about(&self) -> String;

    /// How it chooses among given answers.
    fn chooses(&self) -> &'static str;

    /// Scores choices as answers to each prompt: so many of the likeliest, each prompt's certain one, and others until what is
    /// left out is at most 1e-4 of the whole; where that is not asked for, no more than a sixth of the prompt's time allows.
    fn score(&self, prompts: &[Prompt<'_>], wanted: Wanted<'_>, progress: &dyn Fn(usize)) -> Result<Vec<Scores>>;

    /// Writes a text of at most `max_new_tokens` tokens for each prompt, always the likeliest token.
    fn generate(&self, prompts: &[Prompt<'_>], max_new_tokens: usize, progress: &dyn Fn(usize)) -> Result<Vec<String>>;
}

/// Loads the model folder, or the PEFT adapter folder, at `folder`, with its tokenizer and template; its weights in fewer bits
/// where `format` says so.
pub(crate) fn load(folder: &Path, format: Option<Format>) -> Result<(Model, Renderer, Option<ModelManifest>)> {
    let manifest = ModelManifest::read(folder)?;
    let labels = manifest.as_ref().map(ModelManifest::labels).unwrap_or_default();
    let mut model = resolved::trained(folder, &labels)?;
    if let Some(format) = format {
        adapter::merge(&mut model);
        model.quantise(format);
    }
    let max_len_tokens = manifest.as_ref().map_or(resolved::DEFAULT_MAX_LEN_TOKENS, |m| m.max_len_tokens);
    let renderer = resolved::renderer(folder, max_len_tokens, model.spec.positions.limit())?;
    resolved::check_vocabulary(&model, renderer.tokenizer().vocab_size())?;
    Ok((model, renderer, manifest))
}

/// The same as something that answers.
pub(crate) fn open(folder: &Path, format: Option<Format>) -> Result<(Box<dyn Respond>, Option<ModelManifest>)> {
    let (model, renderer, manifest) = load(folder, format)?;
    let respond: Box<dyn Respond> = match model.head.kind {
        HeadKind::LanguageModel => Box::new(LanguageModel { model, renderer }),
        HeadKind::Classifier => match model.labels() {
            Some(labels) => Box::new(Classifier { model, renderer, labels }),
            None => {
                bail!("the classifier `{}` names no labels\nhint: its config.json lacks `id2label`", folder.display())
            }
        },
    };
    Ok((respond, manifest))
}

fn shape(model: &Model) -> String {
    format!("{} with {} weights", model.family.model_type(), say::count(model.params.count(false) as u64))
}

/// Fails once Ctrl-C was pressed.
pub(crate) fn go_on() -> Result<()> {
    if interrupt::raised() {
        return Err(Interrupted("stopped; nothing was written".into()).into());
    }
    Ok(())
}

/// `work` on all prompts, on all processors, in order.
fn for_each<T: Send>(
    prompts: &[Prompt<'_>],
    progress: &dyn Fn(usize),
    work: impl Fn(&Prompt<'_>, &mut Workspace) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(prompts.len());
    for chunk in prompts.chunks(PROMPTS_PER_CHUNK) {
        go_on()?;
        let done = chunk.par_iter().map_init(Workspace::default, |workspace, prompt| work(prompt, workspace));
        all.extend(done.collect::<Result<Vec<T>>>()?);
        progress(chunk.len());
    }
    Ok(all)
}

struct LanguageModel {
    model: Model,
    renderer: Renderer,
}

impl Respond for LanguageModel {
    fn chooses(&self) -> &'static str {
        "the label whose text is the likeliest answer to the instruction and the description"
    }

    fn about(&self) -> String {
        format!("language model, {}", shape(&self.model))
    }

    fn score(
        &self,
        prompts: &[Prompt<'_>],
        Wanted { choices, ranked, exact }: Wanted<'_>,
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Scores>> {
        let Some(first) = prompts.first() else { return Ok(Vec::new()) };
        let texts: Vec<&str> = choices.iter().map(|choice| choice.text.as_str()).collect();
        let answers = self.renderer.label_ids(first.conversation, &texts)?;
        let trie = Trie::new(&answers)?;
        let tokens: Vec<usize> = answers.iter().map(Vec::len).collect();
        let render = |prompt: &Prompt<'_>| Ok((self.renderer.render_prompt(prompt.conversation)?, prompt.certain));
        let mut all = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(PROMPTS_PER_CHUNK) {
            go_on()?;
            let chunk: Vec<_> = chunk.par_iter().map(render).collect::<Result<_>>()?;
            let shared = self.beginning(&chunk)?;
            let score = |(workspace, cache): &mut (Workspace, Cache), (ids, certain): &(Vec<u32>, Option<usize>)| {
                let budget = if exact { usize::MAX } else { ids.len() / NODES_PER_TOKENS };
                let search = Search { most: ranked, left_out: LEFT_OUT, budget, certain: *certain };
                let found = self.model.search_answers(cache, ids, (&trie, search), workspace)?;
                let exact = |(nats, exact): (f64, bool)| if exact { nats } else { f64::NEG_INFINITY };
                let nats = found.nats.into_iter().zip(found.exact).map(exact).collect();
                Ok(Scores { nats, tokens: tokens.clone(), left_out: found.left_out })
            };
            let done = chunk.par_iter().map_init(|| (Workspace::default(), shared.clone()), score);
            all.extend(done.collect::<Result<Vec<_>>>()?);
            progress(chunk.len());
        }
        Ok(all)
    }

    fn generate(&self, prompts: &[Prompt<'_>], max_new_tokens: usize, progress: &dyn Fn(usize)) -> Result<Vec<String>> {
        let tokenizer = self.renderer.tokenizer();
        let limits = Limits { max_new_tokens, stop: tokenizer.eos_id().into_iter().collect() };
        for_each(prompts, progress, |prompt, workspace| {
            let ids = self.renderer.render_prompt(prompt.conversation)?;
            Ok(tokenizer.decode(&self.model.generate(&ids, &limits, workspace)?)?)
        })
    }
}

impl LanguageModel {
    /// A cache of what all prompts begin with, such as the instruction: it is run once for them all.
    fn beginning(&self, prompts: &[(Vec<u32>, Option<usize>)]) -> Result<Cache> {
        let mut cache = Cache::new(&self.model);
        let [(first, _), others @ ..] = prompts else { return Ok(cache) };
        let common = |ids: &Vec<u32>| first.iter().zip(ids).take_while(|(a, b)| a == b).count();
        let shared = others.iter().map(|(ids, _)| common(ids)).min().unwrap_or(0);
        if shared > 0 {
            self.model.prefill_from(&mut cache, &first[..shared], &mut Workspace::default())?;
        }
        Ok(cache)
    }
}

struct Classifier {
    model: Model,
    renderer: Renderer,
    /// By class.
    labels: Vec<String>,
}

impl Classifier {
    /// The place of each choice among the classes, where it has one.
    fn classes(&self, choices: &[Choice]) -> Result<Vec<Option<usize>>> {
        let place = |choice: &Choice| self.labels.iter().position(|label| *label == choice.label);
        let classes: Vec<Option<usize>> = choices.iter().map(place).collect();
        let missing = classes.iter().filter(|class| class.is_none()).count();
        if missing == classes.len() {
            let first = |labels: &mut dyn Iterator<Item = &String>| labels.next().cloned().unwrap_or_default();
            bail!(
                "the classifier knows none of the {missing} labels (it has such as `{}`, asked for are such as `{}`)\nhint: use the dataset whose labels it was tuned on",
                first(&mut self.labels.iter()),
                first(&mut choices.iter().map(|choice| &choice.label))
            );
        }
        if missing > 0 {
            say::note(format_args!("warning: the classifier has no class for {missing} of {} labels", classes.len()));
        }
        Ok(classes)
    }

    /// Rendered texts in batches of about [`TOKENS_PER_BATCH`] tokens; the target of each is its last token.
    fn batches(&self, prompts: &[Prompt<'_>]) -> Result<Vec<Batch>> {
        let rendered: Vec<_> =
            prompts.par_iter().map(|prompt| self.renderer.render_text(prompt.input)).collect::<Result<_, _>>()?;
        let mut batches: Vec<Batch> = Vec::new();
        for text in rendered {
            let fits = |batch: &&mut Batch| batch.ids.len() + text.ids.len() <= TOKENS_PER_BATCH;
            if batches.last_mut().as_ref().is_none_or(|last| !fits(last)) {
                batches.push(Batch::default());
            }
            let batch = batches.last_mut().expect("one was just pushed where there was none");
            batch.ids.extend(&text.ids);
            batch.lengths.push(text.ids.len());
            batch.targets.push(Target { position: batch.ids.len() as u32 - 1, token: 0 });
        }
        Ok(batches)
    }
}

impl Respond for Classifier {
    fn chooses(&self) -> &'static str {
        "the likeliest class of the description alone"
    }

    fn about(&self) -> String {
        format!("classifier over {} labels, {}", self.labels.len(), shape(&self.model))
    }

    fn score(
        &self,
        prompts: &[Prompt<'_>],
        Wanted { choices, .. }: Wanted<'_>,
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Scores>> {
        let classes = self.classes(choices)?;
        let mut workspace = Workspace::default();
        let mut all = Vec::with_capacity(prompts.len());
        for batch in self.batches(prompts)? {
            go_on()?;
            let mut logits = self.model.logits(&batch, &mut workspace)?;
            for row in logits.chunks_exact_mut(self.labels.len()) {
                log_softmax(row);
                let nats = |class: &Option<usize>| class.map_or(f64::NEG_INFINITY, |class| f64::from(row[class]));
                all.push(Scores { nats: classes.iter().map(nats).collect(), tokens: Vec::new(), left_out: 0.0 });
            }
            progress(batch.lengths.len());
        }
        Ok(all)
    }

    fn generate(&self, _: &[Prompt<'_>], _: usize, _: &dyn Fn(usize)) -> Result<Vec<String>> {
        bail!("a classifier writes no text\nhint: let it choose a label, with `--method score`")
    }
}
