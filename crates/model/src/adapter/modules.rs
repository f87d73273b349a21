//! Which layers an adapter sits on, said as PEFT says it: names, one regular expression, or `all-linear`.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// What PEFT calls every linear layer but the head.
pub const ALL_LINEAR: &str = "all-linear";
/// Most memory of a compiled expression.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Modules, as `target_modules` and `exclude_modules` name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modules {
    /// Whole names, or their last parts.
    Names(Vec<String>),
    /// `all-linear`, or a regular expression that a whole name has to match.
    Pattern(String),
}

impl<S: Into<String>> FromIterator<S> for Modules {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self::Names(names.into_iter().map(Into::into).collect())
    }
}

impl Modules {
    /// Gets ready to look at names.
    ///
    /// # Errors
    /// A pattern that is no regular expression of this program, or an empty list, in words.
    pub fn matcher(&self) -> Result<Matcher, String> {
        let kind = match self {
            Self::Names(names) if names.is_empty() => return Err("names no module".into()),
            Self::Names(names) => Kind::Names(names.clone(), vec![false; names.len()]),
            Self::Pattern(text) if text.eq_ignore_ascii_case(ALL_LINEAR) => Kind::All,
            Self::Pattern(text) => {
                let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_PATTERN_BYTES).build();
                let reason = |e: regex::Error| {
                    let said = e.to_string();
                    let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    format!("`{text}` is no regular expression: {last}")
                };
                Kind::Pattern(text.clone(), whole.map_err(reason)?, false)
            }
        };
        Ok(Matcher { kind })
    }
}

/// Looks at names, and remembers what of it hit one.
#[derive(Clone, Debug)]
pub struct Matcher {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Names(Vec<String>, Vec<bool>),
    Pattern(String, Regex, bool),
    All,
}

impl Matcher {
    /// Whether the module of this name is meant.
    pub fn hits(&mut self, name: &str) -> bool {
        match &mut self.kind {
            Kind::All => true,
            Kind::Pattern(_, pattern, used) => {
                let hit = pattern.is_match(name);
                *used |= hit;
                hit
            }
            Kind::Names(names, used) => {
                let is = |short: &String| {
                    name.strip_suffix(short.as_str()).is_some_and(|r| r.is_empty() || r.ends_with('.'))
                };
                let meant = names.iter().zip(used).filter(|(short, _)| is(short));
                meant.map(|(_, used)| *used = true).count() > 0
            }
        }
    }

    /// A name, or the pattern, that hit nothing so far.
    pub fn idle(&self) -> Option<&str> {
        match &self.kind {
            Kind::Names(names, used) => names.iter().zip(used).find(|(_, used)| !**used).map(|(name, _)| name.as_str()),
            Kind::Pattern(text, _, false) => Some(text),
            Kind::Pattern(..) | Kind::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = [
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.mlp.down_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.11.self_attn.q_proj",
    ];

    fn hit(modules: &Modules) -> Vec<usize> {
        let mut matcher = modules.matcher().unwrap();
        let hit = (0..NAMES.len()).filter(|i| matcher.hits(NAMES[*i])).collect();
        assert_eq!(matcher.idle(), None);
        hit
    }

    #[test]
    fn names_endings_patterns_and_all_linear_choose_as_in_peft() {
        assert_eq!(hit(&Modules::from_iter(["q_proj"])), [0, 2, 3]);
        assert_eq!(hit(&Modules::from_iter(["1.self_attn.q_proj"])), [2], "an ending begins where a part begins");
        assert_eq!(hit(&Modules::from_iter([NAMES[1], NAMES[2]])), [1, 2]);
        assert_eq!(hit(&Modules::Pattern(r".*\.1\d?\.self_attn\..*".into())), [2, 3]);
        assert_eq!(hit(&Modules::Pattern("all-linear".into())), [0, 1, 2, 3]);
    }

    #[test]
    fn what_hits_nothing_or_is_no_pattern_is_told() {
        let mut matcher = Modules::from_iter(["q_proj", "proj", "k_proj"]).matcher().unwrap();
        assert_eq!(NAMES.iter().filter(|name| matcher.hits(name)).count(), 3);
        assert_eq!(matcher.idle(), Some("proj"), "half a part is no ending");
        let mut matcher = Modules::Pattern("q_proj".into()).matcher().unwrap();
        assert!(!matcher.hits(NAMES[0]), "a pattern has to match the whole name");
        assert_eq!(matcher.idle(), Some("q_proj"));
        for bad in ["(", "(?!q_proj).*", "(a{1000}){1000}"] {
            let told = Modules::Pattern(bad.into()).matcher().unwrap_err();
            assert!(told.contains(bad) && told.contains("no regular expression"), "{told}");
        }
        assert!(Modules::Names(Vec::new()).matcher().is_err());
    }
}
