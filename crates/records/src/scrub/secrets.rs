//! Secrets by assignment, in HTTP headers and in URLs, where only the value's looks tell a secret from an example.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{after, before, window_after, window_before};

/// A longer value is a document, not a password.
const MAX_VALUE_BYTES: usize = 512;
/// From this length on a random value is a live key, even where the text calls it hard-coded.
const LIVE_KEY_BYTES: usize = 20;

static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"(?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token|(?:api|access|account|auth|secret|private|encryption|master|signing)[_-]?key|credential)";
    Regex::new(&format!(r#"(?i){name}[a-z0-9_-]{{0,24}}["'`\]]{{0,2}}[ \t]{{0,3}}(?::=|=>|:|=)[ \t]{{0,3}}"#))
        .expect("a tested expression")
});
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:authorization["'`]?[ \t]*[:=][ \t]*["'`]?(?:bearer|basic|token|digest|apikey)|\bbearer)[ \t]+([A-Za-z0-9._~+/=-]{12,})"#,
    )
    .expect("a tested expression")
});
static URL_CREDENTIALS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z][A-Za-z0-9+.-]{1,20})://(([^\s/:@"'<>`]{1,64}):([^\s/@"'<>`]{1,128}))@"#)
        .expect("a tested expression")
});

/// Words in a value that say that it is an example.
const EXAMPLES: &[&str] = &[
    "passw",
    "passphrase",
    "p@ss",
    "pa55",
    "changeme",
    "change_me",
    "change-me",
    "example",
    "your",
    "dummy",
    "sample",
    "placeholder",
    "xxxx",
    "secret",
    "token",
    "redacted",
    "undefined",
    "null",
    "true",
    "false",
    "test",
    "admin",
    "default",
    "foobar",
    "...",
    "qwerty",
    "12345",
    "letmein",
    "****",
    "username",
    "credential",
];
/// Words around a credential that make it knowledge: every device of that model has it.
const DEFAULT_WORDS: &[&str] = &[
    "default",
    "hardcoded",
    "hard-coded",
    "hard coded",
    "built-in",
    "factory",
    "unremovable",
    "backdoor",
    "undocumented",
];
/// Users and passwords of example URLs.
const EXAMPLE_USERS: &[&str] =
    &["user", "username", "anonymous", "foo", "a", "u", "x", "login", "name", "root", "admin", "guest", "id"];
const EXAMPLE_PASSWORDS: &[&str] =
    &["pass", "pwd", "password", "bar", "b", "p", "x", "guest", "root", "admin", "pw", "passwd", "anonymous", "port"];

/// Values of assignments such as `password=…` and `"api_key": "…"`.
pub(super) fn assignments(text: &str, found: &mut Vec<Range<usize>>) {
    for name in ASSIGNMENT.find_iter(text) {
        let range = value_at(text, name.end());
        let value = &text[range.clone()];
        // A key's name may go on after the match: `tokenizer:` is no token.
        if is_name(name.as_str()) && (is_random(value) || is_password(value)) && !is_knowledge(text, &range) {
            found.push(range);
        }
    }
}

/// Whether what stands before the sign is a secret's name and not another word that begins like one.
fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !["tokeni", "passive", "passage", "passeng", "secretar", "passing", "passed", "passes"]
        .iter()
        .any(|word| lower.contains(word))
}

/// Where the value that begins at `at` ends: at its quote, or at what cannot be in it.
fn value_at(text: &str, at: usize) -> Range<usize> {
    let quote = after(text, at).filter(|c| matches!(c, '"' | '\'' | '`'));
    let start = at + usize::from(quote.is_some());
    let rest = window_after(text, start, MAX_VALUE_BYTES);
    let ends = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '&' | ';' | ',' | ')' | '}' | ']' | '|' | '\\')
    };
    let end = rest.find(ends).unwrap_or(rest.len());
    start..start + rest[..end].trim_end_matches(['.', ':']).len()
}

/// Whether the text says that everybody has this credential; a long random key is taken out all the same.
fn is_knowledge(text: &str, value: &Range<usize>) -> bool {
    if value.len() >= LIVE_KEY_BYTES && is_random(&text[value.clone()]) {
        return false;
    }
    is_called_default(text, value)
}

fn is_called_default(text: &str, value: &Range<usize>) -> bool {
    let around = [window_before(text, value.start, 120), window_after(text, value.end, 60)];
    around.iter().any(|part| {
        let lower = part.to_ascii_lowercase();
        DEFAULT_WORDS.iter().any(|word| lower.contains(word))
    })
}

/// Whether a value is an example, a variable or code.
fn is_example(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    value.starts_with(['$', '{', '%', '*', '[', '/', '\\', '-', ':'])
        || value.contains(['(', '{', '['])
        || value.contains("::")
        || value.contains("->")
        || lower.starts_with("http")
        || EXAMPLES.iter().any(|word| lower.contains(word))
}

/// What a character is, for counting how often a value changes between them; signs do not count.
fn class(c: char) -> Option<u8> {
    match c {
        'a'..='z' => Some(0),
        'A'..='Z' => Some(1),
        '0'..='9' => Some(2),
        _ => None,
    }
}

/// How often the class changes, not counting a word's first capital.
fn changes(value: &str) -> usize {
    let classes: Vec<u8> = value.chars().filter_map(class).collect();
    let pairs = classes.windows(2).enumerate();
    pairs
        .filter(|(at, pair)| {
            pair[0] != pair[1] && !(pair[0] == 1 && pair[1] == 0 && (*at == 0 || classes[at - 1] != 1))
        })
        .count()
}

/// A key that chance made: long, letters and digits mixed, or all hexadecimal.
fn is_random(value: &str) -> bool {
    let count = |test: fn(&char) -> bool| value.chars().filter(test).count();
    let (digits, letters) = (count(char::is_ascii_digit), count(char::is_ascii_alphabetic));
    let is_key = value.chars().all(|c| c.is_ascii_alphanumeric() || "+/=_-.~%".contains(c));
    if value.len() < 12 || !is_key || digits < 2 || letters < 2 || is_example(value) {
        return false;
    }
    let is_hex = value.len() >= 32 && value.chars().all(|c| c.is_ascii_hexdigit());
    is_hex || (changes(value) >= 4 && changes(value) * 6 >= value.len())
}

/// A password that a person made: short, of three classes, no word of examples.
fn is_password(value: &str) -> bool {
    let has = |test: fn(char) -> bool| value.chars().filter(|c| test(*c)).count();
    let (digits, symbols) = (has(|c| c.is_ascii_digit()), has(|c| "!@#$%^*+=?~".contains(c)));
    let both_cases = has(|c| c.is_ascii_lowercase()) > 0 && has(|c| c.is_ascii_uppercase()) > 0;
    let mut distinct: Vec<char> = value.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let is_plain = value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '.' | '/' | '_' | ':'));
    (8..=64).contains(&value.len())
        && is_plain
        && digits > 0
        && distinct.len() >= 6
        && both_cases
        && symbols + digits > 1
        && changes(value) + symbols >= 3
        && !has_escape(value)
        && !is_example(value)
}

/// Whether it is written in percent signs, as payloads in URLs are.
fn has_escape(value: &str) -> bool {
    value
        .match_indices('%')
        .any(|(at, _)| value.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// Credentials after `Authorization: Bearer` and the like.
pub(super) fn authorizations(text: &str, found: &mut Vec<Range<usize>>) {
    for captures in AUTHORIZATION.captures_iter(text) {
        let Some(value) = captures.get(1) else { continue };
        let names_header = captures.get_match().as_str().to_ascii_lowercase().starts_with("authorization");
        let token = value.as_str().trim_end_matches(['.', '-']);
        let is_header_value =
            names_header && token.len() >= 16 && token.contains(|c: char| c.is_ascii_digit()) && !is_example(token);
        if is_header_value || (token.len() >= LIVE_KEY_BYTES && is_random(token)) {
            found.push(value.start()..value.start() + token.len());
        }
    }
}

/// `user:password` of URLs.
pub(super) fn url_credentials(text: &str, found: &mut Vec<Range<usize>>) {
    for captures in URL_CREDENTIALS.captures_iter(text) {
        let (Some(both), Some(user), Some(password)) = (captures.get(2), captures.get(3), captures.get(4)) else {
            continue;
        };
        if !is_example_pair(user.as_str(), password.as_str())
            && !is_called_default(text, &both.range())
            && before(text, captures.get_match().start()) != Some('<')
        {
            found.push(both.range());
        }
    }
}

/// Whether user and password stand for themselves, or the URL is an attack on parsers of URLs.
fn is_example_pair(user: &str, password: &str) -> bool {
    let (user, password) = (user.to_ascii_lowercase(), password.to_ascii_lowercase());
    let is_variable = |text: &str| text.contains(['$', '{', '[', '(', '%', '*']);
    ["javascript", "http", "https", "data", "mailto"].contains(&user.as_str())
        || is_variable(&user)
        || password.starts_with(['$', '{', '[', '(', '*', '%'])
        || (EXAMPLE_USERS.contains(&user.as_str()) && EXAMPLE_PASSWORDS.contains(&password.as_str()))
        || ["passw", "secret", "example", "****", "xxxx", "..."].iter().any(|word| password.contains(word))
        || user == password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_are_told_from_names_and_code() {
        for value in ["aB3dE5gH7jK9lM1n", "7723e5ed99830656f487e218e73dce2d", "x9-Lk2_mQ7vT4zR1"] {
            assert!(is_random(value), "{value}");
        }
        for value in
            ["user_token_v2_handler", "process.env.API_KEY2", "getToken(12)", "aaaaaaaaaaaaaaaa", "10.2.3.4-beta11"]
        {
            assert!(!is_random(value), "{value}");
        }
    }

    #[test]
    fn passwords_are_told_from_examples() {
        for value in ["Tr4m-Depot9", "vK7#mq2!Lz", "Gr8Fjord55"] {
            assert!(is_password(value), "{value}");
        }
        for value in ["Password1234", "admin", "synnet", "${DB_PASSWORD}", "OAuth2Provider", "1231312312", "Version2"] {
            assert!(!is_password(value), "{value}");
        }
    }

    #[test]
    fn a_default_password_is_knowledge_and_a_long_key_is_not() {
        let count = |text: &str| {
            let mut found = Vec::new();
            assignments(text, &mut found);
            found.len()
        };
        assert_eq!(count("password: Gr8Fjord55"), 1);
        assert_eq!(count("the default password: Gr8Fjord55"), 0);
        assert_eq!(count(&["a hard-coded api_key: ", "aB3dE5gH7j", "K9lM1nP3qR"].concat()), 1);
    }
}
