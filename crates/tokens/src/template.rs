//! The chat template: the one place that turns messages into prompt text, as Transformers' `apply_chat_template` does.
//!
//! Templates are Jinja programs from foreign folders. They run here on minijinja with Python's ways (`trim_blocks`,
//! `lstrip_blocks`, string methods, `tojson` without HTML escapes) and in a sandbox: bounded steps and bounded output.

use std::io::Write;

use minijinja::value::{Kwargs, Value};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Output, State};
use wardsmith_records::conversation::{Message, Role};

use crate::error::{Error, Result};
use crate::special::SpecialTokens;
use crate::tojson::to_json;

/// Wardsmith's own instruction template, for folders that have none. Three tokens a question on GPT-2; the answer
/// begins with a space, as a word in running text does.
pub const DEFAULT_TEMPLATE: &str = "{% for message in messages %}\
{% if message['role'] == 'assistant' %}{{ '\\nAnswer: ' + message['content'] }}{{ eos_token }}\
{% else %}{% if not loop.first %}{{ '\\n' }}{% endif %}{{ message['content'] }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}{{ '\\nAnswer:' }}{% endif %}";

const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Steps of the template machine for one rendering; a real template needs a few dozen a message.
const FUEL: u64 = 5_000_000;
const MAX_OUTPUT_BYTES: usize = 64 << 20;
const NAME: &str = "chat_template";

/// A compiled chat template with the special tokens it may write.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    source: String,
    special: Vec<(&'static str, String)>,
    is_default: bool,
}

impl Template {
    /// Compiles a folder's chat template.
    ///
    /// # Errors
    /// The template is too large or is not Jinja.
    pub fn new(source: &str, special: &SpecialTokens) -> Result<Self> {
        Self::compile(source, special, false)
    }

    /// Wardsmith's own template, beginning with `bos` where the tokenizer puts it before every text.
    ///
    /// # Errors
    /// None in practice: the text is a constant.
    pub fn wardsmith(special: &SpecialTokens, adds_bos: bool) -> Result<Self> {
        let begin = if adds_bos { "{{ bos_token }}" } else { "" };
        Self::compile(&format!("{begin}{DEFAULT_TEMPLATE}"), special, true)
    }

    fn compile(source: &str, special: &SpecialTokens, is_default: bool) -> Result<Self> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(Error::Template {
                place: "as a whole".to_owned(),
                reason: format!("it has {} bytes, more than {MAX_TEMPLATE_BYTES}", source.len()),
                hint: "is this really a chat template?",
            });
        }
        let mut environment = python_like();
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| explain(&error))?;
        let roles = [("bos_token", &special.bos), ("eos_token", &special.eos), ("pad_token", &special.pad), ("unk_token", &special.unk)];
        let special = roles.into_iter().filter_map(|(name, token)| Some((name, token.as_ref()?.text.clone()))).collect();
        Ok(Self {
            environment,
            source: source.to_owned(),
            special,
            is_default,
        })
    }

    /// The text of `messages`; with `add_generation_prompt` up to where the assistant's next words begin.
    ///
    /// # Errors
    /// The template refuses the messages, uses something unknown, or runs too long.
    pub fn apply(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let template = self.environment.get_template(NAME).expect("compiled in the constructor");
        let mut text = Capped(Vec::new());
        let rendered = template.render_captured_to(self.context(messages, add_generation_prompt), &mut text);
        match rendered {
            Ok(_) => Ok(String::from_utf8(text.0).expect("a template writes only UTF-8")),
            Err(error) => Err(explain(&error)),
        }
    }

    fn context(&self, messages: &[Message], add_generation_prompt: bool) -> Value {
        let messages: Vec<Value> = messages.iter().map(message_value).collect();
        let special = self.special.iter().map(|(name, text)| (*name, Value::from(text.as_str())));
        let own = [
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        own.into_iter().chain(special).collect()
    }

    /// The Jinja text, as it belongs into a model folder.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether this is Wardsmith's own template, because the folder had none.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.is_default
    }
}

fn message_value(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Document => "document",
    };
    [("role", Value::from(role)), ("content", Value::from(message.content.as_str()))].into_iter().collect()
}

fn python_like() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(python_formatter);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", |value: Value, indent: Option<usize>, options: Kwargs| {
        let indent = match indent {
            Some(indent) => Some(indent),
            None => options.get::<Option<usize>>("indent")?,
        };
        options.get::<Option<bool>>("ensure_ascii")?;
        options.assert_all_used()?;
        to_json(&value, indent)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{message}")))
    });
    environment
}

const REFUSED: &str = "the template refuses: ";

/// Python writes its constants with a capital letter.
fn python_formatter(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = if value.is_none() {
        "None"
    } else if *value == Value::from(true) && value.kind() == minijinja::value::ValueKind::Bool {
        "True"
    } else if value.kind() == minijinja::value::ValueKind::Bool {
        "False"
    } else {
        return minijinja::escape_formatter(out, state, value);
    };
    out.write_str(text).map_err(minijinja::Error::from)
}

/// Transformers' `{% generation %}` marks the assistant's words; here the mask is found otherwise, so the mark is
/// replaced by a block that does nothing and trims the same whitespace.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(close) = rest[open..].find("%}").map(|at| open + at) else { break };
        let inside = &rest[open + 2..close];
        let keyword = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let replaced = match keyword {
            "generation" => inside.replace("generation", "if true"),
            "endgeneration" => inside.replace("endgeneration", "endif"),
            _ => inside.to_owned(),
        };
        out.push_str(&rest[..open + 2]);
        out.push_str(&replaced);
        out.push_str("%}");
        rest = &rest[close + 2..];
    }
    out.push_str(rest);
    out
}

fn explain(error: &minijinja::Error) -> Error {
    let place = error.line().map_or_else(|| "as a whole".to_owned(), |line| format!("line {line}"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let (reason, hint) = if let Some(said) = error.detail().and_then(|detail| detail.strip_prefix(REFUSED)) {
        (format!("refuses these messages: `{said}`"), "the model's makers allow only some orders of roles; change the task's messages")
    } else if detail.contains("strftime_now") {
        let reason = "asks for today's date (`strftime_now`), which would make training irreproducible".to_owned();
        (reason, "write a fixed date into the folder's chat template")
    } else if error.kind() == ErrorKind::OutOfFuel {
        (format!("runs for more than {FUEL} steps"), "the template loops; it is not to be trusted")
    } else {
        (detail, "only what Transformers' chat templates use is understood; edit the folder's template or delete it to use Wardsmith's own")
    };
    Error::Template { place, reason, hint }
}

/// Output with an end: a template may not fill the memory.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_OUTPUT_BYTES {
            return Err(std::io::Error::other("the template writes more than 64 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
