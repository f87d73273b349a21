//! UTF-8 that was read as Windows-1252 or Latin-1, such as `â€™` for an apostrophe, and stray bytes of Windows-1252.
//!
//! Only what nobody means is repaired: two bytes that begin with `Ã` or `Â`, three that begin with `â€` or `â„`, the byte
//! order mark. `É®` is bytes of UTF-8 too, and a trade mark.

use super::{Policy, Removed, note};

/// What the bytes 0x80 to 0x9F are in Windows-1252 (WHATWG Encoding, index windows-1252); the five unused ones are controls.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// `text` with such sequences repaired.
pub(super) fn repair(text: &str, _: &Policy, removed: &mut Removed) -> Option<String> {
    if text.is_ascii() || !text.contains(|c: char| matches!(c, 'Ã' | 'Â' | 'â' | 'ï' | '\u{80}'..='\u{9f}')) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut repaired = 0;
    while let Some(c) = rest.chars().next() {
        if let Some((right, len)) = decoded(rest) {
            out.push(right);
            rest = &rest[len..];
            repaired += 1;
            continue;
        }
        // A quotation mark that lost its last byte on the way.
        let lost = rest.strip_prefix("â€?");
        if let Some(after) = lost {
            out.push('"');
            rest = after;
            repaired += 1;
            continue;
        }
        if c == 'Â' && is_lost_blank(&out, &rest[c.len_utf8()..]) {
            rest = &rest[c.len_utf8()..];
            out.push(' ');
            repaired += 1;
            continue;
        }
        match c {
            '\u{80}'..='\u{9f}' => {
                let right = HIGH[c as usize - 0x80];
                out.push(if right.is_control() { ' ' } else { right });
                repaired += 1;
            }
            _ => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    note(removed, "mojibake", repaired);
    (repaired > 0).then_some(out)
}

/// Whether an `Â` between `before` and `after` is what is left of a no-break space: no word ends so after a small letter.
fn is_lost_blank(before: &str, after: &str) -> bool {
    let ends = |c: char| c.is_lowercase() || matches!(c, '.' | ',' | ';' | ':' | ')' | '"');
    before.ends_with(ends) && (after.is_empty() || after.starts_with(char::is_whitespace))
}

/// The character that the next two or three were meant as, and their length in `text`.
fn decoded(text: &str) -> Option<(char, usize)> {
    let mut chars = text.char_indices();
    let first = byte(chars.next()?.1)?;
    let count = match first {
        0xc2 | 0xc3 => 2,
        0xe2 | 0xef => 3,
        _ => return None,
    };
    let mut bytes = vec![first];
    let mut len = 0;
    for _ in 1..count {
        let (at, c) = chars.next()?;
        bytes.push(byte(c)?);
        len = at + c.len_utf8();
    }
    let right = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    let is_meant = match first {
        0xe2 => ('\u{2010}'..='\u{214f}').contains(&right),
        0xef => right == '\u{feff}',
        _ => true,
    };
    is_meant.then_some((right, len))
}

/// The byte that was shown as `c`.
fn byte(c: char) -> Option<u8> {
    if let Some(at) = HIGH.iter().position(|high| *high == c) {
        return u8::try_from(0x80 + at).ok();
    }
    u8::try_from(u32::from(c)).ok().filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(text: &str) -> String {
        repair(text, &Policy::default(), &mut Removed::new()).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn what_was_read_in_the_wrong_encoding_is_repaired() {
        assert_eq!(repaired("userâ€™s cafÃ© Â© â€“ 5\u{92}s"), "user’s café © – 5’s");
        assert_eq!(repaired("ï»¿a â€œb"), "\u{feff}a “b");
        assert_eq!(repaired("to reproduce.Â and"), "to reproduce.  and");
        assert_eq!(repaired("to reproduce.Â  And AzureÃ‚Â\u{a0}AD"), "to reproduce.   And AzureÂ\u{a0}AD");
        assert_eq!(repaired("knows as â€œspecialâ€?"), "knows as “special\"");
    }

    #[test]
    fn what_somebody_may_mean_stays() {
        for text in ["NESTLÉ®", "Â", "Ã", "pâté", "â", "naïve", "Straße", "Ünïcödé", "plain"] {
            assert_eq!(repaired(text), text);
        }
    }
}
