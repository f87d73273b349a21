//! Signs as a keyboard has them: straight quotes, hyphens, blanks, letters without a costume.
//!
//! The text becomes NFC (Unicode Standard Annex 15). NFKC is used only for characters that hide words from a tokenizer:
//! full-width forms, ligatures of letters, mathematical letters. It would turn `x²` into `x2` and `™` into `TM` everywhere.

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use super::{Policy, Removed, note};

/// `text` in NFC with plain signs.
pub(super) fn plain(text: &str, _: &Policy, removed: &mut Removed) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = 0;
    for c in text.chars() {
        changed += 1;
        match c {
            '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' => out.push('\''),
            '“' | '”' | '„' | '‟' | '″' => out.push('"'),
            '‐' | '‑' | '‒' | '–' | '−' => out.push('-'),
            // Between words without blanks a hyphen would make one word of two.
            '—' | '―' => out.push_str(" - "),
            '…' => out.push_str("..."),
            '\u{2028}' => out.push('\n'),
            '\u{ff01}'..='\u{ff5e}' | '\u{fb00}'..='\u{fb06}' | '\u{1d400}'..='\u{1d7ff}' => out.extend(c.nfkc()),
            _ => {
                changed -= 1;
                out.push(c);
            }
        }
    }
    if !is_nfc(&out) {
        changed += 1;
        out = out.nfc().collect();
    }
    note(removed, "sign", changed);
    (changed > 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_plain(text: &str) -> String {
        plain(text, &Policy::default(), &mut Removed::new()).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn quotes_dashes_and_costumes_become_plain() {
        assert_eq!(made_plain("“a” ‘b’ c–d e—f g…"), "\"a\" 'b' c-d e - f g...");
        assert_eq!(made_plain("ＡＢ１ ﬁle 𝐱𝐬𝐬"), "AB1 file xss");
        assert_eq!(made_plain("e\u{301}"), "é");
    }

    #[test]
    fn other_characters_stay() {
        for text in ["x² ™ ® © ½ №", "«où»", "漢字", "ﷺ", "plain `code`"] {
            assert_eq!(made_plain(text), text);
        }
    }
}
