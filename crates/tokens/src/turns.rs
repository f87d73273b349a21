//! A conversation's text in turns: what the template writes before each answer, and the answer up to its end token.
//!
//! Both are found by rendering prefixes of the conversation and comparing them, so that any template will do that does
//! not rewrite earlier turns.

use wardsmith_records::conversation::{Message, Role};

use crate::error::{Error, Result};
use crate::template::Template;
use crate::tokenizer::Tokenizer;

/// Stands for an answer when only the text before it is wanted.
const PROBE: &str = "WardsmithProbe";

/// A piece of text that is learned or not.
pub(crate) struct Segment {
    pub(crate) text: String,
    pub(crate) supervised: bool,
    /// The template wrote no end token behind this answer, so the tokenizer's own follows.
    pub(crate) add_eos: bool,
}

/// A template, and whether its generation prompt can be believed.
#[derive(Debug)]
pub(crate) struct Turns {
    template: Template,
    /// Whether the template's generation prompt is what really stands before an answer.
    honest_prompt: bool,
}

impl Turns {
    pub(crate) fn new(template: Template) -> Self {
        Self { honest_prompt: has_honest_prompt(&template), template }
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// The text of `messages`, alternately prompt and answer.
    pub(crate) fn segments(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut written = String::new();
        for (turn, message) in messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let prompt = self.prompt_text(&messages[..turn])?;
            segments.push(prompt_segment(&prompt, &written)?);
            let answer = self.answer_segment(tokenizer, &messages[..=turn], &prompt)?;
            written = prompt + &answer.text;
            segments.push(answer);
        }
        if asked(messages).len() == messages.len() {
            segments.push(prompt_segment(&self.prompt_text(messages)?, &written)?);
        }
        Ok(segments)
    }

    /// The text up to where the next answer begins.
    fn prompt_text(&self, messages: &[Message]) -> Result<String> {
        if self.honest_prompt {
            return self.template.apply(messages, true);
        }
        let mut probed = messages.to_vec();
        probed.push(assistant(PROBE));
        let mut text = self.template.apply(&probed, false)?;
        let at = text.rfind(PROBE).ok_or_else(|| Error::Template {
            place: "as a whole".to_owned(),
            reason: "does not write the assistant's words".to_owned(),
            hint: "it cannot be trained with; delete it to use Wardsmith's own",
        })?;
        text.truncate(at);
        // A space before the answer belongs to its first token ("▁CWE"), as a model generates it.
        text.truncate(text.trim_end_matches(' ').len());
        Ok(text)
    }

    /// What the template writes for the last message behind `prompt`, up to its end token.
    fn answer_segment(&self, tokenizer: &Tokenizer, messages: &[Message], prompt: &str) -> Result<Segment> {
        let full = self.template.apply(messages, false)?;
        let Some(tail) = full.strip_prefix(prompt) else {
            return Err(rewrites());
        };
        let content = messages.last().map_or("", |message| message.content.trim());
        let after = tail.find(content).map_or(0, |at| at + content.len());
        let end = tokenizer.end_of_first_special(&tail[after..]).map(|end| after + end);
        Ok(Segment {
            text: tail[..end.unwrap_or_else(|| after.max(tail.trim_end().len()))].to_owned(),
            supervised: true,
            add_eos: end.is_none(),
        })
    }
}

/// The part of `prompt` that is not `written` yet.
fn prompt_segment(prompt: &str, written: &str) -> Result<Segment> {
    let rest = prompt.strip_prefix(written).ok_or_else(rewrites)?;
    Ok(Segment { text: rest.to_owned(), supervised: false, add_eos: false })
}

fn rewrites() -> Error {
    Error::Template {
        place: "as a whole".to_owned(),
        reason: "rewrites earlier turns when later ones come, so that training and asking would differ".to_owned(),
        hint: "use conversations of one question and one answer, or delete the template to use Wardsmith's own",
    }
}

/// Whether training text really begins with the template's generation prompt (some templates ignore it or add thoughts).
fn has_honest_prompt(template: &Template) -> bool {
    let question = [Message { role: Role::User, content: "a".to_owned() }];
    let answered = [question[0].clone(), assistant(PROBE)];
    let texts = (template.apply(&question, false), template.apply(&question, true), template.apply(&answered, false));
    match texts {
        (Ok(bare), Ok(prompt), Ok(full)) => prompt != bare && full.starts_with(&prompt),
        // The template refuses so small a talk; the real one will show.
        _ => true,
    }
}

pub(crate) fn assistant(content: &str) -> Message {
    Message { role: Role::Assistant, content: content.to_owned() }
}

/// The messages without an answer that ends them.
pub(crate) fn asked(messages: &[Message]) -> &[Message] {
    match messages {
        [asked @ .., last] if last.role == Role::Assistant => asked,
        all => all,
    }
}
