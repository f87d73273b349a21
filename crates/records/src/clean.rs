//! Descriptions as they come, made plain: one line, single blanks, no control characters.

/// `text` on one line: every run of white space becomes one blank, and what cannot be seen is dropped.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut blank_due = false;
    for c in text.chars().filter(|c| !is_invisible(*c)) {
        if c.is_whitespace() || c.is_control() {
            blank_due = !line.is_empty();
            continue;
        }
        if std::mem::take(&mut blank_due) {
            line.push(' ');
        }
        line.push(c);
    }
    line.shrink_to_fit();
    line
}

/// Zero-width characters, direction marks and the byte order mark.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_and_control_characters_become_one_blank() {
        assert_eq!(one_line("  a\r\n\tb\u{a0}\u{0}c  "), "a b c");
        assert_eq!(one_line("a\u{200b}b\u{2066} \u{feff}"), "ab");
        assert_eq!(one_line(" \n "), "");
    }

    proptest! {
        #[test]
        fn cleaning_twice_is_cleaning_once(text in ".{0,80}") {
            let once = one_line(&text);
            prop_assert_eq!(&one_line(&once), &once);
        }
    }
}
