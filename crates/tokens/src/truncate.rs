//! Shortening a user's text: the middle goes.
//!
//! Instructions stand at the beginning of a message or at its end, and a description says what matters first; so three
//! quarters of what may stay are taken from the beginning and one quarter from the end.

/// Stands where text was left out.
const GAP: &str = " ... ";

/// `text` with at most `kept_chars` of its characters, and a gap where it was cut.
pub(crate) fn shortened(text: &str, kept_chars: usize) -> String {
    let total = text.chars().count();
    if total <= kept_chars {
        return text.to_owned();
    }
    let tail = kept_chars / 4;
    let head = kept_chars - tail;
    let byte_at = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    format!("{}{GAP}{}", text[..byte_at(head)].trim_end(), text[byte_at(total - tail)..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_as_it_is() {
        assert_eq!(shortened("né", 2), "né");
    }

    #[test]
    fn the_middle_goes_at_character_borders() {
        assert_eq!(shortened("ääää öööö üüüü ßßßß", 8), "ääää ö ... ßß");
        assert_eq!(shortened("abc", 0), " ... ");
    }
}
