//! Which tensors of a model are trained, when not all of them are: chosen by name or pattern.

use crate::adapter::{ALL_LINEAR, Matcher, Modules};
use crate::error::{Error, Result};
use crate::model::Model;

/// Tensors by their names, as `model.embed_tokens.weight`, without the last part of these, by an ending, or by one regular
/// expression for whole names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freezing {
    /// All but these are trained.
    Frozen(Modules),
    /// Only these are.
    Unfrozen(Modules),
}

/// Says of a tensor's name whether it is trained.
#[derive(Clone, Debug)]
pub struct Chooser {
    matcher: Matcher,
    hit_trains: bool,
}

impl Chooser {
    /// Whether the tensor of this name is trained.
    pub fn trains(&mut self, name: &str) -> bool {
        let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
        // Both are asked, so that each name that is said counts as used.
        let hit = self.matcher.hits(name) | self.matcher.hits(module);
        hit == self.hit_trains
    }
}

impl Freezing {
    /// Gets ready to look at names.
    ///
    /// # Errors
    /// A pattern that cannot be used, in words.
    pub fn chooser(&self) -> std::result::Result<Chooser, String> {
        let (modules, hit_trains) = match self {
            Self::Frozen(modules) => (modules, false),
            Self::Unfrozen(modules) => (modules, true),
        };
        if matches!(modules, Modules::Pattern(text) if text.eq_ignore_ascii_case(ALL_LINEAR)) {
            return Err(format!("`{ALL_LINEAR}` names layers for an adapter, not tensors"));
        }
        Ok(Chooser { matcher: modules.matcher()?, hit_trains })
    }

    /// Marks the model's tensors as trainable or not.
    ///
    /// # Errors
    /// A name that no tensor has, or where nothing is left to train.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        let bad = |reason: String| Error::Freezing { reason };
        let mut chooser = self.chooser().map_err(bad)?;
        model.params.iter_mut().for_each(|(_, param)| param.trainable = chooser.trains(&param.name));
        if let Some(idle) = chooser.matcher.idle() {
            return Err(bad(format!("no tensor is called `{idle}`")));
        }
        if model.params.count(true) == 0 {
            return Err(bad("every tensor is frozen".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, checkpoint};
    use std::path::Path;

    fn trained(freezing: &Freezing) -> Result<Vec<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/llama");
        let mut model = checkpoint::load(&folder, &checkpoint::Wanted::AsStored, Purpose::Training).unwrap();
        freezing.apply(&mut model)?;
        Ok(model.params.iter().filter(|(_, p)| p.trainable).map(|(_, p)| p.name.clone()).collect())
    }

    #[test]
    fn tensors_are_frozen_and_unfrozen_by_name_and_pattern() {
        let names = Modules::from_iter(["lm_head.weight", "norm"]);
        assert_eq!(trained(&Freezing::Unfrozen(names.clone())).unwrap(), ["model.norm.weight", "lm_head.weight"]);
        let rest = trained(&Freezing::Frozen(names)).unwrap();
        assert_eq!(rest.len(), 1 + 2 * 9, "embedding and two blocks");
        let lower = Modules::Pattern(r"model\.(embed_tokens|layers\.0\..*)".into());
        let upper = trained(&Freezing::Frozen(lower)).unwrap();
        assert!(upper.len() == 11 && !upper.iter().any(|name| name.contains("layers.0.")), "{upper:?}");
    }

    #[test]
    fn names_that_no_tensor_has_and_nothing_to_train_are_errors() {
        let told = |freezing| trained(&freezing).unwrap_err().to_string();
        assert!(told(Freezing::Frozen(Modules::from_iter(["lm_haed"]))).contains("`lm_haed`"));
        assert!(told(Freezing::Frozen(Modules::Pattern(".*".into()))).contains("every tensor is frozen"));
        assert!(told(Freezing::Unfrozen(Modules::Pattern("all-linear".into()))).contains("all-linear"));
    }
}
