//! What the author of a message wrote: without quotes, signatures, armour and the footers of lists.

/// How lines of a plain text part are meant, RFC 3676.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// As they stand.
    Fixed,
    /// A blank at the end of a line means that it goes on.
    Flowed,
    /// The same, and that blank is no part of the text.
    FlowedTight,
}

/// How near the end of a message a footer begins.
const FOOTER_LINES: usize = 12;
/// How many underscores lists draw above their footers, at least.
const RULE_CHARS: usize = 30;
/// Blocks of armour that say nothing, RFC 9580 §6.2.
const DROPPED_ARMOUR: &[(&str, &str)] = &[
    ("-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"),
    ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"),
];
const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// The text of a part without what others wrote and what programs added.
pub(super) fn own_words(text: &str, flow: Flow) -> String {
    let text = text.replace("\r\n", "\n");
    let lines = without_armour(text.split('\n'));
    let lines = without_footer(lines);
    let lines = without_quotes(&lines);
    match flow {
        Flow::Fixed => lines.join("\n"),
        Flow::Flowed => unflowed(&lines, false),
        Flow::FlowedTight => unflowed(&lines, true),
    }
}

/// Drops signatures and keys, and takes the escapes of a clear-signed text away, RFC 9580 §7.
fn without_armour<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut dropped_until = None;
    let mut in_signed_head = false;
    let mut is_signed = false;
    for line in lines {
        let bare = line.trim_end();
        if let Some(end) = dropped_until {
            if bare == end {
                dropped_until = None;
            }
        } else if in_signed_head {
            in_signed_head = !bare.is_empty();
        } else if bare == SIGNED {
            (in_signed_head, is_signed) = (true, true);
        } else if let Some((_, end)) = DROPPED_ARMOUR.iter().find(|(begin, _)| *begin == bare) {
            dropped_until = Some(*end);
            is_signed = false;
        } else {
            kept.push(if is_signed { line.strip_prefix("- ").unwrap_or(line) } else { line });
        }
    }
    kept
}

/// Cuts the text at its signature, or at the rule that a list drew above its footer.
fn without_footer(mut lines: Vec<&str>) -> Vec<&str> {
    let last = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    lines.truncate(last);
    let near_end = last.saturating_sub(FOOTER_LINES);
    let is_rule = |line: &str| line.len() >= RULE_CHARS && line.bytes().all(|byte| byte == b'_');
    let cut = lines.iter().enumerate().position(|(number, line)| {
        // Some programs lose the blank after the dashes; then only the place tells.
        *line == "-- " || (number >= near_end && (line.trim_end() == "--" || is_rule(line.trim_end())))
    });
    lines.truncate(cut.unwrap_or(last));
    lines
}

/// Drops quoted lines, and the line above them that says whose they are.
fn without_quotes<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut kept: Vec<&str> = Vec::with_capacity(lines.len());
    let mut in_quote = false;
    for line in lines {
        if line.starts_with('>') {
            if !in_quote {
                drop_attribution(&mut kept);
            }
            in_quote = true;
            continue;
        }
        if in_quote {
            // What stood around a quote are two paragraphs.
            kept.push("");
        }
        in_quote = false;
        kept.push(line);
    }
    kept
}

/// Drops `On … wrote:` from the end, one line or two.
fn drop_attribution(kept: &mut Vec<&str>) {
    let end = kept.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    let begin = kept[..end].iter().rposition(|line| line.trim().is_empty()).map_or(0, |empty| empty + 1);
    let lines = &kept[begin..end];
    let Some(last) = lines.last().map(|line| line.trim()) else {
        return;
    };
    let names_somebody = |line: &str| {
        ["wrote", "writes", "schrieb", "écrit", "escribió", "said"].iter().any(|verb| line.contains(verb))
            || line.contains('@')
    };
    if !last.ends_with(':') || !lines.iter().rev().take(2).any(|line| names_somebody(line)) {
        return;
    }
    let begins = |line: &str| ["On ", "Am ", "Le ", "El ", "At "].iter().any(|word| line.starts_with(word));
    let is_wrapped = lines.len() >= 2 && !begins(last) && begins(lines[lines.len() - 2].trim());
    kept.truncate(end - 1 - usize::from(is_wrapped));
}

/// Joins lines that go on, RFC 3676 §4.
fn unflowed(lines: &[&str], tight: bool) -> String {
    let mut text = String::new();
    let mut goes_on = false;
    for (number, line) in lines.iter().enumerate() {
        if number > 0 && !goes_on {
            text.push('\n');
        }
        // A blank in front keeps lines from looking like a quote.
        let line = line.strip_prefix(' ').unwrap_or(line);
        goes_on = line.ends_with(' ') && !line.trim().is_empty();
        text.push_str(if goes_on && tight { &line[..line.len() - 1] } else { line });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_go_with_the_line_that_introduces_them() {
        let text = "Hi,\n\nOn Monday, A. B.\n<a@example.org> wrote:\n> old\n>> older\n\nnew words\n\na@b writes:\n\n> old\nand mine\n";
        assert_eq!(own_words(text, Flow::Fixed), "Hi,\n\n\n\nnew words\n\n\nand mine");
        assert_eq!(own_words("The reason:\n> x", Flow::Fixed), "The reason:");
    }

    #[test]
    fn signatures_and_footers_go() {
        assert_eq!(own_words("words\n-- \nme\n", Flow::Fixed), "words");
        assert_eq!(own_words("words\n--\nme\n", Flow::Fixed), "words");
        let rule = "_".repeat(45);
        assert_eq!(own_words(&format!("words\n\n{rule}\nA list\n"), Flow::Fixed), "words\n");
        let long = format!("words\n{rule}\n{}", "more\n".repeat(20));
        assert_eq!(own_words(&long, Flow::Fixed).lines().count(), 22);
    }

    #[test]
    fn armour_goes_and_its_text_stays() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nsigned\n- -----x\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\nafter\n- kept";
        assert_eq!(own_words(text, Flow::Fixed), "signed\n-----x\nafter\n- kept");
        assert_eq!(own_words("a\n-----BEGIN PGP SIGNATURE-----\nnever ends", Flow::Fixed), "a");
    }

    #[test]
    fn flowed_lines_are_joined() {
        assert_eq!(own_words("one \ntwo\n three \n\nfour", Flow::Flowed), "one two\nthree \nfour");
        assert_eq!(own_words("on \ne\r\nx", Flow::FlowedTight), "one\nx");
    }
}
