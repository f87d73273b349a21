//! Probes: test examples whose text is turned in a known way, with what must become of the answer.
//!
//! A model that has learned the weakness keeps its answer where only the words, the names, some letters or the length
//! change, and gives it up where the text says that the weakness is not there. Each [`Kind`] is such a turn. A probe has
//! the ID of its original with `#probe-KIND` behind it, its group and its split (always test); [`crate::tasks::probe`]
//! collects them beside their untouched originals. After CheckList (Ribeiro et al., ACL 2020), whose invariance and
//! directional expectation tests these are.

use crate::augment::reworded;
use crate::conversation::Role;
use crate::dataset::Example;
use crate::names::Names;
use crate::phrasing::draw;
use crate::record::Product;

mod length;
mod negation;
mod paraphrase;
mod swap;
mod typo;

pub use self::paraphrase::{Paraphrase, RULES, Rule, paraphrase};
pub use self::swap::Pool;

/// What stands before a label that must not be the answer.
pub const NOT: &str = "not ";

/// How a text is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Not at all: what the others are held against.
    Untouched,
    /// The text says that the weakness is not there. The original's label must not be the answer; any other answer,
    /// and none, is right, because the text names no other weakness.
    Negation,
    /// The same said in other words by a table of rules; the label stays.
    Paraphrase,
    /// Another vendor's and its product's names in place of the record's; the label stays.
    VendorSwap,
    /// A tenth of the plain words has a slip of the finger; the label stays.
    Typo,
    /// The first sentence alone, where it names a weakness; the label stays.
    Shorter,
    /// A paragraph more that goes with every advisory; the label stays.
    Longer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Untouched, Self::Negation, Self::Paraphrase, Self::VendorSwap, Self::Typo, Self::Shorter, Self::Longer];

    /// Its name, as IDs have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Negation => "negation",
            Self::Paraphrase => "paraphrase",
            Self::VendorSwap => "vendor-swap",
            Self::Typo => "typo",
            Self::Shorter => "shorter",
            Self::Longer => "longer",
        }
    }

    /// Whether the answer must stay the same.
    #[must_use]
    pub fn keeps_label(self) -> bool {
        self != Self::Negation
    }

    /// The kind of the probe with this ID, and the ID of its original.
    #[must_use]
    pub fn of_id(id: &str) -> Option<(Self, &str)> {
        let (original, name) = id.rsplit_once("#probe-")?;
        Some((Self::ALL.into_iter().find(|kind| kind.name() == name)?, original))
    }
}

/// What a probe is made with, beside the example.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// The products of the example's record.
    pub products: &'a [Product],
    /// Names to swap in.
    pub pool: &'a Pool,
    /// Fixes every choice.
    pub seed: u64,
}

/// The probe of `kind` out of `example`; `None` where its text gives none.
#[must_use]
pub fn probe(kind: Kind, example: &Example, making: &Making<'_>) -> Option<Example> {
    let Making { products, pool, seed } = *making;
    let id = example.id.as_str();
    let suffix = format!("#probe-{}", kind.name());
    let mut made = reworded(example, &suffix, |text| match kind {
        Kind::Untouched => Some(text.to_owned()),
        Kind::Negation => {
            negation::negate(text, &weakness_of(example)?, &name_in(text, products), draw(seed, "negation", id))
        }
        Kind::Paraphrase => paraphrase(text).map(|one| one.text),
        Kind::VendorSwap => swap::swap(text, products, pool, draw(seed, "swap", id)),
        Kind::Typo => typo::misspell(text, seed, id),
        Kind::Shorter => length::first_sentence(text).map(str::to_owned),
        Kind::Longer => Some(length::with_notice(text, draw(seed, "longer", id))),
    })?;
    if !kind.keeps_label() {
        let answer = made.conversation.messages.iter_mut().find(|one| one.role == Role::Assistant)?;
        answer.content = crate::phrasing::DECLINE.into();
        made.gold = Some(format!("{NOT}{}", made.gold?));
    }
    Some(made)
}

/// A weakness as an answer names it, with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    label: String,
    name: String,
}

/// The weakness of an example of `cwe_classify`.
fn weakness_of(example: &Example) -> Option<Said> {
    let label = example.gold.clone()?;
    let answer = example.conversation.text_of(Role::Assistant)?;
    let name = answer.strip_suffix(&format!(" ({label})"))?.to_owned();
    Some(Said { label, name })
}

/// What the text calls its product: the first product's name in it, in its own spelling.
fn name_in(text: &str, products: &[Product]) -> String {
    let found = Names::of(products).find(text);
    let name = found.iter().filter(|one| !one.is_glued).max_by_key(|one| (one.kind, std::cmp::Reverse(one.span.start)));
    name.map_or_else(|| "The product".into(), |one| text[one.span.clone()].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::tests::example;
    use crate::names::tests::product;
    use crate::phrasing::DECLINE;
    use crate::record::CweId;
    use proptest::prelude::*;

    const TEXT: &str = "A cross-site scripting vulnerability in Acme Whisk 1.2 allows remote attackers to execute \
                        arbitrary code via a crafted name. The exploit has been disclosed to the public and may be used.";

    fn original() -> Example {
        let mut one = example("CVE-2024-0001", TEXT, "CWE-79");
        one.conversation.messages[1].content = "Cross-site Scripting (CWE-79)".into();
        one
    }

    fn pool() -> Pool {
        Pool::of_names(&[("Teatime", "Saucer"), ("Acme", "Whisk")])
    }

    fn made(kind: Kind, example: &Example) -> Option<Example> {
        let products = [product("acme", "whisk")];
        probe(kind, example, &Making { products: &products, pool: &pool(), seed: 1 })
    }

    fn text(example: &Example) -> &str {
        example.conversation.messages[0].content.split_once("\n\n").unwrap().1
    }

    #[test]
    fn each_kind_makes_one_probe_that_names_its_original_and_keeps_its_instruction() {
        for kind in Kind::ALL {
            let probe = made(kind, &original()).unwrap();
            assert_eq!(Kind::of_id(&probe.id), Some((kind, "CVE-2024-0001")));
            assert_eq!(text(&probe) == TEXT, kind == Kind::Untouched, "{kind:?}: {}", text(&probe));
            assert!(probe.conversation.messages[0].content.starts_with("Which Acme weakness?\n\n"));
            assert_eq!(probe.group, original().group);
            assert_eq!(probe.gold.as_deref() == Some("CWE-79"), kind.keeps_label(), "{kind:?}");
            assert_eq!(made(kind, &original()), Some(probe), "twice the same");
        }
        assert_eq!(Kind::of_id("CVE-2024-0001"), None);
        assert_eq!(Kind::of_id("CVE-2024-0001#probe-poem"), None);
    }

    #[test]
    fn the_golden_probes() {
        let text_of = |kind| text(&made(kind, &original()).unwrap()).to_owned();
        assert_eq!(
            text_of(Kind::Paraphrase),
            "In Acme Whisk 1.2, a cross-site scripting vulnerability lets remote attackers run code of their choice by \
             means of a specially made name. How to exploit it is publicly known."
        );
        assert_eq!(text_of(Kind::VendorSwap), TEXT.replace("Acme Whisk", "Teatime Saucer"));
        assert_eq!(text_of(Kind::Shorter), TEXT.split_once(". The").unwrap().0.to_owned() + ".");
        assert!(text_of(Kind::Longer).starts_with(TEXT));
        let negated = made(Kind::Negation, &original()).unwrap();
        assert!(text(&negated).contains("Whisk") && text(&negated).contains(" not"), "{}", text(&negated));
        assert_eq!(negated.gold.as_deref(), Some("not CWE-79"));
        assert_eq!(negated.conversation.messages[1].content, DECLINE);
    }

    #[test]
    fn without_names_or_phrases_there_is_nothing_to_turn() {
        let bare = example("CVE-2024-0002", "It leaks.", "CWE-79");
        for kind in [Kind::Negation, Kind::Paraphrase, Kind::VendorSwap, Kind::Shorter] {
            assert_eq!(made(kind, &bare), None, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_probe_tells_the_label(text in ".{0,200}") {
            let mut one = original();
            one.conversation.messages[0].content = format!("Which?\n\n{text}");
            for probe in Kind::ALL.into_iter().filter_map(|kind| made(kind, &one)) {
                let told = &probe.conversation.messages[0].content;
                prop_assert!(CweId::find_in(&text).is_some() || CweId::find_in(told).is_none(), "{}", told);
            }
        }
    }
}
