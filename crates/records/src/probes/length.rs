//! Shorter and longer: the first sentence alone, and a notice that goes with every advisory.

use regex::Regex;
use std::sync::LazyLock;

/// Words by which a sentence tells a weakness; a first sentence without one does not have to say what the whole says.
static WEAKNESS: LazyLock<Regex> = LazyLock::new(|| {
    let words = "xss|cross[- ]site|injection|overflow|underflow|use[- ]after[- ]free|double[- ]free|traversal|csrf|\
                 forgery|deserialization|out[- ]of[- ]bounds|null pointer|race condition|hard[- ]?coded|\
                 missing authorization|authorization bypass|authentication bypass|improper \\w+|unrestricted upload|\
                 open redirect|ssrf|xxe|uncontrolled|memory leak|type confusion|divi(?:de|sion) by zero|cleartext|\
                 missing authentication|incorrect \\w+|insecure \\w+|command execution|sandbox escape";
    Regex::new(&format!(r"(?i)\b(?:{words})\b")).expect("the pattern is well formed")
});

/// A first sentence has at least so many words.
const FEWEST_WORDS: usize = 6;

/// Notices that say nothing about the weakness.
const NOTICES: &[&str] = &[
    "Users should read the notes of the release before they install it. Questions can be sent to the address on the \
     project's site. This text may be changed when more is known.",
    "The finder is thanked for telling about it in private and for waiting until an update was ready. The dates of the \
     report and of the answer are listed on the page of the advisory.",
    "This entry is kept for the record. Older releases are no longer looked after. Whoever cannot update now should ask \
     for help, and should watch the list of news for further notices.",
];

/// The first sentence of `text`, where others follow and it tells a weakness.
pub(super) fn first_sentence(text: &str) -> Option<&str> {
    let ends = text.match_indices(". ").map(|(at, _)| at + 1);
    let end =
        ends.filter(|&end| ends_sentence(text, end)).find(|end| text[..*end].split(' ').count() >= FEWEST_WORDS)?;
    let first = &text[..end];
    (!text[end..].trim().is_empty() && WEAKNESS.is_match(first)).then_some(first)
}

/// Whether the full stop before `end` ends a sentence: a capital follows, and no abbreviation stands before.
fn ends_sentence(text: &str, end: usize) -> bool {
    let last = text[..end - 1].rsplit([' ', '(']).next().unwrap_or_default();
    let abbreviates =
        last.chars().count() < 2 || matches!(last, "vs" | "Inc" | "Ltd" | "Corp" | "Co" | "No" | "e.g" | "i.e");
    !abbreviates && text[end..].trim_start().starts_with(|c: char| c.is_uppercase())
}

/// `text` with a notice behind it, which `drawn` (0..1) chooses.
pub(super) fn with_notice(text: &str, drawn: f64) -> String {
    let notice = NOTICES[((drawn * NOTICES.len() as f64) as usize).min(NOTICES.len() - 1)];
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{stop} {notice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_before_a_capital_and_must_tell_a_weakness() {
        let first = "An SQL injection in Whisk v. 1.2 by Acme Inc. Kettles leaks the name.";
        assert_eq!(first_sentence(&format!("{first} It is old.")), Some(first));
        assert_eq!(first_sentence(first), None, "nothing follows");
        assert_eq!(first_sentence("A hole was found in the whisk of Acme. It is an SQL injection."), None);
        assert!(with_notice("It leaks", 0.0).starts_with("It leaks. Users"));
        assert!(NOTICES.iter().all(|notice| !WEAKNESS.is_match(notice)));
    }
}
