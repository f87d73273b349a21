//! Sentences that say nothing about a vulnerability: legal notices, templates of publishers, numbers of trackers.
//!
//! Kept, because they are knowledge: "NOTE: this issue exists because of an incomplete fix for CVE-…", "a different
//! vulnerability than CVE-…", whether an exploit is public, CVSS scores, remedies. Markers such as `** DISPUTED **` stay
//! too, all in one spelling.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};

use super::{Boilerplate, Policy, Removed, note};

/// One kind of sentence.
#[derive(Debug)]
pub struct Rule {
    /// Stable name, the key in [`Removed`].
    pub name: &'static str,
    /// What it takes out, and from whom.
    pub what: &'static str,
    /// Words that every such sentence has.
    trigger: &'static str,
    /// The sentence.
    pattern: &'static str,
    /// What takes its place: nothing, or the one spelling of a marker.
    instead: &'static str,
}

/// A rule that removes what it finds.
const fn removing(name: &'static str, what: &'static str, trigger: &'static str, pattern: &'static str) -> Rule {
    Rule { name, what, trigger, pattern, instead: "" }
}

/// A rule that gives a marker its one spelling.
const fn spelling(name: &'static str, trigger: &'static str, pattern: &'static str, instead: &'static str) -> Rule {
    Rule { name, what: "nothing: the marker is knowledge and gets one spelling", trigger, pattern, instead }
}

/// Every rule, in the order in which they apply.
pub static RULES: &[Rule] = &[
    removing(
        "as_is",
        "`… is provided \"as is\"`",
        "rovided ",
        r#"(?:[^.\n]|\.\S){0,300}\bprovided (?:on an )?["']?as[ -]is["']?(?: basis)?\b(?:[^.\n]|\.\S){0,300}\."#,
    ),
    removing(
        "no_warranty",
        "`… does not provide any warranties …`",
        "any warranties",
        r"(?:[^.\n]|\.\S){0,200}\bdoes not provide any warranties(?:[^.\n]|\.\S){0,200}\.",
    ),
    removing(
        "no_endorsement",
        "`DHS does not endorse any commercial product …`",
        "does not endorse",
        r"[^.\n]{0,80}\bdoes not endorse any commercial product[^.\n]{0,200}\.",
    ),
    removing(
        "traffic_light_protocol",
        "how an advisory may be passed on",
        "Traffic Light Protocol",
        r"Further dissemination of [^.\n]{1,60} is governed by the Traffic Light Protocol[^.\n]{0,80}\.(?: For more information about TLP, see \S+)?",
    ),
    removing(
        "extracted_advisory",
        "CISA's note that a file was converted",
        "extracted from unstructured data",
        r"This (?:CSAF )?advisory was extracted from unstructured data and may contain inaccuracies\.(?: If you notice any errors, please reach out to the designated contact at CISA CSAF: \S+)?",
    ),
    removing(
        "cisa_risk_assessment",
        "CISA's reminder to assess risks",
        "proper impact analysis",
        r"CISA (?:reminds|recommends) (?:organizations|users) (?:to )?perform proper impact analysis and risk assessment prior to deploying defensive measures\.",
    ),
    removing(
        "cisa_practices",
        "CISA's list of recommended practices",
        "ecommended practices",
        r"(?:CISA also provides a section for control systems security recommended practices on the ICS webpage [^\n]{0,40}?\.(?:gov(?:/ics)?)\.?|Several recommended practices are available for reading and download, including [^.\n]{0,160}\.|Additional mitigation guidance and recommended practices are publicly available on the ICS webpage [^\n]{0,200}?Strategies\.)",
    ),
    removing(
        "cisa_best_practices",
        "CISA's products on best practices",
        "cyber defense best practices",
        r"Several CISA products detailing cyber defense best practices are available for reading and download, including [^.\n]{0,160}\.",
    ),
    removing(
        "cisa_strategies",
        "CISA's encouragement to have a strategy",
        "proactive defense of ICS assets",
        r"CISA encourages organizations to implement recommended cybersecurity strategies for proactive defense of ICS assets\.",
    ),
    removing(
        "cisa_report",
        "CISA's request to report incidents",
        "tracking and correlation",
        r"Organizations observing (?:any )?suspected malicious activity should follow (?:their )?established internal procedures and report (?:their )?findings to CISA for tracking and correlation against other incidents\.",
    ),
    removing(
        "cisa_contact",
        "CISA's service desk",
        "servicedesk@",
        r"Email: \S+servicedesk@\S+\s*Toll Free: [0-9<>A-Z-]{1,20}",
    ),
    removing(
        "siemens_contact",
        "where Siemens has more to say",
        "Siemens",
        r"(?:For further inquiries on security vulnerabilities in Siemens products and solutions, please contact the Siemens ProductCERT: \S+|Additional information on Industrial Security by Siemens can be found at: \S+)",
    ),
    removing(
        "author_of_note",
        "who wrote a note of CERT/CC",
        "document was written by",
        r"This document was written by (?:[A-Z]\.|[^.\n]){1,120}\.",
    ),
    removing(
        "third_party_note",
        "MITRE's note on where details are from",
        "third party information",
        r"NOTE: (?:the provenance of this information is unknown; the details are obtained solely from third party information|some of these details are obtained from third party information)\.",
    ),
    removing(
        "vendor_silent",
        "VulDB's note that a vendor did not answer",
        "contacted early",
        r"(?:NOTE: )?The vendor was contacted early about this disclosure but did not respond in any way\.",
    ),
    removing(
        "vuldb_number",
        "the entry of VulDB",
        "VDB-",
        r"(?:(?:The )?(?:associated )?identifier of this vulnerability is VDB-[0-9]{1,9}|VDB-[0-9]{1,9} is the identifier assigned to this vulnerability|The identifier VDB-[0-9]{1,9} was assigned to this vulnerability)\.",
    ),
    removing("zdi_number", "the number a case of ZDI once had", "ZDI-CAN-", r"(?:\. )?Was ZDI-CAN-[0-9]{1,6}\.?"),
    removing(
        "cisco_bug",
        "numbers of Cisco's tracker",
        "Bug ID",
        r#",?["']? ?(?:aka )?(?:Cisco )?Bug IDs?:? CSC[a-z]{2}[0-9]{5}(?:(?:,| and|, and) CSC[a-z]{2}[0-9]{5})*"#,
    ),
    removing(
        "android_bug",
        "numbers of Android's tracker",
        "Android ID",
        r"Android ID:? ?A-[0-9]{6,10}(?:, ?A-[0-9]{6,10})*\.?(?: References?: [A-Z]{1,4}-[^\s]{1,24}(?:, ?[A-Z]{1,4}-[^\s]{1,24}){0,6})?",
    ),
    removing(
        "mediatek_patch",
        "numbers of MediaTek's patches",
        "Patch ID: ",
        r"Patch ID: [A-Z0-9]{4,16}; Issue ID: [A-Z0-9]{4,16}\.",
    ),
    removing("x_force_number", "the entry of IBM X-Force", "X-Force ID", r"(?:IBM )?X-Force ID: ?[0-9]{3,8}\.?"),
    removing(
        "unique_number",
        "Microsoft's and Android's list of sibling numbers",
        "CVE ID is unique from",
        r"This CVE ID is unique from CVE-[0-9]{4}-[0-9]{4,7}(?:(?:,| and|, and) CVE-[0-9]{4}-[0-9]{4,7})*\.?",
    ),
    removing(
        "see_details",
        "a pointer to a section that is not there",
        "Details section of this advisory",
        r"For more information about (?:this vulnerability|these vulnerabilities), see the Details section of this advisory\.",
    ),
    spelling("marker_disputed", "DISPUTED", r"\*{1,3} ?DISPUTED ?\*{1,3}:? ?", "** DISPUTED ** "),
    spelling(
        "marker_unsupported",
        "WHEN ASSIGNED",
        r"\*{1,3} ?(?:(?:PRODUCT|VERSION) NOT SUPPORTED|UNSUPPP?ORTED) ?WHEN ASSIGNED ?\*{1,3}:? ?",
        "** UNSUPPORTED WHEN ASSIGNED ** ",
    ),
    spelling("marker_unverifiable", "UNVERIFI", r"\*{1,3} ?UNVERIFI(?:ABLE|ED) ?\*{1,3}:? ?", "** UNVERIFIABLE ** "),
];

static TRIGGERS: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(RULES.iter().map(|rule| rule.trigger)).expect("the table is small"));
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    RULES.iter().map(|rule| Regex::new(rule.pattern).expect("the table's expressions are tested")).collect()
});

/// `text` without such sentences, and with its markers in one spelling.
pub(super) fn remove(text: &str, policy: &Policy, removed: &mut Removed) -> Option<String> {
    let mut due: Vec<usize> = TRIGGERS.find_overlapping_iter(text).map(|found| found.pattern().as_usize()).collect();
    if due.is_empty() || policy.boilerplate == Boilerplate::Keep {
        return None;
    }
    due.sort_unstable();
    due.dedup();
    let mut out: Option<String> = None;
    for at in due {
        let rule = &RULES[at];
        let mut count = 0;
        let next = PATTERNS[at].replace_all(out.as_deref().unwrap_or(text), |found: &Captures<'_>| {
            count += u64::from(found.get_match().as_str().trim_end() != rule.instead.trim_end());
            // A removed clause must not join the words around it.
            if rule.instead.is_empty() { ending(found.get_match().as_str()) } else { rule.instead }
        });
        if count > 0 {
            note(removed, rule.name, count);
            out = Some(next.into_owned());
        }
    }
    out
}

/// What is left of a removed piece: the full stop of the sentence that it ended, or a blank.
fn ending(piece: &str) -> &'static str {
    if piece.starts_with(". ") {
        return ".";
    }
    match piece.strip_prefix(',').unwrap_or(piece).chars().next() {
        Some('"') => "\"",
        Some('\'') => "'",
        _ if piece.starts_with(',') || piece.starts_with(" aka") => "",
        _ => " ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::clean;

    fn cleaned(text: &str) -> String {
        clean(text, &Policy::default()).text
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_an_expression() {
        assert_eq!(PATTERNS.len(), RULES.len());
        for (at, rule) in RULES.iter().enumerate() {
            assert!(RULES[..at].iter().all(|other| other.name != rule.name) && rule.what.len() > 5, "{}", rule.name);
            assert!(!rule.trigger.is_empty());
        }
    }

    #[test]
    fn sentences_without_knowledge_go() {
        for (text, want) in [
            ("A leak. All of https://acme.io/a is provided \"as is\" for information. B.", "A leak. B."),
            (
                "A crash via a packet, aka Bug ID CSCab12345, a different hole than CVE-2020-1.",
                "A crash via a packet, a different hole than CVE-2020-1.",
            ),
            ("A \"crash,\" aka Bug IDs CSCab12345 and CSCab12346.", "A \"crash\"."),
            ("A crash. Was ZDI-CAN-4711.", "A crash."),
            (
                "The identifier VDB-1 was assigned to this vulnerability. NOTE: The vendor was contacted early about this disclosure but did not respond in any way.",
                "",
            ),
            ("A leak. Patch ID: ABCD1234; Issue ID: ABCD1234.", "A leak."),
            ("A leak. NOTE: some of these details are obtained from third party information.", "A leak."),
            ("A leak. This document was written by A. Person-Name.", "A leak."),
        ] {
            assert_eq!(cleaned(text), want, "{text}");
        }
    }

    #[test]
    fn markers_and_facts_stay() {
        assert_eq!(cleaned("**DISPUTED**A leak."), "** DISPUTED ** A leak.");
        assert_eq!(cleaned("** UNSUPPPORTED WHEN ASSIGNED ** A"), "** UNSUPPORTED WHEN ASSIGNED ** A");
        for text in [
            "NOTE: this issue exists because of an incomplete fix for CVE-2020-1.",
            "The exploit has been disclosed to the public and may be used.",
            "save_as is set to True",
        ] {
            assert_eq!(cleaned(text), text);
        }
        let keep = Policy { boilerplate: Boilerplate::Keep, ..Policy::default() };
        assert_eq!(clean("A. Was ZDI-CAN-4711.", &keep).text, "A. Was ZDI-CAN-4711.");
    }
}
