//! More training examples out of those there are: copies in which no vendor and no product is named, so that a model
//! learns the weakness and not who tends to have it.
//!
//! Only for tasks whose answers name nothing that is masked ([`MASKABLE`]). What is a name is told by [`crate::names`].

use std::ops::Range;

use crate::conversation::Role;
use crate::dataset::{Example, Split};
use crate::names::{Found, NameKind, Names};
use crate::phrasing::draw;
use crate::record::Product;

/// Tasks whose answers stay right where names are masked.
pub const MASKABLE: &[&str] = &["cwe_classify", "severity", "cvss_vector", "ssvc"];

/// What follows the ID of a masked copy.
pub const MASKED: &str = "#masked";

/// How far back an article is looked for.
const WORDS_BACK: usize = 3;

/// `text` with "the vendor" and "the product" in place of the names of `products`; `None` where it names none.
///
/// Names side by side become one. Behind an article, and in paths and addresses, the bare word stands.
#[must_use]
pub fn mask_names(text: &str, products: &[Product]) -> Option<String> {
    mask_found(text, &Names::of(products).find(text))
}

fn mask_found(text: &str, found: &[Found]) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let mut masked = String::with_capacity(text.len() + 8 * found.len());
    let mut rest = 0;
    for (span, kind, is_glued) in joined(text, found) {
        masked.push_str(&text[rest..span.start]);
        let word = match kind {
            NameKind::Vendor => "vendor",
            NameKind::Product => "product",
        };
        if masked.ends_with(" an ") || masked.ends_with(" An ") || masked == "An " {
            masked.replace_range(masked.len() - 2..masked.len() - 1, "");
        }
        if !is_glued && wants_article(&masked) {
            masked.push_str(if begins_sentence(&masked) { "The " } else { "the " });
        }
        masked.push_str(word);
        rest = span.end;
    }
    masked.push_str(&text[rest..]);
    Some(masked)
}

/// Names that stand side by side as one, which is a product's where one of them is.
fn joined(text: &str, found: &[Found]) -> Vec<(Range<usize>, NameKind, bool)> {
    let mut all: Vec<(Range<usize>, NameKind, bool)> = Vec::new();
    for one in found {
        match all.last_mut() {
            Some((span, kind, _)) if matches!(&text[span.end..one.span.start], " " | "'s " | "’s ") => {
                span.end = one.span.end;
                *kind = one.kind.max(*kind);
            }
            _ => all.push((one.span.clone(), one.kind, one.is_glued)),
        }
    }
    all
}

/// Whether what follows `before` needs an article of its own: not where one of the last words is an article, unless a
/// word that begins a new phrase stands between.
fn wants_article(before: &str) -> bool {
    const ARTICLES: &[&str] = &[
        "the", "a", "an", "this", "that", "these", "those", "its", "their", "your", "any", "some", "all", "each",
        "every", "certain", "several", "multiple", "many", "various", "other", "another", "no",
    ];
    const BORDERS: &[&str] = &[
        "of", "in", "on", "at", "by", "for", "from", "to", "with", "within", "into", "via", "and", "or", "as", "than",
        "when", "where", "which", "if", "is", "are", "was", "were", "has", "have", "before", "after", "through",
        "under", "between", "against", "affects", "uses", "using", "allows", "contains", "running", "called",
    ];
    if !before.ends_with(' ') {
        return true;
    }
    let clause = before.rsplit(['.', ',', ';', ':', '(', ')', '"']).next().unwrap_or_default();
    let words = clause.split_whitespace().rev().take(WORDS_BACK).map(str::to_lowercase);
    // Behind a name that the record does not have no article fits: `Oven Works product`.
    let follows_name = clause.trim_end().rsplit(' ').next().is_some_and(|last| last.starts_with(char::is_uppercase));
    for word in words {
        if ARTICLES.contains(&word.as_str()) {
            return false;
        }
        if BORDERS.contains(&word.as_str()) {
            return true;
        }
        if follows_name {
            return false;
        }
    }
    true
}

fn begins_sentence(before: &str) -> bool {
    let trimmed = before.trim_end();
    trimmed.is_empty() || (trimmed.len() < before.len() && trimmed.ends_with(['.', '!', '?']))
}

/// Adds a masked copy behind a `share` (0..=1) of the training examples that name a product or vendor. `names_of` tells
/// what the record of an example is about. A copy has the group and split of its original, and [`MASKED`] behind its ID.
///
/// Which ones is fixed by `seed` and their IDs. Only what follows the instruction is masked, never the answer.
#[must_use]
pub fn augment(
    examples: Vec<(Split, Example)>,
    share: f64,
    seed: u64,
    names_of: &dyn Fn(&Example) -> Vec<Product>,
) -> Vec<(Split, Example)> {
    let mut all = Vec::with_capacity(examples.len());
    for (split, example) in examples {
        let chosen = split == Split::Train && draw(seed, "mask", &example.id) < share;
        let copy = if chosen { masked(&example, &names_of(&example)) } else { None };
        all.push((split, example));
        all.extend(copy.map(|copy| (split, copy)));
    }
    all
}

/// The copy of an example in which no name stands; `None` where its question names none of `products`.
#[must_use]
pub fn masked(example: &Example, products: &[Product]) -> Option<Example> {
    let names = Names::of(products);
    reworded(example, MASKED, |input| mask_found(input, &names.find(input)))
}

/// The example with another text behind its instruction and `suffix` behind its ID; `None` where `change` gives none.
pub(crate) fn reworded(
    example: &Example,
    suffix: &str,
    change: impl FnOnce(&str) -> Option<String>,
) -> Option<Example> {
    let mut copy = example.clone();
    let question = copy.conversation.messages.iter_mut().find(|message| message.role == Role::User)?;
    let begin = question.content.find("\n\n").map_or(0, |at| at + 2);
    let changed = change(&question.content[begin..])?;
    question.content.replace_range(begin.., &changed);
    copy.id.push_str(suffix);
    Some(copy)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::conversation::Conversation;
    use crate::names::tests::product;
    use proptest::prelude::*;

    /// An example of `cwe_classify` about `text`.
    pub(crate) fn example(id: &str, text: &str, gold: &str) -> Example {
        Example {
            id: id.into(),
            task: "cwe_classify".into(),
            published: "2024-01-02".into(),
            group: 7,
            sources: vec!["nvd".into()],
            weight: 1.0,
            private: false,
            conversation: Conversation::question(format!("Which Acme weakness?\n\n{text}"), gold),
            gold: Some(gold.into()),
        }
    }

    #[test]
    fn names_become_neutral_words_that_fit_the_sentence() {
        let products = [product("acme", "hot_kettle"), product("Acme Inc.", "Whisk")];
        for (text, want) in [
            ("Acme Hot Kettle 1.2 leaks.", "The product 1.2 leaks."),
            ("A hole in Acme's Whisk, by Acme.", "A hole in the product, by the vendor."),
            ("The Hot Kettle of an Acme site.", "The product of a vendor site."),
            ("An Acme box. Whisk boils.", "A vendor box. The product boils."),
            ("The affected Whisk and other Acme wares", "The affected product and other vendor wares"),
            ("See /opt/whisk/x or whisk.php", "See /opt/product/x or product.php"),
            ("A hole in Oven Works Whisk 2", "A hole in Oven Works product 2"),
            ("Kettles whisked by Acmeists", ""),
        ] {
            assert_eq!(mask_names(text, &products).unwrap_or_default(), want, "{text}");
        }
        let windows = [product("microsoft", "windows_10")];
        assert_eq!(mask_names("Two windows of opportunity", &windows), None);
        assert_eq!(mask_names("It opens windows on Windows.", &windows).unwrap(), "It opens windows on the product.");
    }

    #[test]
    fn a_share_of_the_training_examples_gets_a_masked_copy_and_nothing_else_changes() {
        let named = |at: usize| example(&format!("CVE-2020-{at:04}"), "Acme leaks.", "CWE-79");
        let mut examples: Vec<(Split, Example)> = (0..1000).map(|at| (Split::Train, named(at))).collect();
        examples.push((Split::Test, named(5000)));
        examples.push((Split::Train, example("CVE-2020-6000", "It leaks.", "CWE-79")));
        let names_of = |_: &Example| vec![product("acme", "")];
        let all = augment(examples.clone(), 0.5, 3, &names_of);
        let (copies, kept): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|(_, one)| one.id.ends_with(MASKED));
        assert_eq!(kept, examples);
        assert!((400..600).contains(&copies.len()), "{}", copies.len());
        for (split, copy) in &copies {
            assert_eq!((*split, copy.group, copy.gold.as_deref()), (Split::Train, 7, Some("CWE-79")));
            assert_eq!(copy.conversation.messages[0].content, "Which Acme weakness?\n\nThe vendor leaks.");
        }
        assert_eq!(augment(examples.clone(), 0.5, 3, &names_of), all);
        assert_eq!(augment(examples.clone(), 0.0, 3, &names_of), examples);
        assert_eq!(augment(examples, 1.0, 3, &names_of).len(), 2002);
    }

    proptest! {
        #[test]
        fn masking_never_panics_and_leaves_no_name(before in "[a-zé.,/ ]{0,40}", after in "[a-zé.,/ ]{0,40}") {
            let products = [product("Quxorp", "Blarnigan")];
            let text = format!("{before} Quxorp Blarnigan {after}");
            let masked = mask_names(&text, &products).unwrap();
            prop_assert!(!masked.contains("Quxorp") && !masked.contains("Blarnigan"), "{}", masked);
            prop_assert_eq!(mask_names(&masked, &products), None);
        }
    }
}
