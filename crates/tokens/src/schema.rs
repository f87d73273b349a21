//! Answers that follow a JSON schema: which tokens may come next, so that whatever a model writes is valid.
//!
//! The `llguidance` crate compiles the schema into a grammar and walks a trie of the vocabulary's bytes with it. Schemas come
//! from outside: their size, the grammar and the work of each token are bounded, and a keyword that the crate does not enforce is
//! refused by name. References lead inside the schema only; nothing is fetched.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::vocabulary::Vocabulary;

/// No schema is longer.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// Symbols of a grammar; real schemas of hundreds of kilobytes have some 200,000.
const MAX_GRAMMAR_SYMBOLS: usize = 250_000;
/// States of the lexer, of 1 to 2 kB.
const MAX_LEXER_STATES: usize = 50_000;
/// Begins the name of a special token in the trie: no text has this byte.
const SPECIAL: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

/// A schema, compiled for one vocabulary.
pub struct Schema {
    factory: ParserFactory,
    grammar: TopLevelGrammar,
    vocabulary: Vocabulary,
    /// Rows of the model's embedding, which may be more than there are tokens.
    rows: usize,
}

/// An answer on its way.
pub struct Constraint {
    matcher: Matcher,
    taken: usize,
    rows: usize,
}

/// The vocabulary as `llguidance` asks for it.
struct Tokens(TokTrie);

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.0.greedy_tokenize(bytes)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

fn refused(reason: impl std::fmt::Display) -> Error {
    let text = reason.to_string();
    Error::Schema { reason: text.lines().next().unwrap_or_default().to_owned() }
}

impl Schema {
    /// Compiles the schema in `text` for a model whose embedding has `rows` rows.
    ///
    /// # Errors
    /// It is too large, not JSON, not an object, asks for what cannot be enforced, or the tokenizer has no end token or bytes that
    /// are not known.
    pub fn new(text: &str, tokenizer: &Tokenizer, rows: usize) -> Result<Self> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(refused(format_args!("it is longer than {MAX_SCHEMA_BYTES} bytes")));
        }
        let mut schema: Value =
            serde_json::from_str(text).map_err(|error| refused(format_args!("not JSON: {error}")))?;
        let Some(object) = schema.as_object_mut() else { return Err(refused("it is no JSON object")) };
        // Between tokens of JSON stands what Python's `json.dumps` writes, so that no answer is endless white space.
        let spaces = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        object.insert("x-guidance".to_owned(), spaces);
        let vocabulary = Vocabulary::new(tokenizer)?;
        let mut factory =
            ParserFactory::new(&environment(tokenizer, &vocabulary)?, InferenceCapabilities::default(), &[])
                .map_err(refused)?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.max_grammar_size = MAX_GRAMMAR_SYMBOLS;
        limits.max_lexer_states = MAX_LEXER_STATES;
        limits.verbose_errors = false;
        let schema = Self { factory, grammar: TopLevelGrammar::from_json_schema(schema), vocabulary, rows };
        // What is wrong with the grammar is told here, once.
        schema.begin()?;
        Ok(schema)
    }

    /// An answer that has not begun.
    ///
    /// # Errors
    /// The schema is too large, contradicts itself, or asks for what cannot be enforced.
    pub fn begin(&self) -> Result<Constraint> {
        let mut matcher = Matcher::new(self.factory.create_parser(self.grammar.clone()));
        let (told, warned) = (matcher.get_error(), matcher.grammar_warnings());
        match told.or_else(|| warned.into_iter().next()) {
            Some(reason) => Err(refused(reason)),
            None => Ok(Constraint { matcher, taken: 0, rows: self.rows }),
        }
    }

    /// The text of a complete answer, to the byte.
    ///
    /// # Errors
    /// It is not UTF-8: it is no complete answer.
    pub fn text(&self, answer: &[u32]) -> Result<String> {
        String::from_utf8(self.vocabulary.text(answer)).map_err(refused)
    }
}

fn environment(tokenizer: &Tokenizer, vocabulary: &Vocabulary) -> Result<Arc<dyn TokenizerEnv + Sync>> {
    let end = tokenizer.eos_id().ok_or_else(|| Error::Vocabulary { reason: "it has no end token".to_owned() })?;
    let size = tokenizer.vocab_size() as u32;
    let word = |id: u32| match vocabulary.bytes(id) {
        Some(bytes) => bytes.to_vec(),
        None => [&[SPECIAL][..], format!("<{id}>").as_bytes()].concat(),
    };
    let words: Vec<Vec<u8>> = (0..size).map(word).collect();
    Ok(Arc::new(Tokens(TokTrie::from(&TokRxInfo::new(size, end), &words))))
}

impl Constraint {
    /// Which tokens may follow `answer`, by row of the embedding; the end token where it is complete. An answer only ever grows.
    ///
    /// # Errors
    /// The answer left the schema, or the work for one token was too much.
    pub fn allowed(&mut self, answer: &[u32]) -> Result<Vec<bool>> {
        self.take(answer)?;
        let mask = self.matcher.compute_mask_or_eos().map_err(refused)?;
        let mut allowed = vec![false; self.rows];
        mask.iter_set_entries(|id| {
            if let Some(place) = allowed.get_mut(id) {
                *place = true;
            }
        });
        if allowed.iter().any(|allowed| *allowed) {
            Ok(allowed)
        } else {
            Err(refused("no token can follow the answer"))
        }
    }

    /// Whether `answer` is all that the schema asks for.
    ///
    /// # Errors
    /// The answer left the schema.
    pub fn is_complete(&mut self, answer: &[u32]) -> Result<bool> {
        self.take(answer)?;
        Ok(self.matcher.is_stopped() || self.matcher.is_accepting().map_err(refused)?)
    }

    fn take(&mut self, answer: &[u32]) -> Result<()> {
        let new = answer.get(self.taken..).unwrap_or_default();
        self.matcher.consume_tokens(new).map_err(refused)?;
        self.taken = answer.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer;

    /// What a model writes that knows nothing: any allowed token, by a generator of its own.
    fn babble(schema: &Schema, seed: u64) -> Option<String> {
        let tokenizer = tokenizer();
        let vocabulary = Vocabulary::new(&tokenizer).unwrap();
        let (mut constraint, mut answer, mut state) = (schema.begin().unwrap(), Vec::new(), seed | 1);
        for _ in 0..400 {
            let allowed = constraint.allowed(&answer).unwrap();
            let places: Vec<u32> = (0..allowed.len() as u32).filter(|id| allowed[*id as usize]).collect();
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let token = places[(state >> 33) as usize % places.len()];
            if Some(token) == tokenizer.eos_id() {
                assert!(constraint.is_complete(&answer).unwrap());
                return Some(String::from_utf8(vocabulary.text(&answer)).unwrap());
            }
            answer.push(token);
        }
        None
    }

    fn compiled(schema: &str) -> Result<Schema> {
        Schema::new(schema, &tokenizer(), 512)
    }

    /// Every complete answer of twenty passes; most are complete.
    fn holds(schema: &str, valid: impl Fn(&Value) -> bool) {
        let compiled = compiled(schema).unwrap();
        let answers: Vec<String> = (0..20).filter_map(|seed| babble(&compiled, seed * 7919)).collect();
        assert!(answers.len() >= 15, "{schema}: {} of 20 are complete", answers.len());
        for answer in answers {
            let value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{schema}: {answer}: {e}"));
            assert!(valid(&value), "{schema}: {answer}");
        }
    }

    #[test]
    fn whatever_is_written_is_valid() {
        holds(r#"{"type": "boolean"}"#, Value::is_boolean);
        holds(r#"{"enum": ["CWE-79", "CWE-89", 3, null]}"#, |v| {
            [json!("CWE-79"), json!("CWE-89"), json!(3), Value::Null].contains(v)
        });
        holds(r#"{"type": "integer", "minimum": -3, "maximum": 12}"#, |v| (-3..=12).contains(&v.as_i64().unwrap()));
        holds(r#"{"type": "string", "pattern": "^CWE-[1-9][0-9]{0,3}$"}"#, |v| {
            let digits = v.as_str().unwrap().strip_prefix("CWE-").unwrap();
            digits.len() <= 4 && digits.parse::<u32>().unwrap() > 0
        });
        let report = r#"{"type": "object", "properties": {"cwe": {"type": "string", "maxLength": 8}, "score": {"type": "integer",
            "minimum": 0, "maximum": 10}, "exploited": {"type": "boolean"}}, "required": ["cwe", "score"], "additionalProperties": false}"#;
        holds(report, |v| {
            let object = v.as_object().unwrap();
            object.keys().all(|key| ["cwe", "score", "exploited"].contains(&key.as_str()))
                && object["cwe"].as_str().unwrap().chars().count() <= 8
                && (0..=10).contains(&object["score"].as_i64().unwrap())
                && object.get("exploited").is_none_or(Value::is_boolean)
        });
        let list = r##"{"type": "array", "items": {"$ref": "#/$defs/pair"}, "minItems": 1, "maxItems": 3, "$defs": {"pair":
            {"type": "array", "prefixItems": [{"type": "boolean"}, {"enum": ["a", "ä"]}], "items": false, "minItems": 2}}}"##;
        holds(list, |v| {
            let pair = |v: &Value| v.as_array().is_some_and(|p| p.len() == 2 && p[0].is_boolean() && p[1].is_string());
            (1..=3).contains(&v.as_array().unwrap().len()) && v.as_array().unwrap().iter().all(pair)
        });
        holds(r#"{"anyOf": [{"type": "null"}, {"const": {"a": [1, {"b": "\"\\"}]}}]}"#, |v| {
            v.is_null() || *v == json!({"a": [1, {"b": "\"\\"}]})
        });
    }

    #[test]
    fn what_cannot_be_enforced_is_refused_by_name() {
        let told = |schema: &str| compiled(schema).err().unwrap_or_else(|| panic!("{schema}")).to_string();
        assert!(told(r#"{"type": "array", "uniqueItems": true}"#).contains("uniqueItems"));
        assert!(told(r#"{"not": {"type": "string"}}"#).contains("not"));
        assert!(told(r#"{"type": "strin"}"#).contains("strin"));
        assert!(told("{\"type\": ").contains("not JSON"));
        assert!(told("true").contains("no JSON object"));
        assert!(told(r#"{"$ref": "https://example.org/schema.json"}"#).contains("ref"));
        assert!(told(r##"{"$ref": "#/$defs/none"}"##).contains("hint:"));
        assert!(told(r#"{"type": "integer", "minimum": 3, "maximum": 2}"#).contains("hint:"));
    }

    #[test]
    fn hostile_schemas_are_refused_in_bounded_time() {
        let begun = std::time::Instant::now();
        let nested = format!("{}{{}}{}", "{\"items\":".repeat(100_000), "}".repeat(100_000));
        let long = format!(r#"{{"enum": ["{}"]}}"#, "x".repeat(MAX_SCHEMA_BYTES));
        let property = |i: usize| format!(r#""p{i}":{{"type":"array","items":{{"minimum":{i},"type":"integer"}}}}"#);
        let wide: Vec<String> = (0..12_000).map(property).collect();
        let wide = format!(r#"{{"type": "object", "properties": {{{}}}}}"#, wide.join(","));
        for schema in [nested, long, wide] {
            let shown: String = schema.chars().take(60).collect();
            let text = compiled(&schema).err().unwrap_or_else(|| panic!("{shown}")).to_string();
            assert!(text.contains("JSON schema") && text.len() < 500, "{shown}: {text}");
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn patterns_that_would_explode_cost_bounded_time() {
        let begun = std::time::Instant::now();
        for pattern in ["((a{1,900}b){1,900}c){1,900}", "(a|b)*a(a|b){3000}", "(([a-z]+)+)+!", "(.*a.*b.*c.*d){40}"] {
            let schema = json!({"type": "string", "pattern": format!("^{pattern}$")}).to_string();
            let Ok(schema) = compiled(&schema) else { continue };
            let (mut constraint, mut answer) = (schema.begin().unwrap(), Vec::new());
            for step in 0..300 {
                let Ok(allowed) = constraint.allowed(&answer) else { break };
                let places: Vec<u32> = (0..allowed.len() as u32).filter(|id| allowed[*id as usize]).collect();
                answer.push(places[step * 31 % places.len()]);
            }
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_schema_that_holds_itself_is_no_trouble() {
        let tree = r##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref":
            "#/$defs/tree"}, "leaf": {"type": "boolean"}}, "additionalProperties": false}}}"##;
        holds(tree, Value::is_object);
    }

    #[test]
    fn rows_without_a_token_are_never_allowed() {
        let schema = compiled(r#"{"type": "string"}"#).unwrap();
        let allowed = schema.begin().unwrap().allowed(&[]).unwrap();
        assert_eq!(allowed.len(), 512);
        assert!(allowed[tokenizer().vocab_size()..].iter().all(|allowed| !allowed));
        let mut left = schema.begin().unwrap();
        let wrong = tokenizer().encode("no").unwrap();
        assert!(left.allowed(&wrong).is_err());
    }
}
