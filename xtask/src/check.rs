//! Everything that continuous integration runs, step by step, each with its time.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{say, tidy};

/// One check.
pub struct Step {
    /// As it is named for `--skip`.
    pub name: &'static str,
    work: Work,
}

enum Work {
    /// `cargo` with these arguments, and one variable of its environment.
    Cargo(&'static [&'static str], Option<(&'static str, &'static str)>),
    Tidy,
}

/// All checks, the quickest to fail first.
pub static STEPS: &[Step] = &[
    Step { name: "tidy", work: Work::Tidy },
    Step { name: "fmt", work: Work::Cargo(&["fmt", "--all", "--check"], None) },
    Step {
        name: "clippy",
        work: Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], None),
    },
    Step { name: "test", work: Work::Cargo(&["test", "--workspace"], None) },
    Step {
        name: "doc",
        work: Work::Cargo(&["doc", "--workspace", "--no-deps"], Some(("RUSTDOCFLAGS", "-D warnings"))),
    },
];

/// Runs all steps but those to skip, also behind a failure, and says at the end which failed.
///
/// # Errors
/// Cargo cannot be started or the tree cannot be read.
pub fn check(root: &Path, skip: &[String], out: &mut dyn Write) -> Result<bool> {
    let mut failed = Vec::new();
    for step in STEPS {
        if skip.iter().any(|name| name == step.name) {
            say(out, &format!("[{}] skipped", step.name));
            continue;
        }
        say(out, &format!("[{}] …", step.name));
        let start = Instant::now();
        let good = step.run(root, out)?;
        let verdict = if good { "ok" } else { "FAILED" };
        say(out, &format!("[{}] {verdict} in {:.1} s", step.name, start.elapsed().as_secs_f64()));
        if !good {
            failed.push(step.name);
        }
    }
    if !failed.is_empty() {
        say(out, &format!("failed: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

impl Step {
    fn run(&self, root: &Path, out: &mut dyn Write) -> Result<bool> {
        let Work::Cargo(arguments, variable) = self.work else {
            return tidy::report(root, out);
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).envs(variable).current_dir(root);
        let status = command.status().with_context(|| format!("cannot start `cargo {}`", arguments.join(" ")))?;
        Ok(status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_all_steps_succeeds_and_says_so() {
        let skip: Vec<String> = STEPS.iter().map(|step| step.name.to_owned()).collect();
        let mut out = Vec::new();
        assert!(check(Path::new("."), &skip, &mut out).unwrap());
        assert_eq!(String::from_utf8(out).unwrap().matches("skipped").count(), STEPS.len());
    }
}
