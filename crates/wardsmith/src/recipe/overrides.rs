//! `--set key.path=value`: one more value laid over the tree of a recipe before it is checked.

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place, Wrong};
use super::tree::{Node, Table, Value, shown, value};

/// Lays every override over `recipe`, in order; says which could not be.
pub(super) fn apply(recipe: &mut Table, sets: &[String]) -> Vec<Mistake> {
    sets.iter().filter_map(|set| apply_one(recipe, set).err()).collect()
}

fn apply_one(recipe: &mut Table, set: &str) -> Result<(), Mistake> {
    let place = Place::Set(set.to_owned());
    let mistake = |key: &str, wrong: Wrong| Mistake {
        place: place.clone(),
        key: key.to_owned(),
        what: wrong.what,
        hint: wrong.hint,
    };
    let (key, given) = set.split_once('=').ok_or_else(|| {
        let hint = "write it as key.path=value, such as train.max_steps=100";
        mistake("", Wrong::new("has no `=`", hint))
    })?;
    let path = parse_path(key.trim()).map_err(|wrong| mistake("", wrong))?;
    let node = Node {
        value: parse_value(given.trim(), &place).map_err(|wrong| mistake(key.trim(), wrong))?,
        place: place.clone(),
    };
    insert(recipe, &path, node).map_err(|wrong| mistake(key.trim(), wrong))
}

/// The parts of a dotted key; TOML's own parser reads it.
fn parse_path(key: &str) -> Result<Vec<String>, Wrong> {
    let wrong = || {
        let what = format!("{} is not a key", shown(key));
        Wrong::new(what, "keys are words joined by dots, such as train.max_steps")
    };
    let line = format!("{key} = 0");
    let document = DeTable::parse(&line).map_err(|_| wrong())?;
    let mut entries = document.get_ref();
    let mut path = Vec::new();
    while let Some((key, value)) = entries.iter().next().filter(|_| entries.len() == 1) {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => entries = inner,
            _ => return Ok(path),
        }
    }
    Err(wrong())
}

/// A value in TOML's syntax, or bare words as text.
fn parse_value(given: &str, place: &Place) -> Result<Value, Wrong> {
    if given.is_empty() {
        return Err(Wrong::new("has no value", "for an empty text, write \"\""));
    }
    match DeValue::parse(given) {
        Ok(parsed) => Ok(value(parsed.get_ref(), &|_| place.clone())),
        Err(_) if !given.starts_with(['"', '\'', '[', '{']) => Ok(Value::Text(given.to_owned())),
        Err(error) => Err(Wrong::new(
            format!("{} is not a TOML value: {}", shown(given), error.message()),
            "quote it for your shell as well: --set 'lora.target_modules=[\"q_proj\"]'",
        )),
    }
}

/// Puts `node` at `path`, making the tables on the way.
fn insert(recipe: &mut Table, path: &[String], node: Node) -> Result<(), Wrong> {
    let (last, tables) = path.split_last().expect("a path has at least one part");
    let mut here = recipe;
    for part in tables {
        let entry = here
            .entry(part.clone())
            .or_insert_with(|| Node { place: node.place.clone(), value: Value::Table(Table::new()) });
        let found = entry.value.describe();
        let Value::Table(inner) = &mut entry.value else {
            let what = format!("`{part}` is {found}, not a table");
            return Err(Wrong::new(what, "set the whole of it instead"));
        };
        here = inner;
    }
    here.insert(last.clone(), node);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, set: &str) -> Result<Table, String> {
        let mut tree = super::super::tree::parse(text).unwrap();
        match apply(&mut tree, &[set.to_owned()]).pop() {
            None => Ok(tree),
            Some(mistake) => Err(mistake.what),
        }
    }

    fn at<'a>(tree: &'a Table, first: &str, second: &str) -> &'a Value {
        match &tree[first].value {
            Value::Table(table) => &table[second].value,
            other => other,
        }
    }

    #[test]
    fn an_override_replaces_one_value_and_keeps_its_neighbours() {
        let tree = after("[a]\nx = 1\ny = 2\n", "a.x=3").unwrap();
        assert!(matches!(at(&tree, "a", "x"), Value::Integer(3)));
        assert!(matches!(at(&tree, "a", "y"), Value::Integer(2)));
    }

    #[test]
    fn tables_on_the_way_are_made_and_bare_words_are_text() {
        let tree = after("", "model.base=models/small v2").unwrap();
        let Value::Text(text) = at(&tree, "model", "base") else { panic!("{tree:?}") };
        assert_eq!(text, "models/small v2");
        let tree = after("", "a.list=[\"x\", 'y']").unwrap();
        assert!(matches!(at(&tree, "a", "list"), Value::List(list) if list.len() == 2));
    }

    #[test]
    fn what_is_no_override_is_refused() {
        assert!(after("", "novalue").unwrap_err().contains("no `=`"));
        assert!(after("", "a=").unwrap_err().contains("no value"));
        assert!(after("", "a..b=1").unwrap_err().contains("not a key"));
        assert!(after("", "a=1\nb=2").is_ok_and(|tree| tree.len() == 1));
        assert!(after("", "x\ny=2").unwrap_err().contains("not a key"));
        assert!(after("", "a=[1").unwrap_err().contains("not a TOML value"));
        assert!(after("a = 1", "a.b=1").unwrap_err().contains("not a table"));
    }
}
