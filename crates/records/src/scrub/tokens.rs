//! Keys and tokens whose published format gives them away.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{is_word, window_before};

/// No PEM block of a private key is longer: a 16,384-bit RSA key has some 13,000 characters.
const MAX_PEM_BYTES: usize = 32 << 10;

macro_rules! expression {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a tested expression"));
    };
}

expression!(PEM_BEGIN, r"-----BEGIN ([A-Z0-9 ]{0,40})PRIVATE KEY( BLOCK)?-----");
expression!(AWS, r"(?:AKIA|ASIA)[A-Z2-7]{16}");
expression!(GITHUB, r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}");
expression!(GITLAB, r"gl(?:pat|dt|ptt|rt|soat|imt|ft|agent|oas)-[A-Za-z0-9_-]{20,128}");
expression!(
    SLACK,
    r"xox[abeoprs]-[A-Za-z0-9-]{10,255}|xapp-[0-9]-[A-Za-z0-9-]{10,255}|hooks\.slack\.com/services/(T[A-Z0-9]{5,}/B[A-Z0-9]{5,}/[A-Za-z0-9]{10,})"
);
expression!(GOOGLE, r"AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,512}|GOCSPX-[0-9A-Za-z_-]{28}");
expression!(STRIPE, r"[sr]k_(?:live|test)_[0-9A-Za-z]{16,255}|whsec_[0-9A-Za-z+/=]{24,255}");
expression!(REGISTRY, r"npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,512}|rubygems_[0-9a-f]{48}|cio[a-zA-Z0-9]{32}");
expression!(HUGGING_FACE, r"hf_[A-Za-z0-9]{34,40}");
expression!(JWT, r"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,8192}(?:\.[A-Za-z0-9_-]{0,4096})?");
expression!(
    AZURE,
    r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,100}={0,2})|[?&;]?(sig=[A-Za-z0-9%/+]{40,120}={0,2})"
);
expression!(
    SERVICE,
    concat!(
        r"SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}|do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
        r"|[0-9]{8,10}:AA[A-Za-z0-9_-]{33}|sk-(?:ant|proj)-[A-Za-z0-9_-]{20,255}|dp\.pt\.[A-Za-z0-9]{40,48}",
        r"|lin_api_[A-Za-z0-9]{40}|sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}|xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    )
);

/// PEM blocks from their first line to their last, or to where one could end.
pub(super) fn private_keys(text: &str, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(begin) = PEM_BEGIN.captures_at(text, from) {
        let whole = begin.get_match();
        let limit = text.floor_char_boundary(whole.end().saturating_add(MAX_PEM_BYTES));
        let end_line = whole.as_str().replacen("BEGIN", "END", 1);
        let body = &text[whole.end()..limit];
        let end = match body.find(&end_line) {
            Some(at) => whole.end() + at + end_line.len(),
            // Cut off: as far as it is base64.
            None => whole.end() + body.find(|c: char| !is_pem(c)).unwrap_or(body.len()),
        };
        let body_bytes = end - whole.end();
        // The line alone, as advisories quote it, is no key.
        if body_bytes >= end_line.len().min(64)
            && text[whole.end()..end].bytes().filter(|b| is_base64(*b)).count() >= 64
        {
            found.push(whole.start()..end);
        }
        from = end.max(whole.end());
    }
}

/// What a PEM block is made of; its line breaks may be written as in a string.
fn is_pem(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\\' || u8::try_from(c).is_ok_and(is_base64)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Adds the matches of `expression` that are whole words: of its last group where one took part, else all of it.
fn words(expression: &Regex, text: &str, found: &mut Vec<Range<usize>>) {
    for captures in expression.captures_iter(text) {
        let whole = captures.get_match().range();
        let part = captures.iter().skip(1).flatten().last().map_or(whole, |group| group.range());
        if is_word(text, &part) {
            found.push(part);
        }
    }
}

/// Whether letters and digits are mixed as chance would have it: a made-up name seldom has both.
fn is_mixed(token: &str) -> bool {
    let has = |test: fn(&u8) -> bool| token.bytes().filter(test).count() >= 2;
    has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

pub(super) fn aws_keys(text: &str, found: &mut Vec<Range<usize>>) {
    words(&AWS, text, found);
    found.retain(|range| !text[range.clone()].ends_with("EXAMPLE"));
}

pub(super) fn github_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&GITHUB, text, found);
}

pub(super) fn gitlab_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&GITLAB, text, found);
    found.retain(|range| is_mixed(&text[range.clone()]));
}

pub(super) fn slack_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&SLACK, text, found);
    found.retain(|range| is_mixed(&text[range.clone()]));
}

pub(super) fn google_keys(text: &str, found: &mut Vec<Range<usize>>) {
    words(&GOOGLE, text, found);
}

pub(super) fn stripe_keys(text: &str, found: &mut Vec<Range<usize>>) {
    words(&STRIPE, text, found);
}

pub(super) fn registry_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&REGISTRY, text, found);
    found.retain(|range| is_mixed(&text[range.clone()]));
}

pub(super) fn hugging_face_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&HUGGING_FACE, text, found);
}

pub(super) fn jwts(text: &str, found: &mut Vec<Range<usize>>) {
    words(&JWT, text, found);
}

/// A signature counts only beside the other fields of a shared access signature.
pub(super) fn azure_keys(text: &str, found: &mut Vec<Range<usize>>) {
    words(&AZURE, text, found);
    found.retain(|range| {
        let is_signature = text[range.clone()].starts_with("sig=");
        let query = window_before(text, range.start, 256);
        !is_signature || ["sv=", "se=", "sr=", "sp="].iter().any(|field| query.contains(field))
    });
}

pub(super) fn service_tokens(text: &str, found: &mut Vec<Range<usize>>) {
    words(&SERVICE, text, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        private_keys(text, &mut found);
        found
    }

    #[test]
    fn a_pem_block_is_a_key_from_its_first_to_its_last_line() {
        let body = "QUJD".repeat(40);
        for kind in ["", "RSA ", "OPENSSH ", "EC "] {
            let block = format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----");
            let text = format!("a {block} b");
            assert_eq!(keys(&text), vec![2..2 + block.len()]);
        }
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{body}");
        assert_eq!(keys(&format!("{cut} \u{e9}")).len(), 1);
    }

    #[test]
    fn the_line_alone_and_public_keys_are_no_key() {
        let body = "QUJD".repeat(40);
        assert!(keys("files with -----BEGIN PRIVATE KEY----- in them").is_empty());
        assert!(keys("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----").is_empty());
        assert!(keys(&format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")).is_empty());
    }

    #[test]
    fn a_signature_without_its_fields_is_no_key() {
        let signature = format!("sig={}", "aB3%2F".repeat(10));
        let count = |text: &str| {
            let mut found = Vec::new();
            azure_keys(text, &mut found);
            found.len()
        };
        assert_eq!(count(&format!("?sv=2020&{signature}")), 1);
        assert_eq!(count(&format!("?a=b&{signature}")), 0);
    }
}
