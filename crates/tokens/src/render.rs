//! Conversations to token ids and the loss mask, made together: what is learned is decided where the text is formed.
//!
//! A conversation becomes *segments*: prompt, answer, prompt, answer. Each is tokenised by itself, so that the tokens a
//! model is asked with are exactly the tokens it was trained behind. An answer ends with the template's end token.
//!
//! Text from outside can never form a special token: `</s>` in an advisory stays four characters
//! ([`Tokenizer`] says where it must be cut; the cut survives the template as a private character).

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use wardsmith_records::conversation::{Conversation, Message, Role};

use crate::error::{Error, Result};
use crate::files::write_renamed;
use crate::template::Template;
use crate::tokenizer::{Place, Tokenizer};
use crate::truncate::shortened;
use crate::turns::{Segment, Turns, asked, assistant};

/// To be raised with every change of what is rendered: cached shards of older versions are made again.
const RENDERING_VERSION: u32 = 2;
/// A user's text is never cut below this; what is then still too long is an error.
const MIN_KEPT_CHARS: usize = 48;
/// No tokenizer has longer tokens in any number.
const MAX_TOKEN_CHARS: usize = 64;

/// Token ids and which of them are to be learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The tokens.
    pub ids: Vec<u32>,
    /// `mask[i]`: token `i` is supervised, that is, it is a target.
    pub mask: Vec<bool>,
    /// Whether the user's text was cut to fit.
    pub truncated: bool,
}

/// How long a rendered conversation may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Prompt and answer together.
    pub max_len_tokens: usize,
    /// Room that every prompt leaves for its answer. Training and asking then cut a long text at the same place.
    pub answer_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_len_tokens: 1024, answer_tokens: 16 }
    }
}

impl Limits {
    fn checked(self) -> Result<Self> {
        if self.max_len_tokens >= 2 && self.answer_tokens < self.max_len_tokens {
            return Ok(self);
        }
        Err(Error::Setting {
            name: "max_len_tokens",
            value: self.max_len_tokens.to_string(),
            reason: "it must be at least 2 and more than `answer_tokens`",
            hint: "1024 is usual",
        })
    }
}

/// A tokenizer with its template and limits: the only maker of prompt text.
#[derive(Debug)]
pub struct Renderer {
    tokenizer: Tokenizer,
    turns: Turns,
    limits: Limits,
}

/// Tokens of a whole conversation, and where its last prompt ends.
struct Tokens {
    ids: Vec<u32>,
    mask: Vec<bool>,
    prompt_len: usize,
}

impl Renderer {
    /// Uses the folder's chat template, or Wardsmith's own where it has none.
    ///
    /// # Errors
    /// The template does not compile, or the limits contradict one another.
    pub fn new(tokenizer: Tokenizer, limits: Limits) -> Result<Self> {
        let template = match tokenizer.chat_template() {
            Some(source) => Template::new(source, tokenizer.special())?,
            None => Template::wardsmith(tokenizer.special(), tokenizer.document_bos().is_some())?,
        };
        Ok(Self { turns: Turns::new(template), limits: limits.checked()?, tokenizer })
    }

    /// The tokens to train on. A [`Role::Document`] is rendered as its first window (see [`Self::windows`]).
    ///
    /// # Errors
    /// No message is the assistant's, the template refuses, or what must stay does not fit the limits.
    pub fn render(&self, conversation: &Conversation) -> Result<Rendered> {
        if let Some(text) = document_text(conversation)? {
            let mut windows = self.windows(text)?;
            let truncated = windows.len() > 1;
            let first = windows.swap_remove(0);
            return Ok(Rendered { truncated, ..first });
        }
        let Some(last) = conversation.messages.iter().rposition(|message| message.role == Role::Assistant) else {
            return Err(Error::Conversation {
                reason: "no message is the assistant's, so there is nothing to learn".to_owned(),
                hint: "add the answer, or make it a document",
            });
        };
        self.fitted(&conversation.messages[..=last])
    }

    /// All training sequences of a conversation: one, or the windows of a document.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_all(&self, conversation: &Conversation) -> Result<Vec<Rendered>> {
        match document_text(conversation)? {
            Some(text) => self.windows(text),
            None => Ok(vec![self.render(conversation)?]),
        }
    }

    /// Everything before the last answer, up to and including the generation prompt: what a model is asked with. An
    /// answer that ends the conversation is not looked at.
    ///
    /// # Errors
    /// It is a document, the template refuses, or what must stay does not fit the limits.
    pub fn render_prompt(&self, conversation: &Conversation) -> Result<Vec<u32>> {
        if document_text(conversation)?.is_some() {
            return Err(Error::Conversation {
                reason: "a document asks nothing".to_owned(),
                hint: "ask with a user's message",
            });
        }
        Ok(self.fitted(asked(&conversation.messages))?.ids)
    }

    /// The tokens of each answer as they follow `prompt`, with the end token: prompt tokens + label tokens are the
    /// tokens of the same conversation in training. They depend on the template alone in practice, so that one call
    /// serves a whole evaluation.
    ///
    /// # Errors
    /// The template refuses the conversation.
    pub fn label_ids<S: AsRef<str>>(&self, prompt: &Conversation, labels: &[S]) -> Result<Vec<Vec<u32>>> {
        let mut messages = asked(&prompt.messages).to_vec();
        // The answer's tokens are its own; a long question would only be rendered again and again.
        for message in messages.iter_mut().filter(|message| message.role == Role::User) {
            message.content = shortened(&message.content, MIN_KEPT_CHARS);
        }
        let asked = messages.len();
        labels
            .iter()
            .map(|label| {
                messages.truncate(asked);
                messages.push(assistant(label.as_ref()));
                let tokens = self.tokens(&messages)?;
                Ok(tokens.ids[tokens.prompt_len..].to_vec())
            })
            .collect()
    }

    /// A plain text as training sequences of at most `max_len_tokens`: bos? + text + eos?, all but the first token
    /// supervised. Each further window begins with the last token of the one before, so that every token is learned once.
    ///
    /// # Errors
    /// The tokenizer fails, or the text is empty.
    pub fn windows(&self, text: &str) -> Result<Vec<Rendered>> {
        let bos = self.tokenizer.document_bos().map(|token| token.id);
        let mut ids: Vec<u32> = bos.into_iter().collect();
        ids.extend(self.tokenizer.encode(text)?);
        ids.extend(self.tokenizer.eos_id());
        if text.trim().is_empty() || ids.len() < 2 {
            return Err(Error::Conversation {
                reason: "the document is empty".to_owned(),
                hint: "leave empty texts out of the dataset",
            });
        }
        let stride = self.limits.max_len_tokens - 1;
        let starts = (0..ids.len() - 1).step_by(stride);
        Ok(starts
            .map(|start| {
                let window = &ids[start..ids.len().min(start + stride + 1)];
                let mut mask = vec![true; window.len()];
                mask[0] = false;
                Rendered { ids: window.to_vec(), mask, truncated: false }
            })
            .collect())
    }

    /// What a classifier reads: the text alone, in the tokens that Transformers' `text-classification` pipeline gives
    /// it, cut at the end where it is too long. Nothing is supervised.
    ///
    /// # Errors
    /// The tokenizer fails, or there is no token at all.
    pub fn render_text(&self, text: &str) -> Result<Rendered> {
        let max_len_tokens = self.limits.max_len_tokens;
        let limit_chars = max_len_tokens.saturating_mul(MAX_TOKEN_CHARS);
        let end = text.char_indices().nth(limit_chars).map_or(text.len(), |(at, _)| at);
        let mut ids: Vec<u32> = self.tokenizer.added_bos().map(|token| token.id).into_iter().collect();
        ids.extend(self.tokenizer.encode(&text[..end])?);
        if ids.is_empty() {
            return Err(Error::Conversation { reason: "the text is empty".to_owned(), hint: "leave empty texts out" });
        }
        let truncated = end < text.len() || ids.len() > max_len_tokens;
        ids.truncate(max_len_tokens);
        Ok(Rendered { mask: vec![false; ids.len()], ids, truncated })
    }

    /// SHA-256 over all that decides how a conversation is rendered.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(RENDERING_VERSION.to_le_bytes());
        hash.update(self.tokenizer.sha256());
        hash.update(self.template().source().as_bytes());
        hash.update((self.limits.max_len_tokens as u64).to_le_bytes());
        hash.update((self.limits.answer_tokens as u64).to_le_bytes());
        hash.finalize().into()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> &Template {
        self.turns.template()
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Writes the tokenizer into a model folder, with the template that was used even where that is Wardsmith's own:
    /// whoever serves the model must ask as it was trained.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save_to(&self, dir: &Path) -> Result<()> {
        self.tokenizer.save_to(dir)?;
        if self.template().is_default() {
            let source = self.template().source();
            write_renamed(&dir.join("chat_template.jinja"), |out| out.write_all(source.as_bytes()))?;
        }
        Ok(())
    }

    /// `messages` with texts that cannot fit in any way cut beforehand, so that a hostile one costs no long search.
    fn bounded(&self, messages: &[Message]) -> Vec<Message> {
        let mut messages = messages.to_vec();
        let limit_chars = self.limits.max_len_tokens.saturating_mul(MAX_TOKEN_CHARS);
        let users = messages.iter_mut().filter(|message| message.role == Role::User);
        for message in users.filter(|message| message.content.len() > limit_chars) {
            message.content = shortened(&message.content, limit_chars);
        }
        messages
    }

    /// The tokens of `messages`, with the longest user's text cut where they are too many.
    fn fitted(&self, messages: &[Message]) -> Result<Rendered> {
        let bounded = self.bounded(messages);
        let tokens = self.tokens(&bounded)?;
        if self.fits(&tokens) {
            return Ok(tokens.rendered(bounded != messages));
        }
        let cut = self.cut_to_fit(&bounded, tokens.ids.len())?;
        Ok(cut.rendered(true))
    }

    /// Searches for the longest user's text with which everything fits (about log2 of its length renderings).
    fn cut_to_fit(&self, messages: &[Message], needed_tokens: usize) -> Result<Tokens> {
        let max_len_tokens = self.limits.max_len_tokens;
        let too_long = |needed_tokens| Error::TooLong { needed_tokens, max_len_tokens };
        let users = messages.iter().enumerate().filter(|(_, message)| message.role == Role::User);
        let (longest, _) = users.max_by_key(|(_, message)| message.content.len()).ok_or(too_long(needed_tokens))?;
        let whole = messages[longest].content.clone();
        let mut messages = messages.to_vec();
        let mut with_kept = |kept_chars| {
            messages[longest].content = shortened(&whole, kept_chars);
            self.tokens(&messages)
        };
        let mut best = with_kept(MIN_KEPT_CHARS)?;
        if !self.fits(&best) {
            return Err(too_long(best.ids.len()));
        }
        let (mut low, mut high) = (MIN_KEPT_CHARS, whole.chars().count());
        while low + 1 < high {
            let middle = low.midpoint(high);
            let tokens = with_kept(middle)?;
            if self.fits(&tokens) {
                (low, best) = (middle, tokens);
            } else {
                high = middle;
            }
        }
        Ok(best)
    }

    fn fits(&self, tokens: &Tokens) -> bool {
        let Limits { max_len_tokens, answer_tokens } = self.limits;
        tokens.ids.len() <= max_len_tokens && tokens.prompt_len <= max_len_tokens - answer_tokens
    }

    /// Tokenises `messages` segment by segment. They end with an answer, or a generation prompt is put behind them.
    fn tokens(&self, messages: &[Message]) -> Result<Tokens> {
        let (messages, mark) = self.defused(messages)?;
        let mut tokens = Tokens { ids: Vec::new(), mask: Vec::new(), prompt_len: 0 };
        for segment in self.turns.segments(&self.tokenizer, &messages)? {
            if segment.supervised {
                tokens.prompt_len = tokens.ids.len();
            }
            self.append(&mut tokens, &segment, mark)?;
        }
        if asked(&messages).len() == messages.len() {
            tokens.prompt_len = tokens.ids.len();
        }
        Ok(tokens)
    }

    fn append(&self, tokens: &mut Tokens, segment: &Segment, mark: Option<char>) -> Result<()> {
        let mut pieces: Vec<&str> = vec![&segment.text];
        if let Some(mark) = mark {
            pieces = segment.text.split(mark).collect();
        }
        for piece in pieces {
            let place = if tokens.ids.is_empty() { Place::Start } else { Place::Continuation };
            tokens.ids.extend(self.tokenizer.encode_markup(piece, place)?);
        }
        if segment.add_eos {
            tokens.ids.extend(self.tokenizer.eos_id());
        }
        tokens.mask.resize(tokens.ids.len(), segment.supervised);
        Ok(())
    }

    /// Puts a private character into every special token that a message's content spells out. `None`: there was none.
    fn defused(&self, messages: &[Message]) -> Result<(Vec<Message>, Option<char>)> {
        let mut messages = messages.to_vec();
        let cuts: Vec<Vec<usize>> = messages.iter().map(|message| self.tokenizer.cuts(&message.content)).collect();
        if cuts.iter().all(Vec::is_empty) {
            return Ok((messages, None));
        }
        let used: HashSet<char> = messages.iter().flat_map(|message| message.content.chars()).collect();
        let mark = ('\u{F0000}'..='\u{FFFFD}').find(|mark| !used.contains(mark)).ok_or(Error::Conversation {
            reason: "it spells out a special token beside all 65,534 private characters".to_owned(),
            hint: "this is no text; leave it out",
        })?;
        for (message, cuts) in messages.iter_mut().zip(cuts) {
            for cut in cuts.into_iter().rev() {
                message.content.insert(cut, mark);
            }
        }
        Ok((messages, Some(mark)))
    }
}

impl Tokens {
    fn rendered(self, truncated: bool) -> Rendered {
        Rendered { ids: self.ids, mask: self.mask, truncated }
    }
}

/// The text of a conversation that is one document; an error where a document stands among other messages.
fn document_text(conversation: &Conversation) -> Result<Option<&str>> {
    let refuse = |reason: &str| {
        Err(Error::Conversation { reason: reason.to_owned(), hint: "a document is a conversation of its own" })
    };
    match conversation.messages.as_slice() {
        [] => refuse("it has no messages"),
        [only] if only.role == Role::Document => Ok(Some(&only.content)),
        all if all.iter().any(|message| message.role == Role::Document) => {
            refuse("a document stands among other messages")
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{renderer, tokenizer};

    fn with_template(source: &str) -> Renderer {
        let template = Template::new(source, tokenizer().special()).unwrap();
        Renderer { turns: Turns::new(template), limits: Limits::default(), tokenizer: tokenizer() }
    }

    fn learned(renderer: &Renderer, rendered: &Rendered) -> String {
        let ids: Vec<u32> =
            (0..rendered.ids.len()).filter(|&at| rendered.mask[at]).map(|at| rendered.ids[at]).collect();
        renderer.tokenizer.decode_with_special(&ids).unwrap()
    }

    fn whole(renderer: &Renderer, rendered: &Rendered) -> String {
        renderer.tokenizer.decode_with_special(&rendered.ids).unwrap()
    }

    #[test]
    fn the_answer_and_its_end_are_learned_and_nothing_else() {
        let renderer = renderer(256);
        let rendered = renderer.render(&Conversation::question("Which CWE? A script runs.", "CWE-79")).unwrap();
        assert_eq!(whole(&renderer, &rendered), "<|endoftext|>Which CWE? A script runs.\nAnswer: CWE-79<|endoftext|>");
        assert_eq!(learned(&renderer, &rendered), " CWE-79<|endoftext|>");
        assert!(!rendered.truncated);
    }

    #[test]
    fn every_answer_of_a_talk_is_learned() {
        let renderer = renderer(256);
        let mut talk = Conversation::question("Which?", "CWE-79");
        talk.messages.extend(Conversation::question("Sure?", "Yes").messages);
        let rendered = renderer.render(&talk).unwrap();
        assert_eq!(learned(&renderer, &rendered), " CWE-79<|endoftext|> Yes<|endoftext|>");
        let prompt = renderer.render_prompt(&talk).unwrap();
        assert_eq!(prompt, rendered.ids[..prompt.len()], "the second question is asked behind the first answer");
        assert!(whole(&renderer, &rendered).ends_with("\nSure?\nAnswer: Yes<|endoftext|>"));
    }

    #[test]
    fn prompt_and_label_are_the_training_tokens() {
        for renderer in [
            renderer(256),
            with_template(
                "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|endoftext|>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
            ),
            with_template(
                "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}",
            ),
            with_template(
                "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
            ),
        ] {
            let question = Conversation::question("A path with dots ", "CWE-22");
            let trained = renderer.render(&question).unwrap();
            let labels = renderer.label_ids(&question, &["CWE-22", "CWE-79"]).unwrap();
            assert_eq!([renderer.render_prompt(&question).unwrap(), labels[0].clone()].concat(), trained.ids);
            assert_ne!(labels[0], labels[1]);
            assert_eq!(labels[0].last(), renderer.tokenizer.eos_id().as_ref(), "{}", learned(&renderer, &trained));
            assert!(learned(&renderer, &trained).trim_start().starts_with("CWE-22"));
        }
    }

    #[test]
    fn a_template_without_a_generation_prompt_still_gives_the_text_before_the_answer() {
        let renderer = with_template("{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}");
        let prompt = renderer.render_prompt(&Conversation::question("Which?", "x")).unwrap();
        assert_eq!(renderer.tokenizer.decode(&prompt).unwrap(), "<user> Which?\n<assistant>");
    }

    #[test]
    fn a_special_token_in_a_question_does_not_become_one() {
        let renderer = renderer(256);
        let eos = renderer.tokenizer.eos_id().unwrap();
        let hostile = Conversation::question("Print <|endoftext|> and go on.", "CWE-79 <|endoftext|>");
        let rendered = renderer.render(&hostile).unwrap();
        assert_eq!(rendered.ids.iter().filter(|&&id| id == eos).count(), 2, "the template's own two");
        assert_eq!(learned(&renderer, &rendered), " CWE-79 <|endoftext|><|endoftext|>");
    }

    #[test]
    fn a_document_is_learned_but_for_its_first_token() {
        let renderer = renderer(256);
        let rendered = renderer.render(&Conversation::document("A path with dots.")).unwrap();
        assert_eq!(whole(&renderer, &rendered), "<|endoftext|>A path with dots.<|endoftext|>");
        assert_eq!(rendered.mask.iter().filter(|&&learned| !learned).count(), 1);
        assert!(!rendered.mask[0]);
    }

    #[test]
    fn windows_of_a_long_document_learn_every_token_once() {
        let renderer = renderer(17);
        let text = "A path with dots leaves the folder of the web server. ".repeat(9);
        let one = crate::testing::renderer(4096).windows(&text).unwrap();
        let many = renderer.windows(&text).unwrap();
        assert!(many.len() > 3 && many.iter().all(|window| (2..=17).contains(&window.ids.len())));
        let learned: Vec<u32> = many.iter().flat_map(|window| window.ids[1..].iter().copied()).collect();
        assert_eq!(learned, one[0].ids[1..]);
        assert!(renderer.render(&Conversation::document(text)).unwrap().truncated);
    }

    #[test]
    fn a_long_question_loses_its_middle_and_keeps_instruction_and_answer() {
        let renderer = renderer(120);
        let text = format!(
            "Name the weakness of this text. {} Answer with its number.",
            "A query is built from what a visitor writes. ".repeat(40)
        );
        let question = Conversation::question(text, "CWE-89");
        let rendered = renderer.render(&question).unwrap();
        assert!(rendered.truncated && rendered.ids.len() <= 120 && rendered.ids.len() > 105, "{}", rendered.ids.len());
        let seen = whole(&renderer, &rendered);
        assert!(seen.starts_with("<|endoftext|>Name the weakness of this text. A query"), "{seen}");
        assert!(seen.contains(" ... ") && seen.ends_with("number.\nAnswer: CWE-89<|endoftext|>"), "{seen}");
        let prompt = renderer.render_prompt(&question).unwrap();
        assert_eq!(prompt, rendered.ids[..prompt.len()], "training and asking cut at the same place");
    }

    #[test]
    fn a_hostile_length_is_cut_like_any_other() {
        let renderer = renderer(64);
        let question = Conversation::question("A path with dots. ".repeat(200_000), "CWE-22");
        let rendered = renderer.render(&question).unwrap();
        assert!(rendered.truncated && (50..=64).contains(&rendered.ids.len()));
        assert_eq!(learned(&renderer, &rendered), " CWE-22<|endoftext|>");
    }

    #[test]
    fn what_cannot_fit_is_told_about() {
        let renderer = renderer(20);
        let question = Conversation::question("A path with dots. ".repeat(20), "CWE-22");
        let message = renderer.render(&question).unwrap_err().to_string();
        assert!(message.contains("the limit is 20") && message.contains("hint:"), "{message}");
    }

    #[test]
    fn what_has_nothing_to_learn_is_refused() {
        let renderer = renderer(64);
        let mut unanswered = Conversation::question("Which?", "x");
        unanswered.messages.pop();
        let mut mixed = unanswered.clone();
        mixed.messages.extend(Conversation::document("text").messages);
        for refused in [&unanswered, &mixed, &Conversation::default(), &Conversation::document(" \n")] {
            assert!(renderer.render(refused).unwrap_err().to_string().contains("hint:"));
        }
        assert!(renderer.render_prompt(&unanswered).is_ok());
    }

    #[test]
    fn a_classifier_reads_the_text_alone_and_its_beginning_where_it_is_long() {
        let (renderer, wide) = (renderer(12), renderer(64));
        let short = wide.render_text("A path </s> <|endoftext|>").unwrap();
        assert_eq!(whole(&wide, &short), "<|endoftext|>A path </s> <|endoftext|>");
        let special = wide.tokenizer.eos_id().unwrap();
        assert!(short.ids[0] == special && !short.ids[1..].contains(&special) && !short.truncated);
        let long = renderer.render_text(&"A path with dots. ".repeat(200_000)).unwrap();
        assert!(long.truncated && long.ids.len() == 12 && long.mask.iter().all(|learned| !learned));
        assert_eq!(renderer.render_text("").unwrap().ids.len(), 1, "the token that begins every text");
    }

    #[test]
    fn a_text_of_all_private_characters_is_refused_and_stops_no_labels() {
        let renderer = renderer(4096);
        let all: String = ('\u{F0000}'..='\u{FFFFD}').collect();
        let hostile = Conversation::question(format!("<|endoftext|>{all}"), "x");
        assert!(renderer.render_prompt(&hostile).unwrap_err().to_string().contains("hint:"));
        assert_eq!(renderer.label_ids(&hostile, &["CWE-79"]).unwrap().len(), 1);
    }

    #[test]
    fn limits_that_leave_no_room_are_refused() {
        let limits = Limits { max_len_tokens: 8, answer_tokens: 8 };
        assert!(Renderer::new(tokenizer(), limits).is_err());
    }

    #[test]
    fn a_saved_renderer_renders_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}).to_string();
        tokenizer().save_to(dir.path()).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        let first = Renderer::new(Tokenizer::load(dir.path()).unwrap(), Limits::default()).unwrap();
        assert!(first.template().is_default());
        let saved = tempfile::tempdir().unwrap();
        first.save_to(saved.path()).unwrap();
        let second = Renderer::new(Tokenizer::load(saved.path()).unwrap(), Limits::default()).unwrap();
        assert!(!second.template().is_default());
        let question = Conversation::question("Which?", "CWE-79");
        assert_eq!(first.render(&question).unwrap(), second.render(&question).unwrap());
    }
}
