//! `wardsmith ask`: prompts → what a language model writes, as it comes; or JSON that follows a schema.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use wardsmith_model::Model;
use wardsmith_model::cache::Cache;
use wardsmith_model::generate::{Limits, Watch};
use wardsmith_model::head::HeadKind;
use wardsmith_model::layers::workspace::Workspace;
use wardsmith_model::ops::quant::Format;
use wardsmith_model::sample::Sampling;
use wardsmith_records::conversation::{Conversation, Message, Role};
use wardsmith_tokens::Renderer;
use wardsmith_tokens::schema::{Constraint, MAX_SCHEMA_BYTES, Schema};
use wardsmith_tokens::stream::{Stops, TextStream};

use crate::commands::classify::next_line;
use crate::say::{self, Interrupted};
use crate::{cli, interrupt, respond};

/// No file of messages is longer.
const MAX_MESSAGES_BYTES: u64 = 16 << 20;

/// Runs the command.
pub(crate) fn run(args: &cli::Ask) -> Result<()> {
    interrupt::flag();
    let mut asker = Asker::open(args)?;
    if let Some(file) = &args.messages {
        return asker.answer(&messages(file)?).map(drop);
    }
    if let Some(file) = &args.file {
        let file = std::fs::File::open(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        return asker.each_line(&mut BufReader::new(file));
    }
    if !args.prompt.is_empty() {
        return args.prompt.iter().try_for_each(|prompt| asker.answer(&asker.question(prompt)).map(drop));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() && args.schema.is_none() {
        asker.talk(&mut stdin.lock())
    } else {
        asker.each_line(&mut stdin.lock())
    }
}

/// The conversation in a file, which the model is to answer.
fn messages(file: &Path) -> Result<Conversation> {
    let shown = file.display();
    let length = std::fs::metadata(file).with_context(|| format!("cannot read `{shown}`"))?.len();
    if length > MAX_MESSAGES_BYTES {
        bail!("`{shown}` has {} bytes\nhint: a conversation has at most 16 MiB", say::count(length));
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{shown}`"))?;
    serde_json::from_str(&text).with_context(|| {
        format!("`{shown}` is no conversation\nhint: it looks like [{{\"role\": \"user\", \"content\": \"…\"}}]; roles are system, user and assistant")
    })
}

/// A model with how it is asked.
struct Asker<'a> {
    args: &'a cli::Ask,
    model: Model,
    renderer: Renderer,
    schema: Option<Schema>,
    sampling: Sampling,
    limits: Limits,
    /// What earlier prompts left: the next one may begin alike.
    cache: Cache,
    workspace: Workspace,
    answers: usize,
}

/// One answer, also as a JSON line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Answer {
    /// What was asked last.
    prompt: String,
    /// What the model wrote.
    text: String,
    /// The same as JSON, where it follows a schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Why it ends there: `end` (the model's own end token), `stop` (a stop string) or `length`.
    ended: &'static str,
    /// Tokens read.
    prompt_tokens: usize,
    /// Tokens written.
    answer_tokens: usize,
}

impl<'a> Asker<'a> {
    fn open(args: &'a cli::Ask) -> Result<Self> {
        let format = args.bits.map(|bits| if bits == 8 { Format::Q8_0 } else { Format::Q4_0 });
        let (model, renderer, _) = respond::load(&args.model, format)?;
        if model.head.kind != HeadKind::LanguageModel {
            bail!("`{}` is a classifier, which writes no text\nhint: use `wardsmith classify`", args.model.display());
        }
        let schema = args.schema.as_deref().map(|file| schema(file, &model, &renderer)).transpose()?;
        let sampling = Sampling {
            temperature: args.temperature,
            top_k: args.top_k as usize,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
            seed: args.seed,
        };
        sampling.check()?;
        let stop = renderer.tokenizer().eos_id().into_iter().collect();
        let limits = Limits { max_new_tokens: args.max_tokens as usize, stop };
        let cache = Cache::new(&model);
        Ok(Self { args, model, renderer, schema, sampling, limits, cache, workspace: Workspace::default(), answers: 0 })
    }

    /// A prompt as the first question.
    fn question(&self, prompt: &str) -> Conversation {
        let mut conversation = self.nothing_said();
        conversation.messages.push(Message { role: Role::User, content: prompt.to_owned() });
        conversation
    }

    fn nothing_said(&self) -> Conversation {
        let system = self.args.system.iter().map(|text| Message { role: Role::System, content: text.clone() });
        Conversation { messages: system.collect() }
    }

    /// Answers each line by itself.
    fn each_line(&mut self, input: &mut impl BufRead) -> Result<()> {
        while let Some(line) = next_line(input)? {
            let line = line.trim_end_matches(['\n', '\r']);
            if !line.trim().is_empty() {
                self.answer(&self.question(line))?;
            }
            if say::is_closed() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A conversation at the terminal.
    fn talk(&mut self, input: &mut impl BufRead) -> Result<()> {
        say::note("write to it, a line at a time; end with Ctrl-D");
        let mut conversation = self.nothing_said();
        while let Some(line) = next_line(input)? {
            if line.trim().is_empty() {
                continue;
            }
            conversation.messages.push(Message { role: Role::User, content: line.trim_end().to_owned() });
            let text = self.answer(&conversation)?;
            conversation.messages.push(Message { role: Role::Assistant, content: text });
        }
        Ok(())
    }

    /// Answers the conversation and says so; returns the text.
    fn answer(&mut self, conversation: &Conversation) -> Result<String> {
        let prompt = self.renderer.render_prompt(conversation)?;
        let stream = TextStream::new(self.renderer.tokenizer());
        let constraint = self.schema.as_ref().map(Schema::begin).transpose()?;
        let aloud = !self.args.json && constraint.is_none();
        if aloud && self.answers > 0 {
            say::result("");
        }
        self.answers += 1;
        let stops = Stops::new(&self.args.stop);
        let mut listener = Listener { stream, stops, constraint, aloud, text: String::new(), failed: None };
        let how = (&self.limits, &self.sampling);
        let answer = self.model.sample(&mut self.cache, &prompt, how, &mut listener, &mut self.workspace)?;
        listener.end()?;
        if interrupt::raised() {
            if aloud {
                say::result("");
            }
            return Err(Interrupted("stopped".into()).into());
        }
        let length = answer.len() >= self.limits.max_new_tokens
            || self.model.spec.positions.limit().is_some_and(|limit| prompt.len() + answer.len() > limit);
        let ended = if listener.stops.hit() {
            "stop"
        } else if length {
            "length"
        } else {
            "end"
        };
        let (text, value) = match (&self.schema, &mut listener.constraint) {
            (Some(schema), Some(constraint)) => whole(schema, constraint, &answer)?,
            _ => (listener.text, None),
        };
        let prompt_text = conversation.messages.last().map_or(String::new(), |message| message.content.clone());
        let (prompt_tokens, answer_tokens) = (prompt.len(), answer.len());
        if self.args.json {
            let answer = Answer { prompt: prompt_text, text: text.clone(), value, ended, prompt_tokens, answer_tokens };
            say::result(serde_json::to_string(&answer)?);
        } else {
            say::result(if aloud { "" } else { &text });
        }
        Ok(text)
    }
}

/// The schema in a file, for this model.
fn schema(file: &Path, model: &Model, renderer: &Renderer) -> Result<Schema> {
    let shown = file.display();
    let length = std::fs::metadata(file).with_context(|| format!("cannot read `{shown}`"))?.len();
    if length > MAX_SCHEMA_BYTES as u64 {
        bail!("the JSON schema `{shown}` has {} bytes\nhint: it may have 1 MiB", say::count(length));
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{shown}`"))?;
    Schema::new(&text, renderer.tokenizer(), model.spec.vocab).with_context(|| format!("in `{shown}`"))
}

/// A complete answer to a schema, as text and as JSON.
fn whole(schema: &Schema, constraint: &mut Constraint, answer: &[u32]) -> Result<(String, Option<Value>)> {
    if !constraint.is_complete(answer)? {
        bail!(
            "after {} tokens the answer does not follow the schema yet\nhint: raise --max-tokens, or bound the schema's texts and lists (maxLength, maxItems)",
            say::count(answer.len() as u64)
        );
    }
    let text = schema.text(answer)?;
    let value = serde_json::from_str(&text).context("the answer is no JSON")?;
    Ok((text, Some(value)))
}

/// Hears an answer while it is written.
struct Listener<'a> {
    stream: TextStream<'a>,
    stops: Stops,
    constraint: Option<Constraint>,
    /// Whether the text is shown as it comes.
    aloud: bool,
    text: String,
    failed: Option<wardsmith_tokens::Error>,
}

impl Listener<'_> {
    fn hear(&mut self, text: &str) {
        self.text.push_str(text);
        if self.aloud {
            say::piece(text);
        }
    }

    /// What was held back; fails where something went wrong on the way.
    fn end(&mut self) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error.into());
        }
        let rest = self.stream.rest()?;
        let certain = self.stops.push(&rest) + &self.stops.rest();
        self.hear(&certain);
        Ok(())
    }
}

impl Watch for Listener<'_> {
    fn allowed(&mut self, _: usize, answer: &[u32]) -> Option<Vec<bool>> {
        match self.constraint.as_mut()?.allowed(answer) {
            Ok(allowed) => Some(allowed),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn goes_on(&mut self, _: usize, answer: &[u32]) -> bool {
        if self.failed.is_some() || interrupt::raised() || say::is_closed() {
            return false;
        }
        let Some(id) = answer.last().filter(|_| self.constraint.is_none()) else { return true };
        match self.stream.push(*id) {
            Ok(piece) => {
                let certain = self.stops.push(&piece);
                self.hear(&certain);
                !self.stops.hit()
            }
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}
