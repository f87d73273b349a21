//! Static analysers as processes: which files of a folder they find fault with, and of which weakness.
//!
//! One file a tool: how it is called, and how its report becomes [`Finding`]s. Tools are looked up on the path; one that is not
//! there is an error that says how to install it. They get a folder that this program wrote, run without a shell, have a time
//! limit, and what they print is capped.

mod bandit;
mod cppcheck;
mod flawfinder;
mod semgrep;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No report of a tool is larger.
const MAX_BYTES: u64 = 256 << 20;
/// How long a tool may run.
const TIME_LIMIT: Duration = Duration::from_secs(1800);
/// How often a running tool is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A static analyser.
pub struct Analyser {
    /// Its name, as `--against` has it, and its program.
    pub name: &'static str,
    /// Endings of the files that it reads.
    pub reads: &'static [&'static str],
    /// How to install it.
    pub install: &'static str,
    /// Its arguments for the folder that it runs in; `rules` is a file of rules, for tools that have none of their own.
    arguments: fn(rules: &Path) -> Vec<String>,
    /// Whether its report comes on standard error.
    on_stderr: bool,
    /// What is wrong with a report, or what it finds.
    parse: fn(&str) -> Result<Vec<Finding>, String>,
}

/// Every analyser.
pub static ALL: &[&Analyser] = &[&cppcheck::CPPCHECK, &flawfinder::FLAWFINDER, &semgrep::SEMGREP, &bandit::BANDIT];

/// Something that a tool finds fault with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The name of the file, without folders.
    pub file: String,
    /// The line, from 1; 0 where the tool names none.
    pub line: u32,
    /// What the tool calls it.
    pub rule: String,
    /// The weaknesses that it shows, such as `CWE-79`; empty where the tool names none.
    pub weaknesses: BTreeSet<String>,
}

/// Why a tool gave no findings.
#[derive(Debug, thiserror::Error)]
pub enum AnalyserError {
    /// There is no analyser of this name.
    #[error("no analyser is called `{name}`\nhint: known are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What could be asked for.
        known: String,
    },
    /// It is not installed.
    #[error("`{name}` cannot be started: {detail}\nhint: {install}, or leave it out of --against")]
    Absent {
        /// The tool.
        name: &'static str,
        /// What the system says.
        detail: String,
        /// How to install it.
        install: &'static str,
    },
    /// It ran and gave nothing that can be read.
    #[error(
        "`{name}` gave no report: {detail}\nhint: run `{name} --version`; versions that were tried are in BENCHMARKS.md"
    )]
    Failed {
        /// The tool.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// The analyser called `name`.
///
/// # Errors
/// Where there is none.
pub fn by_name(name: &str) -> Result<&'static Analyser, AnalyserError> {
    ALL.iter().copied().find(|analyser| analyser.name == name).ok_or_else(|| AnalyserError::Unknown {
        name: name.into(),
        known: ALL.iter().map(|analyser| format!("`{}`", analyser.name)).collect::<Vec<_>>().join(", "),
    })
}

impl Analyser {
    /// Its version, in the first line that it prints of it.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn version(&self) -> Result<String, AnalyserError> {
        let run = Command::new(self.name).arg("--version").stdin(Stdio::null()).output();
        let output = run.map_err(|error| self.absent(&error))?;
        let text = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("?")
            .to_owned())
    }

    /// What it finds in the files of `folder`; `rules` are Semgrep's.
    ///
    /// # Errors
    /// Where it is not installed, fails, takes too long, or reports what cannot be read.
    pub fn run(&self, folder: &Path, rules: &Path) -> Result<Vec<Finding>, AnalyserError> {
        let failed = |detail: String| AnalyserError::Failed { name: self.name, detail };
        let mut command = Command::new(self.name);
        command.args((self.arguments)(rules)).current_dir(folder).stdin(Stdio::null());
        command.env("SEMGREP_SEND_METRICS", "off").env("SEMGREP_ENABLE_VERSION_CHECK", "0");
        let (report, other) = (Stdio::piped(), Stdio::null());
        match self.on_stderr {
            true => command.stderr(report).stdout(other),
            false => command.stdout(report).stderr(other),
        };
        let mut child = command.spawn().map_err(|error| self.absent(&error))?;
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let pipe = stdout.or_else(|| child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map_or(Ok(0), |pipe| pipe.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map(|_| bytes)
        });
        let begun = Instant::now();
        while child.try_wait().map_err(|error| failed(error.to_string()))?.is_none() {
            if begun.elapsed() > TIME_LIMIT {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("it ran for more than {} s", TIME_LIMIT.as_secs())));
            }
            std::thread::sleep(LOOK);
        }
        let bytes = reader.join().map_err(|_| failed("its report was not read".into()))?;
        let bytes = bytes.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(format!("its report is larger than {MAX_BYTES} bytes")));
        }
        (self.parse)(&String::from_utf8_lossy(&bytes)).map_err(failed)
    }

    fn absent(&self, error: &std::io::Error) -> AnalyserError {
        AnalyserError::Absent { name: self.name, detail: error.to_string(), install: self.install }
    }
}

/// The last part of a path, in either way of writing.
fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// The weaknesses in a text such as `CWE-119!/CWE-120`.
fn weaknesses(text: &str) -> BTreeSet<String> {
    crate::identifiers::named(text).into_iter().filter(|id| id.starts_with("CWE-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_name_and_a_way_to_install_it_and_refuses_nonsense() {
        for analyser in ALL {
            assert_eq!(by_name(analyser.name).unwrap().name, analyser.name);
            assert!(analyser.install.contains("install") && !analyser.reads.is_empty());
            for text in ["", "not a report", "[]", "<a>"] {
                assert!((analyser.parse)(text).is_err(), "{} reads {text}", analyser.name);
            }
        }
        assert!(by_name("lint").err().unwrap().to_string().contains("`cppcheck`"));
    }

    #[test]
    fn a_tool_that_is_not_there_is_named_with_its_cure() {
        let absent = Analyser { name: "wardsmith-no-such-tool", ..cppcheck::CPPCHECK };
        let error = absent.run(Path::new("."), Path::new("")).unwrap_err().to_string();
        assert!(error.contains("wardsmith-no-such-tool") && error.contains("install"), "{error}");
        assert!(absent.version().is_err());
    }
}
