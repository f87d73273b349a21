//! What stands around a byte range of a text: the regular expressions used here have no look-around.

use std::ops::Range;

/// The character that ends at byte `at`.
pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character that begins at byte `at`.
pub(super) fn after(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// Whether the range begins and ends where a word does.
pub(super) fn is_word(text: &str, range: &Range<usize>) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !goes_on(before(text, range.start)) && !goes_on(after(text, range.end))
}

/// At most `bytes` bytes that end at `at`, from a character's border on.
pub(super) fn window_before(text: &str, at: usize, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(at.saturating_sub(bytes))..at]
}

/// At most `bytes` bytes that begin at `at`, up to a character's border.
pub(super) fn window_after(text: &str, at: usize, bytes: usize) -> &str {
    &text[at..text.floor_char_boundary(at.saturating_add(bytes))]
}

/// What stands before `at` without white space between, at most 256 bytes of it.
pub(super) fn token_before(text: &str, at: usize) -> &str {
    let window = window_before(text, at, 256);
    window.rsplit(char::is_whitespace).next().unwrap_or(window)
}
