//! The command line, parsed to plain data.

use anyhow::{Result, bail};

use crate::check::STEPS;

/// What is printed when nothing, or help, is asked for.
pub const HELP: &str = "\
cargo xtask check [--skip NAME]…   formatting, lints, tests, docs, tidiness; NAME is fmt, clippy, test, doc or tidy
cargo xtask tidy                   file and function sizes, crate edges, words, links

example: cargo xtask check --skip test";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Read the tree.
    Tidy,
    /// All steps but these.
    Check {
        /// Names out of [`STEPS`].
        skip: Vec<String>,
    },
}

/// Parses the arguments behind the program's name.
///
/// # Errors
/// An unknown command, option or step.
pub fn parse(arguments: &[String]) -> Result<Command> {
    let mut arguments = arguments.iter().map(String::as_str);
    match arguments.next() {
        None | Some("help" | "--help" | "-h") => Ok(Command::Help),
        Some("tidy") => {
            arguments.next().map_or(Ok(Command::Tidy), |extra| bail!("`{extra}` is not an option of `tidy`\n{HELP}"))
        }
        Some("check") => parse_check(arguments),
        Some(other) => bail!("`{other}` is not a command\n{HELP}"),
    }
}

fn parse_check<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Command> {
    let mut skip = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument != "--skip" {
            bail!("`{argument}` is not an option of `check`\n{HELP}");
        }
        let Some(name) = arguments.next() else { bail!("`--skip` wants a name\n{HELP}") };
        if !STEPS.iter().any(|step| step.name == name) {
            bail!("`{name}` is not a step\n{HELP}");
        }
        skip.push(name.to_owned());
    }
    Ok(Command::Check { skip })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    #[test]
    fn commands_are_understood() {
        assert_eq!(parsed("").unwrap(), Command::Help);
        assert_eq!(parsed("tidy").unwrap(), Command::Tidy);
        let skip = vec!["test".to_owned(), "doc".to_owned()];
        assert_eq!(parsed("check --skip test --skip doc").unwrap(), Command::Check { skip });
    }

    #[test]
    fn mistakes_are_named() {
        for line in ["chek", "check --skip tests", "check --skip", "check --fast", "tidy now"] {
            assert!(parsed(line).unwrap_err().to_string().contains('`'), "{line}");
        }
    }
}
