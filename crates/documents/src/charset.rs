//! Bytes as characters: byte order mark, stated charset, UTF-8, and at last windows-1252.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::error::{Error, Result};
use crate::kind::Kind;

/// Decodes `bytes`; `stated` is a charset that somebody named, by any label of the WHATWG Encoding Standard.
///
/// A byte order mark wins over everything, and valid UTF-8 over a stated single-byte charset of the West, which is
/// more often a template's than a truth. Nothing fails: what cannot be decoded becomes U+FFFD.
pub(crate) fn decode(bytes: &[u8], stated: Option<&str>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    let stated = stated.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    match stated {
        // Whoever could read the statement read single bytes, so it is wrong.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => unstated(bytes),
        Some(encoding) if encoding != UTF_8 && encoding != WINDOWS_1252 => {
            encoding.decode_without_bom_handling(bytes).0.into_owned()
        }
        Some(encoding) if encoding == UTF_8 => String::from_utf8_lossy(bytes).into_owned(),
        _ => unstated(bytes),
    }
}

/// UTF-8 where most of what is not ASCII is valid UTF-8, else windows-1252.
fn unstated(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    if bad <= good {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned()
}

/// How many control characters stand in `bytes` that no text has; none are seen in UTF-16 with its mark.
pub(crate) fn control_characters(bytes: &[u8]) -> usize {
    if Encoding::for_bom(bytes).is_some_and(|(encoding, _)| encoding != UTF_8) {
        return 0;
    }
    // Tab, line feed, form feed, carriage return and escape stand in logs and in terminal captures. Written without
    // branches, because every byte of every text passes here.
    let is_control = |byte: &u8| u8::from((*byte < 9) | ((*byte > 0x0d) & (*byte < 0x20) & (*byte != 0x1b)));
    bytes.chunks(255).map(|chunk| usize::from(chunk.iter().map(is_control).sum::<u8>())).sum()
}

/// Refuses what is plainly no text: more than one control character in fifty bytes.
pub(crate) fn check_text(bytes: &[u8], kind: Kind) -> Result<()> {
    let controls = control_characters(bytes);
    if controls > bytes.len() / 50 {
        return Err(Error::NotText { kind, controls, bytes: bytes.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_statements_and_guesses_are_followed_in_this_order() {
        assert_eq!(decode(b"\xef\xbb\xbfh\xc3\xa9", Some("latin1")), "hé");
        assert_eq!(decode(b"\xff\xfeh\0\xe9\0", None), "hé");
        assert_eq!(decode(b"\xfe\xff\0h\0\xe9", Some("utf-8")), "hé");
        assert_eq!(decode(b"h\xe9", Some("ISO-8859-1")), "hé");
        assert_eq!(decode("hé".as_bytes(), Some("ISO-8859-1")), "hé");
        assert_eq!(decode(b"\x93\xfa", Some("shift_jis")), "日");
        assert_eq!(decode(b"\x93quoted\x94 \x80", None), "“quoted” €");
        assert_eq!(decode(b"h\xe9", Some("utf-8")), "h\u{fffd}");
        assert_eq!(decode("hé".as_bytes(), Some("utf-16")), "hé");
        assert_eq!(decode(b"h\xe9", Some("no such charset")), "hé");
    }

    #[test]
    fn one_bad_byte_does_not_spoil_a_text_in_utf_8() {
        assert_eq!(decode(b"\xc3\xa9\xc3\xa8\xff", None), "éè\u{fffd}");
        assert_eq!(decode("aé".as_bytes().split_last().unwrap().1, None), "aÃ");
        assert_eq!(decode("éé".as_bytes().split_last().unwrap().1, None), "é\u{fffd}");
    }

    #[test]
    fn what_is_no_text_is_told() {
        assert!(check_text(&[0; 100], Kind::Plain).is_err());
        assert!(check_text(b"", Kind::Plain).is_ok());
        assert!(check_text(b"a\tb\r\n\x1b[1m", Kind::Plain).is_ok());
        assert!(check_text(b"\xff\xfea\0", Kind::Plain).is_ok());
    }
}
