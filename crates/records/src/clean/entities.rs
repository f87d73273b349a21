//! HTML entities that a feed has left in a text.
//!
//! A text that speaks of entities keeps them all. A numbered one is decoded only where it stands for a sign: nobody writes
//! `&#99;` for a letter or `&#09;` for a tab but to slip past a filter, and that is what such a description is about.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Policy, Removed, note};

static ENTITY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z]{2,8}));").expect("a tested expression")
});

/// Names of HTML 4 that feeds use.
const NAMES: &[(&str, char)] = &[
    ("lt", '<'),
    ("gt", '>'),
    ("amp", '&'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("hellip", '…'),
    ("bull", '•'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("eacute", 'é'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("auml", 'ä'),
];

/// `text` with its entities decoded.
pub(super) fn decode(text: &str, _: &Policy, removed: &mut Removed) -> Option<String> {
    if !text.contains('&') || !text.contains(';') || speaks_of_entities(text) {
        return None;
    }
    let mut decoded = 0;
    let out = ENTITY.replace_all(text, |captures: &Captures<'_>| {
        match character(captures).filter(|c| !is_spoken_of(text, captures, *c)) {
            Some(c) => {
                decoded += 1;
                c.to_string()
            }
            None => captures.get_match().as_str().to_owned(),
        }
    });
    note(removed, "entity", decoded);
    (decoded > 0).then(|| out.into_owned())
}

fn speaks_of_entities(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["html entit", "character entit", "entity encod", "entity-encod", "xml entit", "entity ref", "numeric entit"]
        .iter()
        .any(|words| lower.contains(words))
}

/// Whether the entity is what the sentence is about: it stands alone or in quotes. An ampersand or a blank never does.
fn is_spoken_of(text: &str, captures: &Captures<'_>, c: char) -> bool {
    if matches!(c, '&' | ' ' | '–' | '—') {
        return false;
    }
    let range = captures.get_match().range();
    let (lead, rest) = (text[..range.start].chars().next_back(), &text[range.end..]);
    let is_apart =
        |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '.' | '"' | '\'' | '`'));
    let word = rest.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let names_it = ["sequence", "sequences", "character", "characters", "Unicode", "string", "strings"].contains(&word);
    let is_alone = is_apart(lead) && is_apart(rest.chars().next());
    let in_quotes = lead.is_some_and(|c| matches!(c, '"' | '`' | '\''));
    is_alone || in_quotes || (is_apart(lead) && names_it)
}

fn character(captures: &Captures<'_>) -> Option<char> {
    if let Some(name) = captures.get(3) {
        return NAMES.iter().find(|(known, _)| *known == name.as_str()).map(|(_, c)| *c);
    }
    let number = match (captures.get(1), captures.get(2)) {
        (Some(decimal), _) => decimal.as_str().parse().ok()?,
        (_, Some(hexadecimal)) => u32::from_str_radix(hexadecimal.as_str(), 16).ok()?,
        _ => return None,
    };
    // The C1 block is Windows-1252 here, as browsers have it; the repair of encodings sees to it.
    let is_text = |c: &char| ('\u{80}'..='\u{9f}').contains(c) || (!c.is_control() && !c.is_ascii_alphanumeric());
    char::from_u32(number).filter(is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> String {
        decode(text, &Policy::default(), &mut Removed::new()).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn names_and_numbers_of_signs_are_decoded() {
        assert_eq!(
            decoded("IM&amp;P &lt;script&gt; users&#39; v&#95;pic row&#x5b;a&#x5D;"),
            "IM&P <script> users' v_pic row[a]"
        );
    }

    #[test]
    fn payloads_queries_and_texts_about_entities_stay() {
        for text in [
            "Javas&#99;ript: and java&#09;script:",
            "?a=1&copy=2",
            "&nosuch; &#9999999;",
            "the HTML entity &lt; is not",
            "such as &lt;, &gt; or \"&lt;\"",
            "a &#x3a; sequence",
        ] {
            assert_eq!(decoded(text), text);
        }
    }
}
