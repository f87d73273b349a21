//! What is wrong with a recipe, and where: collected by [`super::reader`], shown together.

use std::fmt;

/// Where something in a recipe was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the recipe's text; both count from 1, columns in characters.
    At {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In an override on the command line, as it was given.
    Set(String),
    /// Nowhere in particular: it concerns the whole recipe.
    Whole,
}

impl Place {
    /// The place of byte `offset` of `text`.
    pub(super) fn at(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::At { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    pub(super) fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }
}

/// What is wrong with one value, before anybody knows where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// One mistake in a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// The key's path, such as `train.max_steps`; empty where no key is concerned.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty where there is nothing to say.
    pub hint: String,
}

/// Every mistake of one recipe, in the order of the text; mistakes of overrides come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecipeErrors {
    /// The recipe's file, or what stands for it.
    pub file: String,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl RecipeErrors {
    pub(super) fn new(file: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|left, right| left.place.cmp(&right.place));
        Self { file: file.to_owned(), mistakes }
    }

    /// One mistake that concerns the whole file.
    pub(super) fn whole(file: &str, wrong: Wrong) -> Self {
        let mistake = Mistake { place: Place::Whole, key: String::new(), what: wrong.what, hint: wrong.hint };
        Self::new(file, vec![mistake])
    }
}

impl fmt::Display for RecipeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.mistakes.len() {
            1 => "a mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        write!(f, "recipe `{}` has {count}", self.file)?;
        for mistake in &self.mistakes {
            match &mistake.place {
                Place::At { line, column } => write!(f, "\n{}:{line}:{column}: ", self.file)?,
                Place::Set(given) => write!(f, "\n--set {given}: ")?,
                Place::Whole => write!(f, "\n{}: ", self.file)?,
            }
            if !mistake.key.is_empty() {
                write!(f, "`{}`: ", mistake.key)?;
            }
            f.write_str(&mistake.what)?;
            if !mistake.hint.is_empty() {
                write!(f, "\n  hint: {}", mistake.hint)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for RecipeErrors {}

/// ``did you mean `…`?`` where one of `known` is near `given`; otherwise the list of what is known.
pub(super) fn suggest(given: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(given, candidate), candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .filter(|(similarity, _)| *similarity >= 0.8);
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => format!("one of {}", quoted(known)),
    }
}

/// "`a`, `b`, `c`".
fn quoted(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nü = 2 # x";
        assert_eq!(Place::at(text, 0), Place::At { line: 1, column: 1 });
        let hash = text.find('#').unwrap();
        assert_eq!(Place::at(text, hash), Place::At { line: 2, column: 7 });
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_gets_the_list() {
        let known = ["max_steps", "epochs"];
        assert_eq!(suggest("max_step", &known), "did you mean `max_steps`?");
        assert_eq!(suggest("zzz", &known), "one of `max_steps`, `epochs`");
    }
}
