//! Private addresses, internal hosts and hardware addresses.
//!
//! An address in 10.0.0.0/8 looks just like a version of one of a hundred products (some 1,700 descriptions have such a
//! version, a few dozen such an address), so it counts only where the words around it say that it is an address.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::text::{after, before, token_before, window_after, window_before};

static IPV4: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}").expect("a tested expression"));
static IPV6: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:f[cd][0-9a-f]{2}|fe[89ab][0-9a-f])(?::[0-9a-f]{0,4}){2,7}").expect("a tested expression")
});
/// Words before an address. Those that also stand before versions are wanted in lower case, or with `address`.
static ADDRESS_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    let scheme = r"://|//|@|\\\\|[A-Za-z_]=";
    let command = r"\b(?:ping|telnet|ssh|curl|wget|nc|ncat|nmap|inet|localip|remoteip|src|dst|peer|via|hosts?)(?: -[A-Za-z0-9]{1,8}){0,3} | -[A-Za-z] ";
    let word = r"\b(?:(?i:ip(?:v4)?[ -]addr(?:ess(?:es)?)?|source ip|destination ip|client ip|server ip)|address(?:es)?|the ip|an ip)[a-z ,:='\x22(\[]{0,24}";
    let place = r"\b(?:server|host|appliance|device|router|machine|box|site|listening|located|reachable|requests?|packets?|connections?|session|traffic|opened|received) (?:at|on|from|to) (?:the )?";
    Regex::new(&format!(r"(?:{scheme}|{command}|{word}|{place})$")).expect("a tested expression")
});
static ADDRESS_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?::[0-9]{2,5}(?:[^0-9.:]|$)|/[0-9]{1,2}(?:[^0-9.]|$))").expect("a tested expression")
});
static VERSION_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:versions?|ver\.?|v|release|firmware|build|before|prior|prior to|up to|through|until|than|update|upgrade to|[a-z]*version)[ :=]{0,3}$").expect("a tested expression")
});
static VERSION_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^,? ?(?:(?:and|or) (?:earlier|prior|later|below|older|before|previous)|through |before |[(])")
        .expect("a tested expression")
});
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}(?:local|internal|corp|lan|intranet)")
        .expect("a tested expression")
});
static HOST_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:://|@|\\\\|\b(?i:host|hostname|server|domain|ping|ssh|telnet|at|into|curl) )$")
        .expect("a tested expression")
});
static MAC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}")
        .expect("a tested expression")
});

/// The first and last address of a private network, and the metadata service of every cloud: knowledge.
const KEPT_IPV4: &[[u8; 4]] = &[
    [169, 254, 169, 254],
    [10, 0, 0, 0],
    [172, 16, 0, 0],
    [192, 168, 0, 0],
    [169, 254, 0, 0],
    [10, 255, 255, 255],
    [172, 31, 255, 255],
    [192, 168, 255, 255],
    [169, 254, 255, 255],
];
/// Where Java and the like have packages called `internal`.
const PACKAGE_ROOTS: &[&str] = &[
    "com", "org", "net", "io", "java", "javax", "jdk", "sun", "edu", "app", "android", "this", "self", "window",
    "system",
];
/// Names that every installation has.
const KEPT_HOSTS: &[&str] = &[
    "metadata.google.internal",
    "host.docker.internal",
    "kubernetes.docker.internal",
    "gateway.docker.internal",
    "homeassistant.local",
    "wpad.local",
    "localhost.local",
];
/// Hardware addresses of textbooks.
const KEPT_MACS: &[&str] =
    &["001122334455", "aabbccddeeff", "112233445566", "123456789abc", "0123456789ab", "deadbeefcafe"];

/// Private addresses, version 4 and 6.
pub(super) fn private_ips(text: &str, found: &mut Vec<Range<usize>>) {
    let candidates: Vec<(Range<usize>, Ipv4Addr)> =
        IPV4.find_iter(text).filter_map(|found| private_v4(text, found.range())).collect();
    let mut taken: Vec<bool> = candidates.iter().map(|(range, ip)| is_address(text, range, *ip)).collect();
    // A list's members share the words before its first one.
    for at in 1..candidates.len() {
        let (left, right) = (&candidates[at - 1], &candidates[at]);
        if is_list(text, &left.0, &right.0) && (taken[at - 1] || taken[at]) {
            (taken[at - 1], taken[at]) = (true, true);
        }
    }
    found.extend(candidates.into_iter().zip(taken).filter(|(_, taken)| *taken).map(|((range, _), _)| range));
    found.extend(IPV6.find_iter(text).map(|found| found.range()).filter_map(|range| private_v6(text, range)));
    found.sort_by_key(|range| range.start);
}

/// `range` with its address, where it is a private one that is not kept.
fn private_v4(text: &str, range: Range<usize>) -> Option<(Range<usize>, Ipv4Addr)> {
    let ip: Ipv4Addr = text[range.clone()].parse().ok()?;
    let is_part_before =
        before(text, range.start).is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'));
    let rest = window_after(text, range.end, 8);
    let is_part_after = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        || (rest.starts_with(['.', '-', '+']) && rest[1..].starts_with(|c: char| c.is_alphanumeric()));
    let is_private = (ip.is_private() || ip.is_link_local()) && !KEPT_IPV4.contains(&ip.octets());
    let is_cpe = token_before(text, range.start).contains("cpe:");
    (is_private && !is_part_before && !is_part_after && !is_cpe).then_some((range, ip))
}

fn is_address(text: &str, range: &Range<usize>, ip: Ipv4Addr) -> bool {
    let (lead, rest) = (window_before(text, range.start, 64), window_after(text, range.end, 24));
    if VERSION_BEFORE.is_match(lead) || VERSION_AFTER.is_match(rest) {
        return false;
    }
    ip.octets()[0] != 10 || ADDRESS_BEFORE.is_match(lead) || ADDRESS_AFTER.is_match(rest)
}

/// Whether only a separator stands between two addresses.
fn is_list(text: &str, left: &Range<usize>, right: &Range<usize>) -> bool {
    let between = text.get(left.end..right.start).unwrap_or_default();
    between.len() <= 8 && between.chars().all(|c| matches!(c, ' ' | ',' | ';' | '>' | '-' | '\n' | '/'))
}

fn private_v6(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let trimmed =
        text[range.clone()].strip_suffix(':').filter(|head| !head.ends_with(':')).unwrap_or(&text[range.clone()]);
    let range = range.start..range.start + trimmed.len();
    let ip: Ipv6Addr = trimmed.parse().ok()?;
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '.');
    let is_whole = !before(text, range.start).is_some_and(is_part)
        && !after(text, range.end).is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_network = ip.segments()[1..].iter().all(|part| *part == 0);
    (is_whole && !is_network && (ip.is_unique_local() || ip.is_unicast_link_local())).then_some(range)
}

/// Names of hosts that no public server knows.
pub(super) fn internal_hosts(text: &str, found: &mut Vec<Range<usize>>) {
    found.extend(HOST.find_iter(text).map(|found| found.range()).filter(|range| is_host(text, range)));
}

fn is_host(text: &str, range: &Range<usize>) -> bool {
    let name = &text[range.clone()];
    let lead = window_before(text, range.start, 24);
    let rest = window_after(text, range.end, 4);
    let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '('))
        || (rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_alphanumeric()));
    let is_path = lead.ends_with('/') && !lead.ends_with("//");
    let began = lead.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if goes_on
        || is_path
        || began
        || KEPT_HOSTS.contains(&name)
        || name.ends_with(".svc.cluster.local")
        || name.contains("example")
    {
        return false;
    }
    let labels: Vec<&str> = name.split('.').collect();
    if PACKAGE_ROOTS.contains(&labels[0]) || ["rc.local", "mail.local"].contains(&name) {
        return false;
    }
    let is_addressed = HOST_BEFORE.is_match(lead) || rest.starts_with([':', '/', '\\']) && labels.len() > 2;
    let is_machine =
        labels[..labels.len() - 1].iter().any(|label| label.contains(|c: char| c == '-' || c.is_ascii_digit()));
    let is_sure_suffix = matches!(labels[labels.len() - 1], "corp" | "lan" | "intranet")
        && name.chars().all(|c| !c.is_ascii_uppercase());
    is_addressed || is_machine || is_sure_suffix
}

/// Hardware addresses of single devices.
pub(super) fn mac_addresses(text: &str, found: &mut Vec<Range<usize>>) {
    found.extend(MAC.find_iter(text).map(|found| found.range()).filter(|range| is_device(text, range)));
}

fn is_device(text: &str, range: &Range<usize>) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, ':' | '-' | '_');
    let goes_on = after(text, range.end).is_some_and(|c| c.is_alphanumeric() || c == '_')
        || (text[range.end..].starts_with([':', '-'])
            && text[range.end + 1..].starts_with(|c: char| c.is_ascii_hexdigit()));
    if before(text, range.start).is_some_and(is_part) || goes_on {
        return false;
    }
    let digits: String =
        text[range.clone()].chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
    let is_same = digits.bytes().all(|digit| digit == digits.as_bytes()[0]);
    let is_multicast = digits.starts_with("01005e") || digits.starts_with("3333") || digits.starts_with("0180c2");
    // 00:00:5e is IANA's, 02:00:00 is what simulators count up from.
    let is_made_up = digits.starts_with("00005e") || digits.starts_with("020000") || digits.starts_with("0000000");
    !is_same && !is_multicast && !is_made_up && !KEPT_MACS.contains(&digits.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(find: fn(&str, &mut Vec<Range<usize>>), text: &str) -> Vec<&str> {
        let mut ranges = Vec::new();
        find(text, &mut ranges);
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn an_address_is_told_from_a_version_by_the_words_around_it() {
        for (text, want) in [
            ("IP address of the server is 10.8.0.5.", vec!["10.8.0.5"]),
            ("(10.10.10.2, 172.16.16.16)", vec!["10.10.10.2", "172.16.16.16"]),
            ("Acme Server 10.8.0.5 and 10.8.0.6", vec![]),
            ("BIG-IP 10.2.3.1, up to 192.168.1.88", vec![]),
            ("http://10.8.0.5/ and 10.8.0.5/24", vec!["10.8.0.5", "10.8.0.5"]),
            ("10.0.0.0/8, 192.168.0.0/16, 169.254.169.254, 8.8.8.8, 127.0.0.1", vec![]),
            ("fe80::1, fd00:1::2, fe80::/10, fc00::/7, fd::read", vec!["fe80::1", "fd00:1::2"]),
        ] {
            assert_eq!(found(private_ips, text), want, "{text}");
        }
    }

    #[test]
    fn hosts_are_told_from_files_and_packages() {
        assert_eq!(
            found(internal_hosts, "http://db.corp/ and node-3.local, host x.internal"),
            ["db.corp", "node-3.local", "x.internal"]
        );
        assert!(
            found(
                internal_hosts,
                "/etc/rc.local com.acme.internal jdk.internal.x metadata.google.internal a.local.acme.io"
            )
            .is_empty()
        );
    }

    #[test]
    fn fingerprints_and_broadcasts_are_no_devices() {
        assert_eq!(
            found(mac_addresses, "a4:5e:60:c1:7f:09 A4-5E-60-C1-7F-09"),
            ["a4:5e:60:c1:7f:09", "A4-5E-60-C1-7F-09"]
        );
        assert!(found(mac_addresses, "ff:ff:ff:ff:ff:ff 01:00:5e:01:02:03 21:32:00:02:ac:07:ee:b8").is_empty());
    }
}
