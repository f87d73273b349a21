//! What a text is written in: English, unless there is good reason to think otherwise.
//!
//! Descriptions are full of product names and code, and a trigram model calls many of them Dutch or Latin. So a text with
//! enough English function words is English; only others are shown to `whatlang`, among the languages in which
//! vulnerabilities are published, and its word counts where it is confident.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use whatlang::{Detector, Lang, Script};

/// Only so much of a text is looked at, in bytes.
const MAX_BYTES: usize = 4 << 10;
/// A text with fewer letters has no language of its own.
const MIN_LETTERS: usize = 40;
/// From this share of English function words on a text is English; real English descriptions have 0.3.
const ENGLISH_SHARE: f64 = 0.10;
/// From this confidence on another Latin language is believed.
const MIN_CONFIDENCE: f64 = 0.80;
/// And where this share of its words are its own function words, or so many letters have its accents.
const OWN_SHARE: f64 = 0.15;
const MIN_ACCENTS: usize = 4;
/// The language of a text shows in its first words.
const MAX_WORDS: u32 = 64;
/// Fewer words between blanks are a name, a title or a URL.
const MIN_WORDS: usize = 6;

/// A language by its ISO 639-3 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language(Lang);

impl Language {
    /// The default.
    pub const ENGLISH: Self = Self(Lang::Eng);

    /// The ISO 639-3 code, such as `eng`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The English name, such as `German`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.eng_name()
    }

    /// Whether it is English.
    #[must_use]
    pub fn is_english(self) -> bool {
        self == Self::ENGLISH
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        Lang::from_code(code)
            .map(Self)
            .ok_or_else(|| format!("`{code}` is no known language\nhint: three letters of ISO 639-3, such as `eng`"))
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

/// English function words, and verbs and nouns of every description.
const ENGLISH: &[&str] = &[
    "the",
    "of",
    "in",
    "to",
    "and",
    "a",
    "an",
    "is",
    "was",
    "via",
    "by",
    "on",
    "for",
    "with",
    "that",
    "this",
    "before",
    "allows",
    "allow",
    "attackers",
    "attacker",
    "which",
    "or",
    "not",
    "could",
    "can",
    "may",
    "from",
    "when",
    "has",
    "been",
    "it",
    "as",
    "does",
    "are",
    "be",
    "vulnerability",
    "earlier",
    "through",
    "users",
    "remote",
    "code",
    "function",
    "file",
    "versions",
    "version",
    "issue",
    "during",
];

/// Words that only sentences have.
const FUNCTION_WORDS: &[(Lang, &[&str])] = &[
    (
        Lang::Deu,
        &[
            "der", "die", "das", "und", "ist", "ein", "eine", "einer", "wird", "wurde", "durch", "mit", "nicht", "von",
            "dem", "den", "des", "kann",
        ],
    ),
    (
        Lang::Fra,
        &[
            "le", "la", "les", "des", "une", "un", "est", "dans", "et", "du", "pour", "par", "qui", "que", "de",
            "permet",
        ],
    ),
    (Lang::Spa, &["el", "la", "los", "las", "una", "un", "de", "en", "que", "por", "con", "para", "es", "se", "del"]),
    (Lang::Por, &["os", "uma", "um", "de", "que", "para", "com", "em", "do", "da", "dos", "por", "no", "na"]),
    (Lang::Ita, &["il", "lo", "la", "gli", "di", "che", "un", "una", "per", "con", "nel", "della", "del", "in"]),
    (Lang::Nld, &["de", "het", "een", "van", "en", "dat", "met", "niet", "voor", "op", "door", "kan"]),
];

/// Languages of CERTs and vendors written in Latin letters.
static LATIN: LazyLock<Detector> = LazyLock::new(|| {
    use Lang::{Ces, Dan, Deu, Eng, Fin, Fra, Hun, Ita, Nld, Pol, Por, Ron, Spa, Swe, Tur, Vie};
    Detector::with_allowlist(vec![Eng, Deu, Fra, Spa, Por, Ita, Nld, Pol, Ces, Swe, Dan, Fin, Hun, Ron, Tur, Vie])
});

/// What `text` is written in; English where that is not clear.
#[must_use]
pub fn language(text: &str) -> Language {
    let text = &text[..text.floor_char_boundary(MAX_BYTES)];
    if is_mostly_ascii(text) && english_share(text) >= ENGLISH_SHARE {
        return Language::ENGLISH;
    }
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let foreign = text.chars().filter(|c| c.is_alphabetic() && !is_latin(*c)).count();
    // Signs of Chinese and the like say more each.
    if foreign >= MIN_LETTERS / 4 && foreign * 4 >= letters {
        let found = whatlang::detect(&text.chars().filter(|c| !c.is_ascii()).collect::<String>());
        return found
            .filter(|info| info.script() != Script::Latin)
            .map_or(Language::ENGLISH, |info| Language(info.lang()));
    }
    let is_word = |word: &&str| word.chars().all(char::is_alphabetic);
    if letters < MIN_LETTERS
        || text.split_whitespace().filter(is_word).count() < MIN_WORDS
        || english_share(text) >= ENGLISH_SHARE
    {
        return Language::ENGLISH;
    }
    let found =
        LATIN.detect(text).filter(|info| info.confidence() >= MIN_CONFIDENCE && has_signs_of(info.lang(), text));
    found.map_or(Language::ENGLISH, |info| Language(info.lang()))
}

/// Whether a Latin text shows more of `lang` than trigrams: function words, or accents where none are listed.
fn has_signs_of(lang: Lang, text: &str) -> bool {
    if let Some((_, own)) = FUNCTION_WORDS.iter().find(|(known, _)| *known == lang) {
        return share_of(text, |word| own.iter().any(|known| known.eq_ignore_ascii_case(word))) >= OWN_SHARE;
    }
    text.chars().filter(|c| c.is_alphabetic() && !c.is_ascii()).count() >= MIN_ACCENTS
}

/// Whether the text is in Latin letters for sure.
fn is_mostly_ascii(text: &str) -> bool {
    text.is_ascii() || text.bytes().filter(u8::is_ascii).count() * 10 >= text.len() * 9
}

/// Latin letters and their combinations, up to Latin Extended Additional.
fn is_latin(c: char) -> bool {
    c < '\u{250}' || ('\u{1e00}'..='\u{1eff}').contains(&c)
}

/// [`ENGLISH`] by first letter.
static BY_LETTER: LazyLock<[Vec<&str>; 26]> = LazyLock::new(|| {
    std::array::from_fn(|at| {
        ENGLISH.iter().copied().filter(|word| usize::from(word.as_bytes()[0] - b'a') == at).collect()
    })
});

/// The share of words that are English function words.
fn english_share(text: &str) -> f64 {
    share_of(text, |word| {
        let letter = word.as_bytes()[0].to_ascii_lowercase().wrapping_sub(b'a');
        let known = BY_LETTER.get(usize::from(letter)).map_or(&[][..], Vec::as_slice);
        known.iter().any(|known| word.eq_ignore_ascii_case(known))
    })
}

/// The share of the first words that are `known`.
fn share_of(text: &str, known: impl Fn(&str) -> bool) -> f64 {
    let (mut words, mut found) = (0u32, 0u32);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        words += 1;
        found += u32::from(known(word));
        if words == MAX_WORDS {
            break;
        }
    }
    f64::from(found) / f64::from(words.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_languages_are_recognised() {
        for (text, code) in [
            (
                "Es wurde eine Schwachstelle in dem Produkt gefunden. Durch die Manipulation kann ein Angreifer Daten lesen.",
                "deu",
            ),
            (
                "Une vulnérabilité permet à un attaquant de contourner la politique de sécurité et de lire des fichiers.",
                "fra",
            ),
            (
                "Una vulnerabilidad en el componente permite que un atacante remoto lea archivos sin autorización.",
                "spa",
            ),
            ("В продукте обнаружена уязвимость, которая позволяет злоумышленнику выполнить произвольный код.", "rus"),
            ("该产品存在缓冲区溢出漏洞，攻击者可利用该漏洞执行任意代码。", "cmn"),
        ] {
            assert_eq!(language(text).code(), code, "{text}");
        }
    }

    #[test]
    fn names_of_products_and_short_texts_are_english() {
        for text in [
            "",
            "Acme",
            "SQL injection in Mambo com_foo",
            "Buffer overflow in Kerio WinRoute Firewall 6.1",
            "Täter",
            "Dedecms v5.7 RCE",
            "http://www.ficora.fi/suomi/tietoturva/varoitukset/varoitus-2005-82.htm",
            "Apache Commons Collections Java library insecurely deserializes data",
            "AVE DOMINAplus Jenkins Nagios Joomla Typo3 Moodle Zabbix",
        ] {
            assert_eq!(language(text), Language::ENGLISH, "{text}");
        }
    }

    #[test]
    fn a_language_is_its_code() {
        let german: Language = "deu".parse().unwrap();
        assert_eq!((german.name(), serde_json::to_string(&german).unwrap().as_str()), ("German", "\"deu\""));
        assert!("xx".parse::<Language>().unwrap_err().contains("hint:"));
        assert!(serde_json::from_str::<Language>("\"eng\"").unwrap().is_english());
    }
}
