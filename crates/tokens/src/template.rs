//! The chat template: the one place that turns messages into prompt text, as Transformers' `apply_chat_template` does.
//!
//! Templates are Jinja programs from foreign folders. They run here on minijinja with Python's ways (`trim_blocks`,
//! `lstrip_blocks`, string methods, `tojson` without HTML escapes) and in a sandbox: bounded steps and bounded output.

use std::collections::BTreeMap;
use std::io::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, Output, State, context};
use wardsmith_records::conversation::{Message, Role};

use crate::error::{Error, Result};
use crate::special::SpecialTokens;
use crate::tojson::{Style, from_json, to_json};

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
        environment.add_template_owned(NAME, without_generation_marks(source)).map_err(|error| explain(&error))?;
        let roles = [
            ("bos_token", &special.bos),
            ("eos_token", &special.eos),
            ("pad_token", &special.pad),
            ("unk_token", &special.unk),
        ];
        let special =
            roles.into_iter().filter_map(|(name, token)| Some((name, token.as_ref()?.text.clone()))).collect();
        Ok(Self { environment, source: source.to_owned(), special, is_default })
    }

    /// The text of `messages`; with `add_generation_prompt` up to where the assistant's next words begin.
    ///
    /// # Errors
    /// The template refuses the messages, uses something unknown, or runs too long.
    pub fn apply(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render(messages.iter().map(message_value).collect(), Value::from(()), add_generation_prompt)
    }

    /// The same for messages as chat programs exchange them, a list of objects whose further keys (`tool_calls`, parts of
    /// `content`) the template may read, and for the schemas of `tools` that the assistant may call, null for none.
    ///
    /// # Errors
    /// As of [`Self::apply`]; also where a value is nested deeper than any real one.
    pub fn apply_json(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.render(from_json(messages)?, from_json(tools)?, add_generation_prompt)
    }

    fn render(&self, messages: Value, tools: Value, add_generation_prompt: bool) -> Result<String> {
        let template = self.environment.get_template(NAME).expect("compiled in the constructor");
        let mut text = Capped(Vec::new());
        let rendered = template.render_captured_to(self.context(messages, tools, add_generation_prompt), &mut text);
        match rendered {
            Ok(_) => Ok(String::from_utf8(text.0).expect("a template writes only UTF-8")),
            Err(error) => Err(explain(&error)),
        }
    }

    /// What a template sees. Transformers always defines `tools` and `documents`, as none where there are none, and
    /// templates ask for both in either way: `tools is defined`, `tools is not none`.
    fn context(&self, messages: Value, tools: Value, add_generation_prompt: bool) -> Value {
        let special = self.special.iter().map(|(name, text)| (*name, Value::from(text.as_str())));
        let own = [
            ("messages", messages),
            ("tools", tools),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        Value::from(own.into_iter().chain(special).collect::<BTreeMap<_, _>>())
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
    context! { role, content => message.content.as_str() }
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
        let separators = options.get::<Option<Vec<String>>>("separators")?;
        let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
        options.assert_all_used()?;
        to_json(&value, &Style::new(indent, separators.as_deref(), sort_keys))
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
        let Some(close) = rest[open..].find("%}").map(|at| open + at) else {
            break;
        };
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
    let detail =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let (reason, hint) = if let Some(said) = error.detail().and_then(|detail| detail.strip_prefix(REFUSED)) {
        (
            format!("refuses these messages: `{said}`"),
            "the model's makers allow only some orders of roles; change the task's messages",
        )
    } else if detail.contains("strftime_now") {
        let reason = "asks for today's date (`strftime_now`), which would make training irreproducible".to_owned();
        (reason, "write a fixed date into the folder's chat template")
    } else if error.kind() == ErrorKind::WriteFailure {
        (format!("writes more than {MAX_OUTPUT_BYTES} bytes"), "the template is not to be trusted")
    } else if error.kind() == ErrorKind::OutOfFuel {
        (format!("runs for more than {FUEL} steps"), "the template loops; it is not to be trusted")
    } else {
        (
            detail,
            "only what Transformers' chat templates use is understood; edit the folder's template or delete it to use Wardsmith's own",
        )
    };
    Error::Template { place, reason, hint }
}

/// Output with an end: a template may not fill the memory.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_OUTPUT_BYTES {
            return Err(std::io::Error::other("too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Message> {
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        vec![message(Role::User, " Which CWE?\n"), message(Role::Assistant, "CWE-79"), message(Role::User, "Sure?")]
    }

    fn special() -> SpecialTokens {
        let token = |text: &str, id| Some(crate::special::SpecialToken { text: text.to_owned(), id });
        SpecialTokens { bos: token("<s>", 1), eos: token("</s>", 2), ..SpecialTokens::default() }
    }

    fn render(source: &str) -> Result<String> {
        Template::new(source, &special())?.apply(&messages(), false)
    }

    fn refusal(source: &str) -> String {
        let message = render(source).unwrap_err().to_string();
        assert!(message.contains("hint:"), "{message}");
        message
    }

    // The expected strings below are what Python's jinja2 3.1.6 gives with Transformers' settings.

    #[test]
    fn string_methods_work_as_in_python() {
        let source = "{{ messages[0]['content'].strip() }}|{{ messages[0].content.split('\\n')[0] }}|{{ 'abc'.startswith('ab') }}|\
            {{ 'x'.upper() ~ None }}|{{ ' a '.lstrip() }}{{ ' a '.rstrip() }}|{{ 'a-b'.replace('-', '+') }}|{{ 'ab' in 'cabd' }}|\
            {{ 'TITLE me'.title() }}|{{ messages[0].get('name', 'none') }}";
        assert_eq!(render(source).unwrap(), "Which CWE?| Which CWE?|True|XNone|a  a|a+b|True|Title Me|none");
    }

    #[test]
    fn block_lines_leave_no_whitespace() {
        let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\n  [{{ m.content | trim }}]\n    {% endif %}\n{% endfor %}\nend\n";
        assert_eq!(render(source).unwrap(), "  [Which CWE?]\n  [Sure?]\nend");
    }

    #[test]
    fn tojson_writes_as_python_does() {
        let source = "{{ messages[0] | tojson }}\n{{ {'a': [1, 2.0, none, true], 'é<': '\"\\n'} | tojson(indent=2) }}";
        let expected = "{\"role\": \"user\", \"content\": \" Which CWE?\\n\"}\n{\n  \"a\": [\n    1,\n    2.0,\n    null,\n    true\n  ],\n  \"é<\": \"\\\"\\n\"\n}";
        assert_eq!(render(source).unwrap(), expected);
    }

    #[test]
    fn namespaces_macros_slices_and_break_work() {
        let source = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}\
            {% if loop.index0 == 1 %}{% break %}{% endif %}{% endfor %}{{ ns.n }}{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('y') }}\
            {{ messages[1:]|length }}{{ messages[-1].role }}{{ undefined_thing is defined }}{{ (messages|last)['content'] }}\
            {{ messages|map(attribute='role')|join(',') }}{{ (messages|selectattr('role','equalto','user')|list)|length }}";
        assert_eq!(render(source).unwrap(), "18<y>2userFalseSure?user,assistant,user2");
    }

    #[test]
    fn generation_marks_change_nothing() {
        let marked = "{% for m in messages %}{%- generation -%} {{ m.content }}\n{%- endgeneration %}{% endfor %}";
        let plain = "{% for m in messages %}{%- if true -%} {{ m.content }}\n{%- endif %}{% endfor %}";
        assert_eq!(render(marked).unwrap(), render(plain).unwrap());
    }

    #[test]
    fn the_default_template_begins_its_answer_with_a_space_and_ends_it() {
        let template = Template::wardsmith(&special(), true).unwrap();
        let question = &messages()[..1];
        assert_eq!(template.apply(question, true).unwrap(), "<s> Which CWE?\n\nAnswer:");
        let all = template.apply(&messages(), true).unwrap();
        assert_eq!(all, "<s> Which CWE?\n\nAnswer: CWE-79</s>\nSure?\nAnswer:");
    }

    #[test]
    fn a_refusal_of_the_template_is_passed_on_in_its_words() {
        assert!(refusal("{{ raise_exception('roles must alternate') }}").contains("`roles must alternate`"));
    }

    #[test]
    fn todays_date_is_refused_where_it_is_needed_and_absent_where_it_is_optional() {
        assert!(refusal("{{ strftime_now('%Y') }}").contains("today's date"));
        let optional = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}2024{% endif %}";
        assert_eq!(render(optional).unwrap(), "2024");
    }

    #[test]
    fn a_template_that_is_no_jinja_says_where() {
        assert!(refusal("a\n{% for %}").contains("line 2"));
        assert!(refusal("a\n\n{{ messages | nonsense }}").contains("line 3"));
        assert!(refusal(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).contains("bytes"));
    }

    #[test]
    fn a_template_that_loops_or_floods_is_stopped() {
        let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = b %}{% endfor %}{% endfor %}";
        assert!(refusal(loops).contains("steps"));
        let floods =
            "{% set x = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 30000 %}{% for a in range(9999) %}{{ x }}{% endfor %}";
        assert!(refusal(floods).contains("writes more than"), "{}", refusal(floods));
        let doubles =
            "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
        refusal(doubles);
    }
}
