//! Where a text names the vendors and products of its record: for masking and swapping them ([`crate::augment`],
//! [`crate::probes`]) and for telling how much a model could guess by them ([`crate::bias`]).
//!
//! **What is the same name.** Case, blanks, hyphens and underscores do not count (`d-link`, `D Link`, `Dlink`), but a
//! blank in the text must stand where the record's name has a border, so that "on line" is no `online`. A record's name
//! also counts without what it is followed by: a legal form (`Inc.`), a kind (`firmware`, `plugin`), a version or
//! something in brackets; and a product without its vendor before it. The longest name at a place counts.
//! **What is no name.** Parts of words; what has no letter; words that say what the weakness is; and everyday words
//! (`windows`, `office`, `file manager`) unless the text writes them as a name, with a capital that does not just begin
//! the sentence.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::record::Product;

mod words;

use self::words::{COMMON, KINDS, LEGAL_FORMS, WEAKNESS};

/// Products of a record that are looked for; the rest of a longer list repeats them by version.
const MAX_PRODUCTS: usize = 256;
/// No name has more letters and digits.
const MAX_CHARS: usize = 80;
/// No name spans more words of a text.
const MAX_TOKENS: usize = 12;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// Who makes it.
    Vendor,
    /// What it is called; a name of both counts as the product's.
    Product,
}

/// A name in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The bytes it stands in.
    pub span: Range<usize>,
    /// What it names.
    pub kind: NameKind,
    /// The product of the record that it is a name of, or is the vendor of, by its place.
    pub product: usize,
    /// It is glued to other characters, as in a path or an address.
    pub is_glued: bool,
}

/// The names of a record, to be looked for in its text.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// By the name's letters and digits in lower case.
    forms: HashMap<String, Form>,
    /// The first two letters of all of them: most words of a text begin otherwise and are passed over at once.
    beginnings: HashSet<(char, Option<char>)>,
    longest: usize,
}

#[derive(Debug, Clone)]
struct Form {
    kind: NameKind,
    product: usize,
    /// After which of its letters a blank may stand.
    borders: Vec<usize>,
    /// The text must write it as a name.
    is_everyday: bool,
}

impl Names {
    /// The names of `products`.
    #[must_use]
    pub fn of(products: &[Product]) -> Self {
        let mut names = Self::default();
        for (at, one) in products.iter().take(MAX_PRODUCTS).enumerate() {
            let vendor = without_end(parts(&one.vendor), NameKind::Vendor);
            for name in [parts(&one.product), parts(before_bracket(&one.product))] {
                names.add_all(&name, NameKind::Product, at);
                if !vendor.is_empty() && name.len() > vendor.len() && name.starts_with(&vendor) {
                    names.add_all(&name[vendor.len()..], NameKind::Product, at);
                }
            }
            for piece in one.product.split(" and ").filter(|piece| !piece.contains(' ')) {
                names.add(&parts(piece), NameKind::Product, at);
            }
        }
        for (at, one) in products.iter().take(MAX_PRODUCTS).enumerate() {
            names.add_all(&parts(&one.vendor), NameKind::Vendor, at);
        }
        names
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// A name with everything that it may stand without.
    fn add_all(&mut self, name: &[String], kind: NameKind, product: usize) {
        let mut rest = name;
        self.add(rest, kind, product);
        while rest.len() > 1 && may_be_left_out(&rest[rest.len() - 1], kind) {
            rest = &rest[..rest.len() - 1];
            self.add(rest, kind, product);
        }
    }

    fn add(&mut self, name: &[String], kind: NameKind, product: usize) {
        let squeezed = name.concat();
        let length = squeezed.chars().count();
        let is_one_of = |list: &[&str]| name.iter().all(|part| list.contains(&part.as_str()));
        let names_nothing = !squeezed.contains(char::is_alphabetic)
            || is_one_of(WEAKNESS)
            || (is_one_of(KINDS) && squeezed != "wordpress");
        if !(2..=MAX_CHARS).contains(&length) || names_nothing {
            return;
        }
        let mut end = 0;
        let border = |part: &String| {
            end += part.chars().count();
            end
        };
        let borders: Vec<usize> = name.iter().map(border).collect();
        let is_everyday = length < 4 || name.iter().all(|part| is_everyday(part));
        self.longest = self.longest.max(length);
        self.beginnings.extend(beginning(squeezed.chars()));
        let form =
            self.forms.entry(squeezed).or_insert_with(|| Form { kind, product, borders: Vec::new(), is_everyday });
        form.borders.extend(borders);
    }

    /// The names in `text`, in order, none within another.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Found> {
        if self.is_empty() {
            return Vec::new();
        }
        let tokens = tokens(text);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            match self.longest_at(text, &tokens, at) {
                Some((name, count)) => {
                    found.push(name);
                    at += count;
                }
                None => at += 1,
            }
        }
        found
    }

    /// The longest name that begins with token `at`, and how many tokens it has.
    fn longest_at(&self, text: &str, tokens: &[Range<usize>], at: usize) -> Option<(Found, usize)> {
        let begins = beginning(text[tokens[at].start..].chars().filter(|c| c.is_alphanumeric()));
        if !begins.is_some_and(|begins| self.beginnings.contains(&begins)) {
            return None;
        }
        let mut squeezed = String::new();
        let mut blanks = Vec::new();
        let (mut length, mut best) = (0, None);
        for (count, token) in tokens[at..].iter().take(MAX_TOKENS).enumerate() {
            if count > 0 {
                match joint(&text[tokens[at + count - 1].end..token.start]) {
                    Joint::Free => {}
                    Joint::Blank => blanks.push(length),
                    Joint::None => break,
                }
            }
            squeezed.extend(text[token.clone()].chars().flat_map(char::to_lowercase));
            length = squeezed.chars().count();
            if length > self.longest {
                break;
            }
            let Some(form) = self.forms.get(&squeezed) else { continue };
            let span = start_of(text, tokens[at].start)..token.end;
            let is_name = !form.is_everyday || is_written_as_name(text, &span);
            if is_name && blanks.iter().all(|blank| form.borders.contains(blank)) {
                let is_glued = is_glued(text, &span);
                best = Some((Found { span, kind: form.kind, product: form.product, is_glued }, count + 1));
            }
        }
        best
    }
}

/// Where a name begins whose first letter stands at `at`: a full stop at the beginning of a word, as in `.NET`, is its own.
fn start_of(text: &str, at: usize) -> usize {
    match text[..at].strip_suffix('.') {
        Some(before) if before.chars().next_back().is_none_or(|c| c.is_whitespace() || "'\"(‘“".contains(c)) => {
            at - 1
        }
        _ => at,
    }
}

/// The first two of `chars` in lower case.
fn beginning(chars: impl Iterator<Item = char>) -> Option<(char, Option<char>)> {
    let mut lower = chars.flat_map(char::to_lowercase);
    Some((lower.next()?, lower.next()))
}

/// What stands between two words of a name.
enum Joint {
    /// Nothing that counts, as in `D-Link`.
    Free,
    /// A blank.
    Blank,
    /// Something that ends a name.
    None,
}

fn joint(between: &str) -> Joint {
    match between {
        "-" | "_" | "." | "'" | "’" | "+" | "&" | "/" | "!" => Joint::Free,
        " " | ", " | " & " | "® " | "™ " | " - " | ": " => Joint::Blank,
        _ => Joint::None,
    }
}

/// Runs of letters and digits.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut begin = None;
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric(), begin) {
            (true, None) => begin = Some(at),
            (false, Some(start)) => {
                found.push(start..at);
                begin = None;
            }
            _ => {}
        }
    }
    found.extend(begin.map(|start| start..text.len()));
    found
}

/// The words of a record's name in lower case.
fn parts(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .take(MAX_TOKENS)
        .map(str::to_lowercase)
        .collect()
}

/// A legal form behind a vendor; a kind or a version behind a product.
fn may_be_left_out(part: &str, kind: NameKind) -> bool {
    match kind {
        NameKind::Vendor => LEGAL_FORMS.contains(&part),
        NameKind::Product => KINDS.contains(&part) || is_version(part),
    }
}

fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix(['v', 'r']).unwrap_or(part);
    digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'h')
}

fn is_everyday(part: &str) -> bool {
    COMMON.contains(&part) || KINDS.contains(&part) || WEAKNESS.contains(&part) || part.len() == 1 || is_version(part)
}

/// Whether an everyday word is written as a name: a capital inside a word, or each word with a capital and more than
/// the beginning of a sentence to account for it.
fn is_written_as_name(text: &str, span: &Range<usize>) -> bool {
    let name = &text[span.clone()];
    let mut words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    if words.clone().any(|word| word.chars().skip(1).any(char::is_uppercase)) {
        return true;
    }
    if !words.all(|word| word.starts_with(|c: char| c.is_uppercase() || c.is_numeric())) {
        return false;
    }
    let begins = text[..span.start].trim_end().chars().next_back().is_none_or(|c| ".!?".contains(c));
    let next = text[span.end..].strip_prefix(' ').and_then(|rest| rest.chars().next());
    !begins || name.contains(' ') || next.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit())
}

/// Whether the characters around make it a part of a path, an address or a longer identifier.
fn is_glued(text: &str, span: &Range<usize>) -> bool {
    let before = text[..span.start].chars().next_back();
    let mut after = text[span.end..].chars();
    let next = after.next();
    // A capital behind a full stop is the next sentence, whose blank was lost.
    let goes_on = after.next().is_some_and(|c| c.is_alphanumeric() && !c.is_uppercase());
    before.is_some_and(|c| "/\\_.@=-:#&+~$%".contains(c))
        || next.is_some_and(|c| "/\\_@=#+~$%-".contains(c) || (".:".contains(c) && goes_on))
}

/// `words` without what may be left out at their end; the first word always stays.
fn without_end(mut words: Vec<String>, kind: NameKind) -> Vec<String> {
    while words.len() > 1 && words.last().is_some_and(|last| may_be_left_out(last, kind)) {
        words.pop();
    }
    words
}

fn before_bracket(name: &str) -> &str {
    name.split(" (").next().unwrap_or_default()
}

/// One spelling for all spellings of a vendor: letters and digits in lower case, without a legal form at its end.
#[must_use]
pub fn vendor_key(vendor: &str) -> String {
    without_end(parts(before_bracket(vendor)), NameKind::Vendor).concat()
}

/// One spelling for all spellings of a product, as [`vendor_key`], without a kind or a version at its end.
#[must_use]
pub fn product_key(product: &str) -> String {
    without_end(parts(before_bracket(product)), NameKind::Product).concat()
}

/// Whether a name is of everyday words alone, so that by itself it says nothing of whose it is.
#[must_use]
pub fn is_everyday_name(name: &str) -> bool {
    parts(name).iter().all(|part| is_everyday(part))
}

/// `name` without a legal form or anything in brackets, as it is said in a sentence.
#[must_use]
pub fn spoken(name: &str) -> String {
    let mut rest = before_bracket(name).trim();
    while let Some((before, last)) = rest.rsplit_once([' ', ',']) {
        let bare: String = last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if !bare.is_empty() && !LEGAL_FORMS.contains(&bare.as_str()) {
            break;
        }
        rest = before.trim_end();
    }
    rest.to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn product(vendor: &str, product: &str) -> Product {
        Product { vendor: vendor.into(), product: product.into() }
    }

    fn found<'a>(text: &'a str, products: &[Product]) -> Vec<&'a str> {
        Names::of(products).find(text).into_iter().map(|one| &text[one.span]).collect()
    }

    #[test]
    fn spelling_does_not_count_but_borders_do() {
        let kettle = [product("tea-ware", "hot_kettle_firmware")];
        let text = "Tea-Ware's Hot Kettle, a teaware hot-kettle, and HotKettle firmware; no hotkettles, no tea water";
        assert_eq!(found(text, &kettle), ["Tea-Ware", "Hot Kettle", "teaware", "hot-kettle", "HotKettle firmware"]);
        assert!(found("It works on line.", &[product("", "xonline"), product("", "online")]).is_empty());
        assert_eq!(found("The D Link and D-Link box", &[product("dlink", "box9")]), ["D-Link"]);
        assert_eq!(found("Tea Ware", &[product("tea_ware", "")]), ["Tea Ware"]);
    }

    #[test]
    fn everyday_words_count_only_where_they_are_written_as_names() {
        let windows = [product("microsoft", "windows_10")];
        assert!(found("It opens windows of opportunity.", &windows).is_empty());
        assert!(found("Windows of opportunity.", &windows).is_empty());
        assert_eq!(found("A hole. Windows 10 and Windows have it.", &windows), ["Windows 10", "Windows"]);
        assert_eq!(found("Windows Kernel hole in Microsoft's Windows", &windows), ["Windows", "Microsoft", "Windows"]);
        let sql = [product("sql", "injection"), product("", "7"), product("", "x")];
        assert!(found("SQL Injection in X 7", &sql).is_empty(), "what says the weakness is no name");
    }

    #[test]
    fn a_name_also_counts_without_its_legal_form_its_vendor_or_its_version() {
        let products =
            [product("Acme Corporation, Inc.", "Acme Whisk Pro (Cloud) "), product("SAP_SE", "Whisk Server 2019")];
        let text = "Acme whisk pro and Acme, SAP and Whisk Server, Whisk Pro";
        assert_eq!(found(text, &products), ["Acme whisk pro", "Acme", "SAP", "Whisk Server", "Whisk Pro"]);
        assert_eq!(
            (vendor_key("Red Hat, Inc."), product_key("Whisk Server 2019 (Core)")),
            ("redhat".into(), "whiskserver".into())
        );
        assert_eq!(spoken("Acme Corporation, Inc. (Kitchen)"), "Acme");
        assert_eq!(spoken("Inc."), "Inc.");
    }

    #[test]
    fn a_full_stop_may_begin_a_name() {
        let net = [product("acme", ".tea_framework")];
        assert_eq!(
            found("A hole in '.Tea Framework'. Tea Framework has it.", &net),
            [".Tea Framework", "Tea Framework"]
        );
    }

    #[test]
    fn what_stands_in_a_path_or_an_address_is_told() {
        let found =
            Names::of(&[product("acme", "whisk")]).find("Whisk at /opt/whisk/x, whisk.php, non-whisk. Whisk.This");
        assert_eq!(found.iter().map(|one| one.is_glued).collect::<Vec<_>>(), [false, true, true, true, false]);
        assert!(found.iter().all(|one| one.kind == NameKind::Product));
    }

    proptest! {
        #[test]
        fn no_text_and_no_name_panics(text in ".{0,120}", vendor in ".{0,20}", name in ".{0,20}") {
            for one in Names::of(&[product(&vendor, &name)]).find(&text) {
                prop_assert!(!text[one.span].is_empty());
            }
            let _ = (vendor_key(&vendor), product_key(&name), spoken(&name));
        }

        #[test]
        fn a_long_name_is_found_where_it_stands(name in "[a-z]{6,12}z") {
            prop_assume!(!COMMON.contains(&name.as_str()) && !WEAKNESS.contains(&name.as_str()));
            let text = format!("A hole in {name} was found.");
            prop_assert_eq!(found(&text, &[product("", &name)]), [name.as_str()]);
        }
    }
}
