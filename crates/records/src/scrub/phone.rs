//! Phone and fax numbers: strict international forms (ITU-T E.123), and national ones after a word that announces them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{after, before, window_before};

static INTERNATIONAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\+[1-9][0-9]{0,2}(?:[ ./-]{0,2}\(?[0-9]{1,6}\)?){1,7}").expect("a tested expression")
});
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    let word = r"(?i)\b(?:tel|telephone|phone|fax|mobile|hotline|call(?: us)?(?: at| on)?|toll[ -]free)\b";
    let number = r"(\([0-9]{3}\) ?[0-9]{3}[-. ][0-9]{4}|(?:1[-.])?[0-9]{3}[-.][0-9]{3}[-.][0-9]{4}|0[0-9]{1,4}[ /-][0-9]{3,8}(?:[ -][0-9]{2,6})?)";
    Regex::new(&format!(r"{word}[ \t.:#]{{0,3}}(?:no\.?|number)?[ \t.:]{{0,3}}{number}")).expect("a tested expression")
});
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:tel|telephone|phone|fax|mobile|hotline|call|dial)\b[^0-9\n]{0,24}$")
        .expect("a tested expression")
});

/// Numbers with their country's code, then the announced ones.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    for whole in INTERNATIONAL.find_iter(text) {
        let mut trimmed = whole.as_str().trim_end_matches([' ', '.', '/', '-', '(']);
        // The bracket may be the sentence's.
        if trimmed.matches(')').count() > trimmed.matches('(').count() {
            trimmed = trimmed.strip_suffix(')').unwrap_or(trimmed);
        }
        let range = whole.start()..whole.start() + trimmed.len();
        if is_apart(text, &range) && is_international(text, &range) {
            found.push(range);
        }
    }
    let announced = ANNOUNCED.captures_iter(text).filter_map(|captures| Some(captures.get(1)?.range()));
    found.extend(announced.filter(|range| is_apart(text, range)));
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, kept| next.start < kept.end);
}

fn is_apart(text: &str, range: &Range<usize>) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '+' | ')');
    !before(text, range.start).is_some_and(is_part)
        && !after(text, range.end).is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// E.164 allows 15 digits; without a word before it, a number must be written in groups.
fn is_international(text: &str, range: &Range<usize>) -> bool {
    let number = &text[range.clone()];
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let groups = number.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).count();
    let is_announced = WORD.is_match(window_before(text, range.start, 40));
    let is_paired = number.matches('(').count() == number.matches(')').count();
    is_paired && (9..=15).contains(&digits) && (is_announced || (groups >= 3 && digits >= 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn international_and_announced_numbers_are_found() {
        assert_eq!(numbers("(+1-317-555-4274), or (+353-(0)21-4321266)."), ["+1-317-555-4274", "+353-(0)21-4321266"]);
        assert_eq!(numbers("Phone: (415) 555-2671; Toll Free: 1-888-555-9870"), ["(415) 555-2671", "1-888-555-9870"]);
        assert_eq!(numbers("tel +493012345678"), ["+493012345678"]);
    }

    #[test]
    fn models_versions_and_code_are_no_numbers() {
        for text in
            ["IP Phone 7906 7911 7941", "1.2.2+2020061101", "r6 +144) r7 +0", "Sea Tel 121 222701", "x+1 234 567 890"]
        {
            assert!(numbers(text).is_empty(), "{text}");
        }
    }
}
