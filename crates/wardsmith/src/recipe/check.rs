//! The small checks of values that [`super::sections`] is made of.

use wardsmith_model::adapter::Modules;

use super::mistake::Wrong;
use super::reader::Checked;
use super::tree::shown;

/// Approves of everything.
pub(super) fn any<T>(_: &T) -> Checked {
    Ok(())
}

/// Whole numbers from `least` on.
pub(super) fn at_least(least: usize) -> impl Fn(&usize) -> Checked {
    move |number| match *number >= least {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{number}` is too small"), format!("at least {least}"))),
    }
}

/// Whole numbers from `least` to `most`.
pub(super) fn within(least: usize, most: usize) -> impl Fn(&usize) -> Checked {
    move |number| match (least..=most).contains(number) {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{number}` is out of range"), format!("from {least} to {most}"))),
    }
}

/// Numbers above zero up to `most`.
pub(super) fn above_zero_to(most: f64) -> impl Fn(&f64) -> Checked {
    move |number| match *number > 0.0 && *number <= most {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{number}` is out of range"), format!("above 0, at most {most}"))),
    }
}

/// Numbers from zero to `most`.
pub(super) fn zero_to(most: f64) -> impl Fn(&f64) -> Checked {
    move |number| match (0.0..=most).contains(number) {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{number}` is out of range"), format!("from 0 to {most}"))),
    }
}

/// Numbers from zero to below one.
pub(super) fn below_one(number: &f64) -> Checked {
    match (0.0..1.0).contains(number) {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{number}` is out of range"), "from 0 to below 1")),
    }
}

/// Names of runs: lower-case letters, digits and hyphens.
#[expect(clippy::ptr_arg, reason = "checks get a reference to the value as it was read")]
pub(super) fn name(name: &String) -> Checked {
    let fits = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    match (1..=64).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('-') {
        true => Ok(()),
        false => Err(Wrong::new(
            format!("{} is not a name", shown(name)),
            "1 to 64 of a-z, 0-9 and `-`, such as `cwe-classify-small`",
        )),
    }
}

/// Paths that name something.
#[expect(clippy::ptr_arg, reason = "checks get a reference to the value as it was read")]
pub(super) fn path(path: &std::path::PathBuf) -> Checked {
    match path.as_os_str().is_empty() {
        false => Ok(()),
        true => Err(Wrong::new("is an empty path", "name a folder")),
    }
}

/// Lists of at least one path that name something.
pub(super) fn paths(paths: &[std::path::PathBuf]) -> Checked {
    match paths.is_empty() {
        true => Err(Wrong::new("is an empty list", "name at least one file or folder")),
        false => paths.iter().try_for_each(path),
    }
}

/// Names of layers, none twice, or a regular expression.
pub(super) fn modules(modules: &Modules) -> Checked {
    if let Modules::Names(names) = modules {
        distinct_names(names)?;
    }
    let hint = "names such as [\"q_proj\", \"v_proj\"], \"all-linear\", or an expression for whole names";
    modules.matcher().map(drop).map_err(|what| Wrong::new(what, hint))
}

/// Lists of at least one name, none twice.
#[expect(clippy::ptr_arg, reason = "checks get a reference to the value as it was read")]
pub(super) fn distinct_names(names: &Vec<String>) -> Checked {
    if names.is_empty() {
        return Err(Wrong::new("is an empty list", "name at least one"));
    }
    let repeated = |(at, name): (usize, &String)| names[..at].contains(name).then(|| name.clone());
    match names.iter().enumerate().find_map(repeated) {
        None => Ok(()),
        Some(name) => Err(Wrong::new(format!("names {} twice", shown(&name)), "once is enough")),
    }
}
