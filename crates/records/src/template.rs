//! What is left of a text when its names are taken out: the template that it was written by.
//!
//! Advisories are written by templates: `SQL injection in Larkmoor Desk 2.3 allows remote attackers to run SQL via the
//! sort parameter` and the same words on Tarn Viewer are one text to a model that should tell weaknesses apart. Such
//! texts share too few words to be near-duplicates ([`crate::dedup`]), so a [`skeleton`] of each is compared instead.
//!
//! Three steps make it: names, versions, numbers, paths, identifiers, quoted strings and what stands before words such
//! as `parameter` become the one word [`MASK`]; words that carry no meaning of their own are dropped; words of one
//! stem or one meaning become one. A word with a capital is a name unless `TERMS` has it: the field writes its own
//! terms with capitals (`Improper Neutralization of Input`), and without them unlike weaknesses would look alike.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::alike::{Set, runs};

/// What stands for a name.
pub const MASK: &str = "_";

/// The share of common parts from which on two skeletons are one template, unless a recipe says otherwise.
pub const DEFAULT_TEMPLATE_THRESHOLD: f64 = 0.8;

/// Words of the field which stay though they are written with a capital, or with capitals throughout.
const TERMS: &str = "access active after ajax allocation api arbitrary argument assignment attack attacker authenticated \
    authentication authorization availability based blind bounds broken brute buffer bypass certificate check \
    checks classic cleartext clickjacking code coded command condition confidentiality configuration confusion \
    consumption content contributor control controlled cookie corruption credentials cross csrf csv dangerous \
    data default denial dereference deserialization direct directory disclosure div dll dns document dom dos \
    double elements elevation encoding encryption entity error escalation escaping exception execution exposed \
    exposure external file filename files fixation flaw forced forgery format formula free ftp function \
    functionality generation handling hard hardcoded header heap hijacking host html http https idor \
    implementation improper inadequate inclusion incorrect information initialization injection input insecure \
    insertion insufficient integer integrity invalid issue json key lack ldap leak length limitation link local \
    log logic management memory message missing mitm multiple name neutralization null object open origin out \
    output overflow overread overwrite page pages parameter password path pathname permission permissions \
    persistent php pointer poisoning pollution privilege privileges process program protection prototype query \
    race random rce read redirect redirection reference reflected remote request resource resources restriction \
    reuse root sanitization script scripting search secret secure security sensitive server service session \
    shortcode side signature site smuggling special spoofing sql sqli ssh ssl ssrf stack state statement storage \
    store stored symbolic system tampering tcp template time tls token transmission traversal type uaf udp \
    unauthenticated unauthorized uncontrolled underflow uninitialized unquoted unrestricted unsafe unspecified \
    untrusted update upload uri url use used user validation variable verification vulnerabilities vulnerability \
    weak web write xml xpath xss xxe zone";

/// Words that tell nothing: articles, prepositions and auxiliaries, what surrounds a version, how a flaw was met.
const EMPTY: &str = "a all also an and any are as at be because been before being below but by can certain could discovered do \
    does due earlier exist existed exists for found from has have identified if in including into is it its \
    later may might no of older on or other possibly potentially prior s several since some such than that the \
    their there these they this those through thru to up upon version versions via was were when where which who \
    will with within would";

/// Words of one meaning, sorted by the first of each pair; the second stands for both.
const ALIKE: &[(&str, &str)] = &[
    ("adversary", "attacker"),
    ("bug", "vulnerability"),
    ("cause", "lead"),
    ("defect", "vulnerability"),
    ("enable", "allow"),
    ("execute", "run"),
    ("execution", "run"),
    ("exploit", "attack"),
    ("flaw", "vulnerability"),
    ("give", "allow"),
    ("issue", "vulnerability"),
    ("let", "allow"),
    ("make", "lead"),
    ("malicious", "crafted"),
    ("obtain", "read"),
    ("permit", "allow"),
    ("result", "lead"),
    ("specially", "crafted"),
    ("trigger", "lead"),
    ("vulnerable", "vulnerability"),
    ("weakness", "vulnerability"),
];

/// What stands before one of these is a name, whatever it is written like: `the sort parameter`.
const HEADS: &str = "action argument class component cookie endpoint field function method module option parameter plugin \
    shortcode variable";

/// The tables as sets.
struct Tables {
    terms: HashSet<&'static str>,
    empty: HashSet<&'static str>,
    heads: HashSet<&'static str>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let set = |table: &'static str| table.split(' ').collect();
    Tables { terms: set(TERMS), empty: set(EMPTY), heads: set(HEADS) }
});

/// Words in a part of a skeleton.
pub const PART_WORDS: usize = 2;
/// A skeleton of fewer different parts is too short to be told from another one.
pub const MIN_PARTS: usize = 3;
/// The share of a text's chunks that are plain words, below which it is code or a table and has no template.
const PROSE_SHARE: f64 = 0.5;
/// At most so many words of a quotation are taken for one quoted string.
const MAX_QUOTED_WORDS: usize = 8;

/// The words of `text` without its names, each with the meaning that the file's head tells.
#[must_use]
pub fn skeleton(text: &str) -> Vec<String> {
    let chunks: Vec<&str> = text.split_whitespace().collect();
    let mut bones = Bones::default();
    let (mut at, mut starts) = (0, true);
    while at < chunks.len() {
        if let Some(len) = quoted(&chunks[at..]) {
            bones.mask();
            at += len;
            starts = false;
            continue;
        }
        let chunk = chunks[at];
        let before_name = chunks.get(at + 1).is_some_and(|next| looks_like_name(next));
        bones.chunk(chunk, starts && !before_name);
        starts = chunk.ends_with(['.', ':', '!', '?']);
        at += 1;
    }
    bones.words
}

/// Whether `text` is prose, which templates are made of: of code, nothing but a few keywords would be left.
#[must_use]
pub fn is_prose(text: &str) -> bool {
    let is_word = |chunk: &str| {
        let end =
            chunk.trim_start_matches(['(', '"', '\'']).trim_end_matches(['.', ',', ';', ':', ')', '"', '\'', '!', '?']);
        !end.is_empty() && end.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '\u{2019}'))
    };
    let (mut words, mut chunks) = (0usize, 0usize);
    for chunk in text.split_whitespace() {
        chunks += 1;
        words += usize::from(is_word(chunk));
    }
    words as f64 >= PROSE_SHARE * chunks as f64
}

/// The word pairs of the skeleton of `text`; `None` where it is no prose or has fewer than `min` different ones.
pub(crate) fn parts(text: &str, min: usize) -> Option<Set> {
    if !is_prose(text) {
        return None;
    }
    Some(runs(&skeleton(text), PART_WORDS)).filter(|set| set.len() >= min)
}

/// How many chunks a quotation at the beginning of `chunks` takes, if there is one.
fn quoted(chunks: &[&str]) -> Option<usize> {
    let first = chunks[0];
    let open = first.chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '\u{201c}' => '\u{201d}',
        '\u{2018}' => '\u{2019}',
        _ => return None,
    };
    let ends = |chunk: &&str| chunk.trim_end_matches([',', '.', ';', ':', ')']).ends_with(close);
    if first.chars().count() > 1 && ends(&&first[open.len_utf8()..]) {
        return Some(1);
    }
    let more = chunks.iter().skip(1).take(MAX_QUOTED_WORDS).position(ends)?;
    Some(more + 2)
}

fn trimmed(chunk: &str) -> &str {
    chunk.trim_matches(|c: char| !c.is_alphanumeric())
}

fn is_term(lower: &str) -> bool {
    TABLES.terms.contains(lower)
}

/// Whether `chunk` is written like the second word of a name, or like a version.
fn looks_like_name(chunk: &str) -> bool {
    let word = trimmed(chunk);
    word.contains(|c: char| c.is_ascii_digit())
        || word.starts_with(char::is_uppercase) && !is_term(&word.to_lowercase())
}

/// Whether `core` cannot be a word of a language: a version, a path, a file, a call, an identifier.
fn is_code(chunk: &str, core: &str) -> bool {
    let odd = |c: char| c.is_ascii_digit() || matches!(c, '_' | '\\' | '=' | '<' | '>' | '@' | ':' | '$' | '&' | '#');
    let file = |(stem, end): (&str, &str)| !stem.is_empty() && !end.starts_with(char::is_uppercase);
    core.contains(odd)
        || chunk.contains("()")
        || chunk.starts_with(['/', '\\'])
        || core.matches('/').count() > 1
        || core.rsplit_once('.').is_some_and(file)
}

/// The words of a skeleton as they come.
#[derive(Debug, Default)]
struct Bones {
    words: Vec<String>,
}

impl Bones {
    /// Adds a name; several in a row are one.
    fn mask(&mut self) {
        if self.words.last().is_none_or(|last| last != MASK) {
            self.words.push(MASK.into());
        }
    }

    /// Adds what stands between two blanks; `plain` where a sentence starts and no name does.
    fn chunk(&mut self, chunk: &str, plain: bool) {
        let core = trimmed(chunk);
        if core.is_empty() {
            return;
        }
        if is_code(chunk, core) {
            return self.mask();
        }
        let mut plain = plain;
        for part in core.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
            self.part(part, plain);
            // Where a full stop has no blank behind it, a sentence starts in the middle of a chunk.
            plain = core.contains('.');
        }
    }

    /// Adds a word that consists of letters alone; `plain` where a capital at its beginning means nothing.
    fn part(&mut self, part: &str, plain: bool) {
        let lower = part.to_lowercase();
        if TABLES.empty.contains(lower.as_str()) {
            return;
        }
        let has_capital = part.contains(char::is_uppercase);
        let starts_only = part.chars().skip(1).all(|c| !c.is_uppercase()) && plain;
        if has_capital && !starts_only && !is_term(&lower) {
            return self.mask();
        }
        let stem = stem(&lower);
        if TABLES.heads.contains(stem.as_str()) && self.words.last().is_some_and(|last| last != MASK) {
            self.words.pop();
            self.mask();
        }
        if self.words.last().is_none_or(|last| *last != stem) {
            self.words.push(stem);
        }
    }
}

/// `word` without the endings of the plural and of the third person, as the word that stands for its meaning.
fn stem(word: &str) -> String {
    let keeps = word.len() <= 3 || word.ends_with("ss") || word.ends_with("us") || word.ends_with("is");
    let short = match word.strip_suffix("ies") {
        Some(head) if head.len() > 2 => format!("{head}y"),
        _ if keeps => word.to_owned(),
        _ => word.strip_suffix('s').unwrap_or(word).to_owned(),
    };
    let found = ALIKE.binary_search_by(|(from, _)| (*from).cmp(short.as_str()));
    found.map_or(short, |at| ALIKE[at].1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tables_hold_each_word_once_and_are_in_order() {
        for table in [TERMS, EMPTY, HEADS] {
            let words: Vec<&str> = table.split(' ').collect();
            assert!(words.is_sorted_by(|left, right| left < right));
        }
        assert!(ALIKE.is_sorted_by(|left, right| left.0 < right.0));
        assert!(ALIKE.iter().all(|(from, to)| stem(from) == *to && stem(to) == *to), "a stand-in stands for itself");
    }

    #[test]
    fn two_advisories_by_one_template_have_one_skeleton() {
        let one =
            skeleton("SQL injection in Larkmoor Desk 2.3 allows remote attackers to run SQL via the sort parameter.");
        let two = skeleton("SQL injection in Tarn Viewer 1.8 lets a remote attacker execute SQL via the id parameter");
        assert_eq!(one, two);
        assert_eq!(one.join(" "), "sql injection _ allow remote attacker run sql _ parameter");
    }

    #[test]
    fn names_paths_calls_quotations_and_numbers_are_masked_and_terms_are_not() {
        let bones = |text: &str| skeleton(text).join(" ");
        assert_eq!(bones("Tarn Viewer mishandles /lib/a.c in tea_brew() and \"two words\""), "_ mishandle _");
        assert_eq!(bones("Improper Neutralization of Input in Acme"), "improper neutralization input _");
        assert_eq!(bones("Reflected XSS.This issue affects Acme: n/a"), "reflected xss vulnerability affect _ n");
        assert_eq!(bones("The teapot plugin boils over"), "_ plugin boil over");
        assert_eq!(bones("Unspecified vulnerability, it's there"), "unspecified vulnerability");
        assert_eq!(bones("  ... 'open"), "open");
    }

    #[test]
    fn another_weakness_is_another_template() {
        let sql = skeleton("SQL injection in Larkmoor Desk 2.3 allows remote attackers to run SQL via sort");
        let path = skeleton("Directory traversal in Larkmoor Desk 2.3 allows remote attackers to read files via sort");
        assert!(sql.iter().filter(|word| path.contains(word)).count() * 2 < sql.len() + path.len());
    }

    #[test]
    fn code_and_short_texts_have_no_template() {
        let code = "static int f(char *p) { if (p == NULL) return -1; *p++ = 0; return (int)(p - q); }";
        assert!(parts(code, MIN_PARTS).is_none() && !is_prose(code));
        assert!(parts("Acme uses Teapot", MIN_PARTS).is_none(), "too short");
        assert!(parts("Acme Teapot 1.0 has SQL injection in pour.php", MIN_PARTS).is_some());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_masks_never_stand_in_a_row(text in "\\PC{0,80}") {
            let words = skeleton(&text);
            prop_assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
