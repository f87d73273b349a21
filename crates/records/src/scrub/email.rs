//! E-mail addresses, and what only looks like one.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{after, before, token_before, window_after, window_before};

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([A-Za-z0-9][A-Za-z0-9._%+'-]{0,63})@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})")
        .expect("a tested expression")
});
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\W{0,3}(?:\w+\W{1,2}){0,1}(?:account|user|login|credential|password)")
        .expect("a tested expression")
});

/// Domains that are nobody's, or an attacker's in a hundred write-ups. RFC 2606 and RFC 6761 names are asked for apart.
const EXAMPLE_DOMAINS: &[&str] = &[
    "domain.com",
    "yourdomain.com",
    "mydomain.com",
    "company.com",
    "yourcompany.com",
    "placeholder.org",
    "evil.com",
    "attacker.com",
    "attacker.org",
    "victim.com",
    "victim.org",
    "test.com",
    "test.org",
    "foo.com",
    "bar.com",
    "foo.bar",
    "email.com",
    "mail.com",
    "xx.com",
    "a.com",
    "b.com",
    "host.com",
    "site.com",
    "website.com",
    "abc.com",
    "xyz.com",
];
/// Who appears in payloads and examples; nobody's name.
const PERSONAS: &[&str] = &[
    "attacker",
    "victim",
    "evil",
    "hacker",
    "test",
    "test1",
    "foo",
    "bar",
    "user",
    "user1",
    "user2",
    "username",
    "name",
    "example",
    "someone",
    "somebody",
    "anyone",
    "nobody",
    "a",
    "b",
    "x",
    "1",
    "123",
    "abc",
    "xyz",
    "me",
    "you",
    "your",
    "email",
    "e-mail",
    "john.doe",
    "johndoe",
    "jane.doe",
    "alice",
    "bob",
    "foobar",
    "payload",
    "youremail",
    "your-email",
    "git",
    "hg",
    "svn",
];
/// Where algorithms and extensions of SSH have their names from (RFC 4251, section 6).
const SSH_DOMAINS: &[&str] = &["openssh.com", "libssh.org", "lysator.liu.se", "ssh.com", "putty.projects.tartarus.org"];
/// Extension names of SSH without a hyphen or digit.
const SSH_NAMES: &[&str] =
    &["zlib", "statvfs", "fstatvfs", "hardlink", "fsync", "lsetstat", "limits", "eow", "tun", "keepalive"];
/// Endings of files that would pass for a top-level domain.
const FILE_ENDINGS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "htm", "json", "xml", "php", "jsp", "asp", "tgz",
    "service",
];

/// Addresses, of roles too.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    for captures in ADDRESS.captures_iter(text) {
        let (Some(local), Some(domain)) = (captures.get(1), captures.get(2)) else { continue };
        let range = local.start()..domain.end();
        let (name, place) = (local.as_str().to_ascii_lowercase(), domain.as_str().to_ascii_lowercase());
        if is_whole(text, &range)
            && !is_example(&name, &place)
            && !is_ssh_name(&name, &place)
            && !is_login(text, &range)
            && !is_default_account(text, &range)
            && !is_machine_id(text, &range, &name)
        {
            found.push(range);
        }
    }
}

/// Whether the address neither goes on nor begins before the match.
fn is_whole(text: &str, range: &Range<usize>) -> bool {
    let goes_on = match after(text, range.end) {
        Some(c) if c.is_alphanumeric() || matches!(c, '_' | '-' | '@') => true,
        Some('.') => text[range.end + 1..].starts_with(|c: char| c.is_alphanumeric()),
        _ => false,
    };
    !goes_on && before(text, range.start).is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '@' | '_'))
}

fn is_example(name: &str, domain: &str) -> bool {
    let mut labels = domain.rsplit('.');
    let top = labels.next().unwrap_or_default();
    ["example", "test", "invalid", "localhost"].contains(&top)
        || domain.split('.').any(|label| label == "example")
        || EXAMPLE_DOMAINS.contains(&domain)
        || PERSONAS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit()))
        || PERSONAS.contains(&name)
        || FILE_ENDINGS.contains(&top)
}

fn is_ssh_name(name: &str, domain: &str) -> bool {
    let is_algorithm = name.contains('-') || name.contains(|c: char| c.is_ascii_digit()) || SSH_NAMES.contains(&name);
    SSH_DOMAINS.contains(&domain) && is_algorithm
}

/// The user of a URL, of `ssh` or of `scp`: a login at a host.
fn is_login(text: &str, range: &Range<usize>) -> bool {
    let token = token_before(text, range.start);
    let in_authority = token.rfind("://").is_some_and(|at| !token[at + 3..].contains('/'));
    let rest = window_after(text, range.end, 2);
    let is_remote_path = rest.starts_with(":/") || rest.starts_with(":~");
    let command = window_before(text, range.start, 48);
    let command = command.rsplit(['\n', '.', ';', '|']).next().unwrap_or(command);
    let is_command = ["ssh ", "scp ", "sftp ", "rsync "].iter().any(|word| command.contains(word));
    in_authority && !token.contains("mailto") || is_remote_path || is_command
}

/// The id of a message in a URL, where chance made it: `2021-4-ann@…` names somebody, a UUID does not.
fn is_machine_id(text: &str, range: &Range<usize>, name: &str) -> bool {
    let is_hex = name.len() >= 16 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_webmail = text[range.clone()].ends_with("@mail.gmail.com");
    (is_hex || is_webmail) && token_before(text, range.start).contains("://")
}

/// A default account that happens to be an address: a default credential, so knowledge.
fn is_default_account(text: &str, range: &Range<usize>) -> bool {
    let lead = window_before(text, range.start, 48).to_ascii_lowercase();
    let is_default = ["default", "hard-coded", "hardcoded"].iter().any(|word| lead.contains(word));
    is_default
        && (ACCOUNT.is_match(window_after(text, range.end, 40))
            || ["account", "user", "login"].iter().any(|word| lead.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn an_address_is_found_in_a_sentence_and_in_a_message_id() {
        assert_eq!(addresses("(ann@acme.io). <b-c.d+e@x.acme.co.uk>,"), ["ann@acme.io", "b-c.d+e@x.acme.co.uk"]);
        assert_eq!(addresses("https://lists.acme.io/r/2021-4-ann@acme.io/"), ["2021-4-ann@acme.io"]);
        assert_eq!(addresses("mailto:ann@acme.io?subject=a"), ["ann@acme.io"]);
    }

    #[test]
    fn logins_packages_and_algorithms_are_no_addresses() {
        for text in [
            "git@github.com:a/b.git",
            "ssh root@box.acme.io",
            "x@box.acme.io:/tmp",
            "https://u@evil.acme.io/",
            "vite@5.0.5",
            "a@b.c",
            "icon@2x.png",
            "zlib@openssh.com",
            "a default ann@acme.io account",
            "u@mail.example.org",
        ] {
            assert!(addresses(text).is_empty(), "{text}");
        }
    }
}
