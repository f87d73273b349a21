//! Slips of the finger: neighbours swapped, or a key beside the right one.

use crate::phrasing::draw;

/// The share of plain words that gets a slip.
const SHARE: f64 = 0.1;
/// Shorter words are left alone: a slip in them is often another word.
const FEWEST_LETTERS: usize = 5;
/// The rows of a keyboard.
const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// `text` with slips in a tenth of its plain words and in one at least; `None` where it has none. Plain words are of
/// small letters alone, with blanks or a full stop or comma around: no names, no paths, no identifiers.
pub(super) fn misspell(text: &str, seed: u64, id: &str) -> Option<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let plain: Vec<usize> = (0..words.len()).filter(|&at| is_plain(words[at])).collect();
    let mut drawn: Vec<(f64, usize)> = plain.iter().map(|&at| (draw(seed, &format!("typo {at}"), id), at)).collect();
    drawn.sort_by(|left, right| left.0.total_cmp(&right.0));
    let count = ((plain.len() as f64 * SHARE).round() as usize).max(1);
    let mut changed: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    for &(_, at) in drawn.iter().take(count) {
        changed[at] = slip(words[at], draw(seed, &format!("slip {at}"), id));
    }
    (!plain.is_empty()).then(|| changed.join(" "))
}

fn is_plain(word: &str) -> bool {
    let letters = word.trim_end_matches(['.', ',']);
    letters.len() >= FEWEST_LETTERS
        && word.len() - letters.len() <= 1
        && letters.bytes().all(|b| b.is_ascii_lowercase())
}

/// One slip within a plain word, behind its first letter; `drawn` (0..1) fixes which.
fn slip(word: &str, drawn: f64) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let inner = letters.iter().take_while(|c| c.is_ascii_lowercase()).count() - 1;
    let at = 1 + ((drawn * 2.0).fract() * inner as f64) as usize;
    let at = at.min(inner);
    if drawn < 0.5 && at < inner && letters[at] != letters[at + 1] {
        letters.swap(at, at + 1);
    } else {
        letters[at] = beside(letters[at], (drawn * 64.0).fract() < 0.5);
    }
    letters.into_iter().collect()
}

/// A key beside that of a small letter.
fn beside(letter: char, to_the_left: bool) -> char {
    let row = ROWS.iter().find(|row| row.contains(letter)).unwrap_or(&ROWS[0]);
    let at = row.find(letter).unwrap_or(0);
    let beside = match (at, to_the_left) {
        (0, _) => 1,
        (at, true) => at - 1,
        (at, false) if at + 1 < row.len() => at + 1,
        (at, false) => at - 1,
    };
    row.as_bytes()[beside] as char
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_words_slip_and_a_tenth_of_them() {
        let text =
            "The Kettle boils water.php under /tmp/water with water_level, because nobody looks after it. ".repeat(10);
        let text = text.trim_end();
        let changed = misspell(text, 1, "x").unwrap();
        let (old, new): (Vec<&str>, Vec<&str>) = (text.split(' ').collect(), changed.split(' ').collect());
        assert_eq!(old.len(), new.len());
        let slips: Vec<_> = old.iter().zip(&new).filter(|(old, new)| old != new).collect();
        // Six plain words in each of ten sentences: boils, under, because, nobody, looks, after.
        assert_eq!(slips.len(), 6, "{slips:?}");
        assert!(slips.iter().all(|(old, new)| is_plain(old) && new.len() == old.len()), "{slips:?}");
        assert_eq!(misspell("Kettle_1 is hot", 1, "x"), None);
    }

    proptest! {
        #[test]
        fn a_slip_changes_a_word_and_keeps_its_first_letter(word in "[a-z]{5,12}[.,]?", drawn in 0.0f64..1.0) {
            let slipped = slip(&word, drawn);
            prop_assert_ne!(&slipped, &word);
            prop_assert_eq!(slipped.chars().next(), word.chars().next());
            prop_assert_eq!(slipped.len(), word.len());
        }
    }
}
