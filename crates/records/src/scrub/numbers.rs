//! Bank accounts and payment cards: what their check digits confirm.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{is_word, window_before};

static IBAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{1,4}){3,8}").expect("a tested expression"));
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[0-9]{4}([ -])[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}|3[47][0-9]{2}([ -])[0-9]{6}[ -][0-9]{5}|[0-9]{15,16}")
        .expect("a tested expression")
});
static CARD_WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\b(?:card|visa|mastercard|amex|pan|maestro)\b").expect("a tested expression"));

/// How long an account's number is in each country (IBAN registry, ISO 13616).
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("BR", 29),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("TR", 26),
    ("UA", 29),
];

/// Account numbers in one piece or in groups of four.
pub(super) fn ibans(text: &str, found: &mut Vec<Range<usize>>) {
    for whole in IBAN.find_iter(text) {
        let Some(&(_, length)) = IBAN_LENGTHS.iter().find(|(country, _)| whole.as_str().starts_with(country)) else {
            continue;
        };
        // The match may have run on into the next word.
        let mut digits = 0;
        let end = whole.as_str().find(|c: char| {
            digits += usize::from(c != ' ');
            digits > length
        });
        let range =
            whole.start()..whole.start() + end.map_or(whole.len(), |end| whole.as_str()[..end].trim_end().len());
        if is_word(text, &range) && has_iban_check(&text[range.clone()], length) {
            found.push(range);
        }
    }
}

/// ISO 7064, MOD 97-10.
fn has_iban_check(text: &str, length: usize) -> bool {
    let signs: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    if signs.len() != length {
        return false;
    }
    let rotated = signs[4..].iter().chain(&signs[..4]);
    let remainder = rotated.filter_map(|c| c.to_digit(36)).fold(0, |sum, digit| {
        let shift = if digit > 9 { 100 } else { 10 };
        (sum * shift + digit) % 97
    });
    remainder == 1
}

/// Card numbers in groups, or in one piece after a word that announces a card.
pub(super) fn cards(text: &str, found: &mut Vec<Range<usize>>) {
    for captures in CARD.captures_iter(text) {
        let range = captures.get_match().range();
        let digits: Vec<u8> = text[range.clone()].bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
        let is_grouped = captures.iter().skip(1).flatten().next().is_some();
        let is_announced = CARD_WORD.is_match(window_before(text, range.start, 40));
        if is_apart(text, &range) && (is_grouped || is_announced) && is_issued(&digits) && has_card_check(&digits) {
            found.push(range);
        }
    }
}

fn is_apart(text: &str, range: &Range<usize>) -> bool {
    let goes_on = |text: &str| text.starts_with([' ', '-', '.']) && text[1..].starts_with(|c: char| c.is_ascii_digit());
    let began = text[..range.start]
        .strip_suffix([' ', '-', '.'])
        .is_some_and(|head| head.ends_with(|c: char| c.is_ascii_digit()));
    is_word(text, range) && !goes_on(&text[range.end..]) && !began
}

/// Whether an issuer of that size of cards has numbers that begin like this: Visa, Mastercard, Amex, Discover, JCB.
fn is_issued(digits: &[u8]) -> bool {
    match digits {
        [3, 4 | 7, ..] => digits.len() == 15,
        [4, ..] | [5, 1..=5, ..] | [2, 2..=7, ..] | [6, 5, ..] | [6, 0, 1, 1, ..] | [3, 5, ..] => digits.len() == 16,
        _ => false,
    }
}

/// Luhn's check digit (ISO/IEC 7812-1, annex B).
fn has_card_check(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(*digit) << (at % 2);
            doubled / 10 + doubled % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(find: fn(&str, &mut Vec<Range<usize>>), text: &str) -> usize {
        let mut ranges = Vec::new();
        find(text, &mut ranges);
        ranges.len()
    }

    #[test]
    fn a_bank_account_needs_its_check_digits_and_its_length() {
        assert_eq!(found(ibans, "DE89 3704 0044 0532 0130 00 is the account"), 1);
        assert_eq!(found(ibans, "GB82WEST12345698765432."), 1);
        assert_eq!(found(ibans, "GB83WEST12345698765432 DE89 3704 0044 0532 0130"), 0);
    }

    #[test]
    fn a_card_needs_its_check_digit_and_groups_or_a_word() {
        assert_eq!(found(cards, "4111-1111-1111-1111 and card 4111111111111111"), 2);
        assert_eq!(found(cards, "4111 1111 1111 1112, id 4111111111111111, 4111 1111 1111 1111 2222"), 0);
        assert_eq!(found(cards, "9111 1111 1111 1116"), 0);
    }
}
