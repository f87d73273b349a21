//! Names of people in lines of credit: after words such as `reported by`, and only the names.
//!
//! Organisations and tools are credited in the same words. What tells them apart: a person has two names or more (or one
//! and an affiliation), no word of [`ORGANISATION`] among them, and no `team` after them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A list of credits is not followed further than so many names.
const MAX_NAMES: usize = 64;

static CUE: LazyLock<Regex> = LazyLock::new(|| {
    let verbs = "discovered|found|reported|disclosed|identified|described|researched|submitted|contributed|spotted|uncovered|published|documented|analy[sz]ed";
    Regex::new(&[
        r"[Cc]redits?(?: (?:is|are|goes|go|for [a-z ]{1,40}(?:is|goes|go)))?(?: due)?:? to |Credits?:\s*|\bcredits? (?:to )?|[Cc]redited (?:to )?",
        &format!(r"|\b(?i:(?:{verbs}|(?:information|workaround|analysis|patch) (?:was )?provided|research)(?: and (?:{verbs}))?(?: on| to [A-Z][A-Za-z ]{{1,40}})?\s{{1,2}}by):?\s{{1,2}}"),
        r"|[Dd]ocument was written by |(?m:^|[.;,(\n] ?)(?i:(?:researcher|finder|reporter|discoverer|author)s?):\s*",
        r"|\b(?i:we (?:would like to )?thank|(?:would|wish|want)[a-z ]{0,6} to thank|thanks? (?:are due )?(?:goes |go )?to|thanks,? also,? to)\s{1,2}",
        r"|\b[Tt]hanks?:? [\x22“]?|[Aa]cknowledg(?:e|es|ed) |\b[A-Z][a-z]+(?:-[a-z]+){0,3}-[Bb]y:\s*",
    ].concat())
    .expect("a tested expression")
});
/// One or more capitalised words with initials and particles between, or a handle.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let word = r"(?:\p{Lu}\.|\p{Lu}[\p{L}\p{M}'’]*(?:-\p{L}[\p{L}\p{M}'’]*)*)";
    let particle = r"(?:de|da|di|del|della|der|den|van|von|la|le|el|al|bin|ibn|dos|du|af|ter|zu|y)";
    Regex::new(&format!(
        r"^(?:@[A-Za-z0-9_][A-Za-z0-9_-]{{1,38}}|{word}(?:[ \n](?:{particle}[ \n]){{0,2}}{word}){{0,4}})"
    ))
    .expect("a tested expression")
});
/// Where a person belongs: in brackets, or after `of` and the like.
static AFFILIATION: LazyLock<Regex> = LazyLock::new(|| {
    let organisation = r"(?:the )?[\p{Lu}0-9][\w.&/'’-]*(?: (?:of |for |the |de )?\p{Lu}[\w.&/'’-]*){0,6}(?: research team| team| project)?(?:, (?:Inc|Ltd|LLC|GmbH)\b\.?)?";
    Regex::new(&format!(r"^(?: ?\([^()\n]{{1,80}}\)| ?<[^<>\n]{{1,80}}>|,? (?:of|from|at|with) {organisation})"))
        .expect("a tested expression")
});
static NEXT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:,? {1,2}and (?:also )?|, |; | & | / )").expect("a tested expression"));
/// A sentence that begins with the name, as "Ann Lee first reported this".
static BEFORE_VERB: LazyLock<Regex> = LazyLock::new(|| {
    let word = r"(?:\p{Lu}\.|\p{Lu}[\p{L}\p{M}'’-]*)";
    let place = r"(?: (?:of|from|at) \p{Lu}[\w./&-]*(?: \p{Lu}[\w./&-]*){0,4}(?:, [\p{Lu}\w ]{2,40},)?)?";
    let adverbs = r"(?: (?:first|originally|publicly|independently|initially|also|has been publicly|has been)){0,2}";
    let verbs = "(?:discovered|found|reported|disclosed|identified|analy[sz]ed|credited)";
    let pattern = format!(
        r"(?:^|[.:\n]\s{{1,2}})(?:Dr\. )?({word}(?: {word}){{1,3}}){place}{adverbs} {verbs}(?: and {verbs})? (?:this|the|these|for)\b"
    );
    Regex::new(&pattern).expect("a tested expression")
});

/// Words of organisations, tools and products, in lower case.
const ORGANISATION: &[&str] = &[
    "academy",
    "acknowledgement",
    "administration",
    "adobe",
    "advisory",
    "agency",
    "alliance",
    "alert",
    "amazon",
    "analysis",
    "analyzer",
    "android",
    "anonymous",
    "apache",
    "apple",
    "application",
    "area",
    "automation",
    "displays",
    "pro",
    "association",
    "at&t",
    "authority",
    "aws",
    "bank",
    "black",
    "blackberry",
    "board",
    "bounty",
    "broadcom",
    "bug",
    "bugcrowd",
    "bureau",
    "canonical",
    "card",
    "cards",
    "center",
    "centre",
    "cert",
    "chrome",
    "cisco",
    "citrix",
    "cloud",
    "cloudflare",
    "code",
    "codesys",
    "college",
    "commission",
    "committee",
    "communications",
    "community",
    "company",
    "computer",
    "computing",
    "consortium",
    "consult",
    "consultancy",
    "consulting",
    "contributor",
    "coordination",
    "core",
    "corp",
    "corporation",
    "council",
    "coverity",
    "critical",
    "cross",
    "crowdstrike",
    "customer",
    "cve",
    "cyber",
    "cybersecurity",
    "data",
    "database",
    "debian",
    "defense",
    "dell",
    "department",
    "detection",
    "developers",
    "development",
    "digital",
    "directory",
    "drupal",
    "dynamics",
    "eeye",
    "electric",
    "emergency",
    "engine",
    "engineering",
    "enterprise",
    "ericsson",
    "eset",
    "exploit",
    "f-secure",
    "facebook",
    "federal",
    "firefox",
    "firmware",
    "fortinet",
    "forum",
    "foundation",
    "free",
    "freebsd",
    "fuzzer",
    "github",
    "gmbh",
    "gnu",
    "google",
    "government",
    "group",
    "hackerone",
    "hat",
    "hewlett",
    "hewlett-packard",
    "honeywell",
    "huawei",
    "human",
    "ibm",
    "idefense",
    "inc",
    "incident",
    "information",
    "initiative",
    "institute",
    "insulet",
    "integration",
    "intel",
    "intelligence",
    "international",
    "internet",
    "java",
    "jenkins",
    "jpcert",
    "juniper",
    "kaspersky",
    "kernel",
    "kubernetes",
    "lab",
    "laboratories",
    "laboratory",
    "labs",
    "language",
    "lenovo",
    "limited",
    "linux",
    "llc",
    "ltd",
    "manager",
    "mandiant",
    "mcafee",
    "meta",
    "microsoft",
    "ministry",
    "mit",
    "mitre",
    "mobile",
    "motion",
    "mozilla",
    "national",
    "netapp",
    "netbsd",
    "nessus",
    "network",
    "networks",
    "nokia",
    "novell",
    "nvidia",
    "office",
    "online",
    "open",
    "openbsd",
    "openssl",
    "oracle",
    "organization",
    "organisation",
    "oulu",
    "oy",
    "packard",
    "page",
    "palo",
    "partners",
    "patch",
    "people",
    "php",
    "plugin",
    "positive",
    "processor",
    "product",
    "profiler",
    "program",
    "programme",
    "project",
    "qihoo",
    "qualcomm",
    "qualys",
    "rapid7",
    "red",
    "redhat",
    "registry",
    "report",
    "research",
    "researcher",
    "researchers",
    "resource",
    "response",
    "samsung",
    "sandbox",
    "sanitizer",
    "sap",
    "scanner",
    "schneider",
    "school",
    "sciences",
    "secunia",
    "secure",
    "security",
    "server",
    "service",
    "services",
    "siemens",
    "software",
    "solutions",
    "source",
    "sql",
    "static",
    "studio",
    "support",
    "suite",
    "suse",
    "symantec",
    "synopsys",
    "syzbot",
    "syzkaller",
    "system",
    "systems",
    "tableau",
    "talos",
    "team",
    "tech",
    "technologies",
    "technology",
    "telecom",
    "tencent",
    "tenable",
    "the",
    "these",
    "this",
    "threat",
    "tippingpoint",
    "tool",
    "toolkit",
    "trail",
    "trend",
    "trustwave",
    "ubuntu",
    "union",
    "unique",
    "university",
    "update",
    "us-cert",
    "user",
    "users",
    "various",
    "vendor",
    "verification",
    "veracode",
    "verisign",
    "vmware",
    "vulnerability",
    "web",
    "westpoint",
    "windows",
    "wordpress",
    "working",
    "yahoo",
    "you",
    "zdi",
    "zero",
    "check",
    "point",
    "deutsche",
    "positive",
    "claroty",
    "nozomi",
    "dragos",
    "armis",
    "forescout",
    "ncc",
    "nsfocus",
    "venustech",
    "topsec",
    "chinese",
    "european",
    "german",
    "french",
    "sun",
    "hp",
    "nist",
    "nsa",
    "cisa",
    "dhs",
    "uk",
    "us",
    "debugger",
    "guard",
    "shield",
    "trust",
    "tracker",
    "list",
    "mailing",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "section",
    "table",
    "figure",
    "appendix",
    "version",
    "release",
    "note",
    "notes",
    "however",
    "an",
    "a",
    "all",
    "both",
    "our",
    "their",
    "its",
    "we",
    "no",
    "if",
    "in",
    "and",
];
/// Words after a name that make it a group's.
const GROUP_AFTER: &[&str] = &[
    "team",
    "group",
    "plugin",
    "project",
    "scanner",
    "tool",
    "community",
    "labs",
    "lab",
    "library",
    "researchers",
    "research",
    "security",
    "foundation",
    "bug",
];

/// Names in lists after words of credit.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(cue) = CUE.find_at(text, from) {
        let end = names(text, cue.end(), found);
        from = end.max(cue.end());
    }
    for captures in BEFORE_VERB.captures_iter(text) {
        let Some(name) = captures.get(1) else { continue };
        if is_person(name.as_str(), false, &text[name.end()..])
            && !found.iter().any(|other| other.start < name.end() && name.start() < other.end)
        {
            found.push(name.range());
        }
    }
    found.sort_by_key(|range| range.start);
}

/// Adds the names of the list that begins at `at`; returns where it ends.
fn names(text: &str, mut at: usize, found: &mut Vec<Range<usize>>) -> usize {
    for _ in 0..MAX_NAMES {
        let Some(whole) = NAME.find(&text[at..]) else { break };
        let name = whole.as_str().trim_end_matches("'s").trim_end_matches("’s");
        let name_end = at + name.len();
        let affiliation = AFFILIATION.find(&text[at + whole.len()..]).map_or(0, |found| found.len());
        if is_person(name, affiliation > 0, &text[at + whole.len()..]) {
            found.push(at..name_end);
        }
        at += whole.len() + affiliation;
        let Some(next) = NEXT.find(&text[at..]) else { break };
        at += next.len();
    }
    at
}

fn is_person(name: &str, has_affiliation: bool, rest: &str) -> bool {
    if name.starts_with('@') {
        // A company of 1999, still credited in every other note.
        return name != "@stake";
    }
    let words: Vec<&str> = name.split([' ', '\n']).collect();
    let next: String = rest.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let is_organisation = words.iter().any(|word| ORGANISATION.contains(&word.to_lowercase().trim_end_matches('.')));
    // A dot, a digit or a sign right after it: a host name, a file or a model.
    let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '-' | ':' | '(' | '@'))
        || (rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_alphanumeric()));
    if is_organisation || goes_on || GROUP_AFTER.contains(&next.as_str()) {
        return false;
    }
    let is_name = |word: &str| word.chars().nth(1).is_some_and(|c| c.is_lowercase() || matches!(c, '\'' | '’'));
    let is_capitals = |word: &str| word.chars().count() > 2 && word.chars().all(|c| c.is_uppercase() || c == '-');
    match words.as_slice() {
        [only] => has_affiliation && is_name(only) && !only.chars().skip(1).any(char::is_uppercase),
        [first, ..] => !is_capitals(first) && words.iter().any(|word| is_name(word)),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn names_in_lists_and_with_affiliations_are_found() {
        assert_eq!(
            people("Reported by Ann Lee of Acme Labs, J. R. Smith (Foo), and Paul of Greyhats."),
            ["Ann Lee", "J. R. Smith", "Paul"]
        );
        assert_eq!(people("Thanks to Qualys and Juan de la Vega for this."), ["Juan de la Vega"]);
        assert_eq!(people("Acme credits Hanno B\u{f6}ck's report"), ["Hanno B\u{f6}ck"]);
        assert_eq!(
            people("Ann Lee of Acme first reported this. Acme Labs found the bug. Thanks to  Bo Day"),
            ["Ann Lee", "Bo Day"]
        );
        assert_eq!(people("was reported to Acme by Ann Lee"), ["Ann Lee"]);
        assert_eq!(people("Reported-by: Ann Lee <x>"), ["Ann Lee"]);
    }

    #[test]
    fn organisations_tools_and_products_are_not() {
        for text in [
            "reported by Microsoft.",
            "found by Kernel Concurrency Sanitizer",
            "Thanks to Red Hat for it",
            "Credit Union Mobile app",
            "reported by Foo Bar team",
            "identified by CVE-2020-1",
            "Thank You Page",
            "discovered by SEC Consult",
            "thanks to the Foo Bar",
        ] {
            assert!(people(text).is_empty(), "{text}");
        }
    }
}
