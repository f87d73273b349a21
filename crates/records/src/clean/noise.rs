//! Details that carry no meaning of their own: blobs always, version numbers and digests where a recipe says so.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Noise, Policy, Removed, note};

/// Longer runs of base64 are data.
const MAX_TOKEN_BYTES: usize = 200;

static HASH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:0x)?[0-9A-Fa-f]{32,128}\b").expect("a tested expression"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let dotted = r"[vV]?[0-9]{1,9}(?:\.(?:[0-9]{1,10}|[xX*]\b)){1,5}(?:[-+_.]?(?:[A-Za-z][A-Za-z0-9]{0,15}|[0-9]+)\b){0,4}(?:\([0-9A-Za-z.]{1,16}\))?";
    Regex::new(&format!(r"(\b(?i:versions?|firmware|release|build) )([vV]?[0-9]{{1,9}}\b)?|{dotted}"))
        .expect("a tested expression")
});
/// Protocols and formats whose versions are knowledge.
static PROTOCOL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:\b(?i:tls|ssl|http|smb|snmp|ntlm|oauth|usb|bluetooth|cvss|cvss v|score|utf|ieee|wpa|soap|xml|owasp|pcie?|section|rfc)[ /:v-]{0,2})$").expect("a tested expression")
});

/// `text` with `<BLOB>` for runs of base64 and the like.
pub(super) fn blobs(text: &str, _: &Policy, removed: &mut Removed) -> Option<String> {
    if text.len() <= MAX_TOKEN_BYTES {
        return None;
    }
    // A counted repetition of so many would make the automaton large and slow.
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-');
    let (mut out, mut from, mut at, mut count) = (String::new(), 0, 0, 0);
    for run in text.as_bytes().split(|byte| !is_sign(byte)) {
        if run.len() > MAX_TOKEN_BYTES && is_blob(&text[at..at + run.len()]) {
            out.push_str(&text[from..at]);
            out.push_str("<BLOB>");
            from = at + run.len();
            count += 1;
        }
        at += run.len() + 1;
    }
    note(removed, "blob", count);
    (count > 0).then(|| out + &text[from..])
}

/// Whether a long run is data, not a path or a list of names.
fn is_blob(run: &str) -> bool {
    let longest = run.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap_or_default();
    let share = |test: fn(&u8) -> bool| run.bytes().filter(test).count() * 100 / run.len();
    longest >= 80
        || (share(u8::is_ascii_uppercase) >= 20
            && share(u8::is_ascii_lowercase) >= 20
            && share(u8::is_ascii_digit) >= 8)
}

/// `text` with placeholders for what the policy masks.
pub(super) fn mask(text: &str, policy: &Policy, removed: &mut Removed) -> Option<String> {
    let mut masked = None;
    if policy.hashes == Noise::Mask {
        masked = replaced(text, &HASH, removed, "hash", |captures| {
            is_digest(captures.get_match().as_str()).then(|| "<HASH>".to_owned())
        });
    }
    if policy.versions == Noise::Mask {
        let from = masked.as_deref().unwrap_or(text);
        let versions = replaced(from, &VERSION, removed, "version", |captures| version(from, captures));
        masked = versions.or(masked);
    }
    masked
}

fn is_digest(run: &str) -> bool {
    run.contains(|c: char| c.is_ascii_digit()) && run.contains(|c: char| c.is_ascii_alphabetic())
}

/// What stands for a version; `None` where it is none: a part of a word, a protocol's, an address, an amount.
fn version(text: &str, captures: &Captures<'_>) -> Option<String> {
    if let Some(word) = captures.get(1) {
        return captures.get(2).map(|_| format!("{}<VERSION>", word.as_str()));
    }
    let range = captures.get_match().range();
    let lead = &text[text.floor_char_boundary(range.start.saturating_sub(12))..range.start];
    let is_part =
        lead.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '@' | '-' | '$' | '#' | '<'));
    let is_address = lead.ends_with(['/', '@']) || lead.ends_with("address ") || text[range.end..].starts_with('/');
    let is_amount = text[range.end..].trim_start().starts_with(['%']);
    (!is_part && !is_address && !is_amount && !PROTOCOL.is_match(lead)).then(|| "<VERSION>".to_owned())
}

/// `text` with what `make` makes of the matches; counted under `name`.
fn replaced(
    text: &str,
    expression: &Regex,
    removed: &mut Removed,
    name: &'static str,
    make: impl Fn(&Captures<'_>) -> Option<String>,
) -> Option<String> {
    let mut count = 0;
    let out = expression.replace_all(text, |captures: &Captures<'_>| match make(captures) {
        Some(placeholder) => {
            count += 1;
            placeholder
        }
        None => captures.get_match().as_str().to_owned(),
    });
    note(removed, name, count);
    (count > 0).then(|| out.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let policy = Policy { versions: Noise::Mask, hashes: Noise::Mask, ..Policy::default() };
        mask(text, &policy, &mut Removed::new()).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn versions_and_digests_are_masked_where_the_policy_says_so() {
        assert_eq!(
            masked("Acme 2.4.1-rc2 before v10.3.x and version 7"),
            "Acme <VERSION> before <VERSION> and version <VERSION>"
        );
        assert_eq!(masked("file 0123456789abcdef0123456789abcdef"), "file <HASH>");
        assert!(mask("1.2.3", &Policy::default(), &mut Removed::new()).is_none());
    }

    #[test]
    fn protocols_scores_addresses_and_ids_are_no_versions() {
        for text in [
            "TLS 1.2, HTTP/1.1, CVSS:3.1/AV:N",
            "http://8.8.8.8/x",
            "CVE-2020-1234",
            "Base Score 7.5",
            "1000000000000000000000000000000000",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn long_data_is_a_blob_and_a_long_path_is_not() {
        let blob = |text: &str| blobs(text, &Policy::default(), &mut Removed::new()).is_some();
        assert!(blob(&"A".repeat(201)) && blob(&"aB3/xY9+".repeat(30)));
        assert!(!blob(&"setDdnsCfg/setDynamicRoute/".repeat(10)) && !blob(&"A".repeat(200)));
    }
}
