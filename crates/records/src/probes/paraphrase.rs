//! The same said in other words: a table of rules over the phrases that descriptions are made of.
//!
//! Rules are tried in order, each over the whole text; what an earlier one wrote, a later one may change. A rule turns a
//! phrase (a synonym), a frame (active and passive) or the order of clauses. A text counts as paraphrased where two
//! rules fired or an eighth of its words changed.
//!
//! tidy: table

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::overlap::overlap;

/// Longer texts are left alone.
const MAX_BYTES: usize = 16 << 10;
/// The share of the words that must have changed where one rule alone fired.
const MIN_CHANGED: f64 = 0.125;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name, for counting.
    pub name: &'static str,
    /// What it looks for, in any case.
    pattern: &'static str,
    /// What it writes: `$1` is what the first group matched, `~1` the same beginning with a small letter.
    to: &'static str,
}

const fn rule(name: &'static str, pattern: &'static str, to: &'static str) -> Rule {
    Rule { name, pattern, to }
}

/// A character of a sentence: a full stop only within a word, as in a version.
macro_rules! within {
    ($count:literal) => {
        concat!(r"(?:[^.]|\.\S){", $count, "}?")
    };
}
/// Those who attack, with what is said of them.
macro_rules! attackers {
    () => {
        r"((?:an? |the |any )?(?:[\w\-]+,? ){0,4}?(?:attackers?|users?|actors?|adversary|adversaries))"
    };
}

/// All rules, frames before phrases.
pub static RULES: &[Rule] = &[
    // Frames: whole sentences, in the styles of those who write most descriptions.
    rule(
        "rated-in",
        concat!(
            r"^A vulnerability(?:,? which was)?,? classified as (\w+),? (?:was|has been) found in (",
            within!("3,120"),
            r")\. "
        ),
        "$2 has a vulnerability that is rated $1. ",
    ),
    rule(
        "found-and-rated",
        concat!(r"^A vulnerability (?:was|has been) found in (", within!("3,120"), r") and classified as (\w+)\. "),
        "$1 has a vulnerability that is rated $2. ",
    ),
    rule(
        "found-then-rated",
        concat!(
            r"^A vulnerability (?:was|has been) found in (",
            within!("3,120"),
            r")\. It has been (?:rated|declared|classified) as (\w+)\. "
        ),
        "$1 has a vulnerability that is rated $2. ",
    ),
    rule(
        "place",
        r"\b(?:Affected by this (?:vulnerability|issue) is|Affected is|This affects|This (?:vulnerability|issue) affects) (an unknown|the|some unknown) (functionality|function|part|code|processing)\b",
        "At fault is $1 $2",
    ),
    rule(
        "argument",
        concat!(r"\b(?:The )?manipulation of the argument (", within!("1,120"), ") (?:leads to|results in|causes) "),
        "Tampering with the argument $1 ends in ",
    ),
    rule("manipulation", r"\bThe manipulation (?:leads to|results in|causes) ", "Tampering with it ends in "),
    rule(
        "remotely",
        r"\b(?:It is possible to (?:initiate|launch) the attack remotely|The attack (?:can|may) be (?:initiated|launched) remotely)\.",
        "The attack works over the network.",
    ),
    rule(
        "known",
        r"\bThe exploit has been disclosed to the public and may be used\.",
        "How to exploit it is publicly known.",
    ),
    rule(
        "plugin-users",
        r"\bThis makes it possible for ((?:un)?authenticated attackers?(?:,? (?:with|who)[^.]{3,90}?(?:above|higher|up|permissions|access),?)?) to (\w+)",
        "Because of it, $1 can $2",
    ),
    rule(
        "linux",
        r"^In the Linux kernel, the following vulnerability has been resolved: ",
        "A fault of the Linux kernel has been mended: ",
    ),
    rule(
        "range-to",
        concat!(r"\bThis issue affects (", within!("2,100"), r"): from n/a through (\S+?)\.(\s|$)"),
        "Affected is $1, in every version up to $2.$3",
    ),
    rule(
        "range",
        concat!(r"\bThis issue affects (", within!("2,100"), r"): from (\S+) through (\S+?)\.(\s|$)"),
        "Affected is $1, from $2 up to $3.$4",
    ),
    rule(
        "range-before",
        concat!(r"\bThis issue affects (", within!("2,100"), r"): (?:from (\S+) )?before (\S+?)\.(\s|$)"),
        "Affected is $1, in versions older than $3.$4",
    ),
    rule(
        "title",
        r"\bImproper (?:Neutralization|Limitation|Control|Restriction) of [^()'‘]{5,100} \((?:XSS or )?['‘]([^'‘’()]+)['’]\) vulnerability in ",
        "A weakness of the kind '$1' in ",
    ),
    rule(
        "clauses-a",
        concat!(
            r"^(An?) (",
            within!("3,60"),
            r" (?:vulnerability|flaw|issue|overflow|injection)) in (",
            within!("3,80"),
            r") allows ",
            attackers!(),
            r" to (",
            within!("5,120"),
            r") via (",
            within!("5,120"),
            r")\.$"
        ),
        "By way of $6, $4 can $5 because of ~1 $2 in $3.",
    ),
    rule(
        "clauses",
        concat!(
            r"^(",
            within!("3,60"),
            r" (?:vulnerability|flaw|issue|overflow|injection)) in (",
            within!("3,80"),
            r") allows ",
            attackers!(),
            r" to (",
            within!("5,120"),
            r") via (",
            within!("5,120"),
            r")\.$"
        ),
        "By way of $5, $3 can $4 in $2 ($1).",
    ),
    rule(
        "weakness-of",
        concat!(r"^A (", within!("3,60"), r") vulnerability in (", within!("3,80"), r") allows "),
        "In $2, a $1 vulnerability allows ",
    ),
    rule(
        "weakness-of-an",
        concat!(r"^An (", within!("3,60"), r") vulnerability in (", within!("3,80"), r") allows "),
        "In $2, an $1 vulnerability allows ",
    ),
    rule(
        "namely",
        concat!(
            r"^([A-SU-Z][A-Za-z\-]{2,}(?: [A-Za-z\-]+){0,7}(?: \([A-Z]+\))?) vulnerability in (",
            within!("2,80"),
            r") allows "
        ),
        "A weakness of $2, namely $1, allows ",
    ),
    rule(
        "earlier",
        r"\bversions ([\d., ]+?(?: \([^)]*\))?) and earlier are affected by ",
        "in version $1 and older ones has ",
    ),
    rule(
        "oracle-attacker",
        r"\bEasily exploitable vulnerability allows (\w+ privileged|unauthenticated) attacker ",
        "It is easy to exploit and enables any $1 attacker ",
    ),
    rule("oracle-attacks", r"\bSuccessful attacks of this vulnerability can ", "Attacks that succeed can "),
    rule("oracle-versions", r"\bSupported versions that are affected are ", "It affects the supported versions "),
    rule(
        "user-needed",
        r"\bUser interaction is needed for exploitation\.",
        "It cannot be exploited without the user's help.",
    ),
    rule(
        "user-not-needed",
        r"\bUser interaction is not needed for exploitation\.",
        "It can be exploited without the user's help.",
    ),
    rule("no-rights", r"\bwith no additional execution privileges needed\b", "without further execution rights"),
    rule(
        "victim",
        r"\bUser interaction is required to exploit this vulnerability in that the target must ",
        "It can only be exploited if the victim is led to ",
    ),
    rule(
        "victim-opens",
        r"\bExploitation of this issue requires user interaction in that a victim must open a malicious file\.",
        "Somebody must open a malicious file for it to be exploited.",
    ),
    rule(
        "no-login",
        r"\bAuthentication is not required to exploit this vulnerability\.",
        "Nobody has to log in to exploit it.",
    ),
    rule(
        "leverage",
        r"\bAn attacker can leverage this vulnerability to (\w+)",
        "Through this vulnerability, an attacker can $1",
    ),
    rule("flaw", r"\bThe specific flaw exists within ", "The fault lies in "),
    rule("lack", r"\bThe issue results from the lack of ", "What is missing is "),
    // Phrases.
    rule("open-to", r"\b(is|are) (?:vulnerable|prone|susceptible) to\b", "$1 open to"),
    rule("contain", r"\b(?:was|were) discovered to contain\b", "turned out to have"),
    rule(
        "sanitization",
        r"\bdue to insufficient input sanitization and output escaping\b",
        "because it neither cleans what comes in nor escapes what goes out as it should",
    ),
    rule(
        "page-scripts",
        r"\binject arbitrary web scripts in(?:to)? pages that (?:will )?execute whenever a user accesses an injected page\b",
        "place scripts of their choice in pages, which run as soon as somebody opens such a page",
    ),
    rule("up-to", r"\bin (?:all )?versions up to,? and including,? ", "in every version up to and with "),
    rule("escape", r"\bdoes not (?:properly )?(?:sanitise|sanitize) and escape ", "neither cleans nor escapes "),
    rule("could-allow", concat!(r"\b(could|can|may|might) allow ", attackers!(), " to "), "$1 enable $2 to "),
    rule("allows", concat!(r"\ballows ", attackers!(), " to "), "lets $1 "),
    rule("allow", concat!(r"\ballow ", attackers!(), " to "), "let $1 "),
    rule("allowing", concat!(r", (?:thereby |thus )?allowing ", attackers!(), " to "), ", so that $1 can "),
    rule(
        "run-code",
        r"\bexecute arbitrary (code|commands|SQL commands|OS commands|JavaScript)\b",
        "run $1 of their choice",
    ),
    rule("running-code", r"\barbitrary code execution\b", "execution of code of an attacker's choice"),
    rule("scripts", r"\barbitrary web scripts? or HTML\b", "web scripts or HTML of their choice"),
    rule("learn", r"\bobtain sensitive information\b", "learn what should stay secret"),
    rule("lay-open", r"\bdisclose sensitive information\b", "lay open what should stay secret"),
    rule("unavailable", r"\bcause a denial[ -]of[ -]service\b", "make the service unavailable"),
    rule("rights", r"\b(?:escalate|elevate) (?:their )?privileges\b", "gain higher rights"),
    rule(
        "with-rights",
        r"\bin the context of (the current (?:user|process)|root|SYSTEM|the service account)\b",
        "with the rights of $1",
    ),
    rule("installations", r"\bon affected installations of\b", "on systems that run"),
    rule("made", r"\bvia (?:a|an) (?:specially |maliciously )?crafted\b", "by means of a specially made"),
    rule("specially", r"\b(?:specially|maliciously) crafted\b", "specially made"),
    rule("way", r"\bvia the\b", "by way of the"),
    rule("before", r"\bprior to\b", "before"),
    rule("ends", r"\bleads to\b", "ends in"),
    rule("end", r"\blead to\b", "end in"),
    rule("brings", r"\bresults in\b", "brings about"),
    rule("bring", r"\bresult in\b", "bring about"),
    rule("bringing", r"\bresulting in\b", "bringing about"),
    rule("because", r"\bdue to\b", "because of"),
    rule("so-as", r"\bin order to\b", "so as to"),
    rule("found", r"\bAn issue was discovered in\b", "A problem was found in"),
    rule("patched", r"\bhas been patched in\b", "was mended in"),
    rule("fixed", r"\bThis issue is fixed in\b", "It is mended in"),
];

/// The rules' patterns, compiled once.
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |rule: &Rule| {
        // Sentence frames tell names by their capitals.
        let cased = rule.name == "namely";
        let pattern = if cased { rule.pattern.to_owned() } else { format!("(?i){}", rule.pattern) };
        Regex::new(&pattern).expect("a test compiles them all")
    };
    RULES.iter().map(compile).collect()
});

/// A text in other words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paraphrase {
    /// The text.
    pub text: String,
    /// The rules that fired, by name, in order.
    pub fired: Vec<&'static str>,
}

/// `text` in other words; `None` where the rules change too little of it.
#[must_use]
pub fn paraphrase(text: &str) -> Option<Paraphrase> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut changed = text.to_owned();
    let mut fired = Vec::new();
    for (rule, pattern) in RULES.iter().zip(PATTERNS.iter()) {
        let replaced = pattern.replace_all(&changed, |groups: &Captures<'_>| fill(rule.to, groups));
        if let std::borrow::Cow::Owned(replaced) = replaced {
            changed = replaced;
            fired.push(rule.name);
        }
    }
    let much = fired.len() > 1 || (!fired.is_empty() && overlap(&changed, text).recall < 1.0 - MIN_CHANGED);
    much.then_some(Paraphrase { text: changed, fired })
}

/// The text of a rule with its groups filled in. It begins with a capital where what it replaces does.
fn fill(template: &str, groups: &Captures<'_>) -> String {
    let mut filled = String::with_capacity(template.len() + 40);
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        let group = rest.peek().and_then(|digit| digit.to_digit(10)).filter(|_| "$~".contains(c));
        let Some(group) = group else {
            filled.push(c);
            continue;
        };
        rest.next();
        let matched = groups.get(group as usize).map_or("", |group| group.as_str());
        match c {
            '~' => filled.push_str(&with_small_letter(matched)),
            _ => filled.push_str(matched),
        }
    }
    let whole = &groups[0];
    if whole.starts_with(char::is_uppercase) { with_capital(&filled) } else { filled }
}

fn with_capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// With a small first letter, unless the word is an abbreviation or a name with capitals within.
fn with_small_letter(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    if word.chars().skip(1).any(char::is_uppercase) {
        return text.to_owned();
    }
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_lowercase().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_rule_compiles_has_a_name_of_its_own_and_fills_only_its_groups() {
        for (rule, pattern) in RULES.iter().zip(PATTERNS.iter()) {
            assert_eq!(RULES.iter().filter(|other| other.name == rule.name).count(), 1, "{}", rule.name);
            let most = pattern.captures_len() as u32 - 1;
            let marks = rule.to.match_indices(['$', '~']);
            let groups = marks.map(|(at, _)| rule.to[at + 1..=at + 1].parse::<u32>().unwrap());
            assert!(groups.into_iter().all(|group| (1..=most).contains(&group)), "{}", rule.name);
        }
    }

    #[test]
    fn descriptions_are_said_in_other_words() {
        for (text, want) in [
            (
                "A vulnerability classified as critical has been found in Acme Whisk 1.2. This affects the function boil \
                 of the file tea.php. The manipulation of the argument sugar leads to sql injection. It is possible to \
                 initiate the attack remotely. The exploit has been disclosed to the public and may be used.",
                "Acme Whisk 1.2 has a vulnerability that is rated critical. At fault is the function boil of the file \
                 tea.php. Tampering with the argument sugar ends in sql injection. The attack works over the network. \
                 How to exploit it is publicly known.",
            ),
            (
                "The Tea plugin for WordPress is vulnerable to Stored Cross-Site Scripting via the 'cup' parameter in \
                 all versions up to, and including, 2.6 due to insufficient input sanitization and output escaping. This \
                 makes it possible for authenticated attackers, with contributor-level access and above, to inject \
                 arbitrary web scripts in pages that will execute whenever a user accesses an injected page.",
                "The Tea plugin for WordPress is open to Stored Cross-Site Scripting by way of the 'cup' parameter in \
                 every version up to and with 2.6 because it neither cleans what comes in nor escapes what goes out as \
                 it should. Because of it, authenticated attackers, with contributor-level access and above, can place \
                 scripts of their choice in pages, which run as soon as somebody opens such a page.",
            ),
            (
                "Directory Traversal vulnerability in Acme Whisk v3.1 allows attackers to write arbitrary files via a \
                 crafted .tea file.",
                "By way of a crafted .tea file, attackers can write arbitrary files in Acme Whisk v3.1 (Directory \
                 Traversal vulnerability).",
            ),
        ] {
            assert_eq!(paraphrase(text).map(|one| one.text).as_deref(), Some(want));
        }
        assert_eq!(paraphrase("It leaks."), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = paraphrase(&text);
        }

        #[test]
        fn groups_are_copied_as_they_are(name in "[A-Z][a-z$~0-9]{1,8}") {
            let text = format!("{name} is vulnerable to a hole due to {name}.");
            prop_assert_eq!(paraphrase(&text).unwrap().text, format!("{name} is open to a hole because of {name}."));
        }
    }
}
