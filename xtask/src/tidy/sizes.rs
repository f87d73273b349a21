//! One noun, one file; one screen, one function; and each file says what it is.

use super::Finding;
use super::scan::Scanned;
use super::tree::{File, Tree};

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_MAIN_LINES: usize = 40;
/// In the header of a file whose length is data.
const TABLE: &str = "//! tidy: table";

/// Files and functions that are too long, files without a header.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let scanned = Scanned::new(&file.text);
    let finding = |line, what| Finding { path: file.path.clone(), line, what };
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(finding(1, "begins without `//!`: say what the file is".to_owned()));
    }
    let limit = if file.path.ends_with("src/main.rs") { MAX_MAIN_LINES } else { MAX_FILE_LINES };
    let lines = scanned.code_lines();
    if lines > limit && !is_table(&file.text) {
        findings.push(finding(0, format!("has {lines} lines of code outside tests, the limit is {limit}")));
    }
    for function in scanned.functions() {
        if function.code_lines > MAX_FUNCTION_LINES {
            let what = format!(
                "`{}` has {} lines of code, the limit is {MAX_FUNCTION_LINES}",
                function.name, function.code_lines
            );
            findings.push(finding(function.line, what));
        }
    }
    findings
}

fn is_table(text: &str) -> bool {
    text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(TABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: String) -> Vec<String> {
        let path = path.to_owned();
        check_file(&File { path, text }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_a_table_or_tests() {
        let long = "const A: u8 = 1;\n".repeat(601);
        assert_eq!(
            found("a.rs", format!("//! a\n{long}")),
            ["a.rs: has 601 lines of code outside tests, the limit is 600"]
        );
        assert!(found("a.rs", format!("//! a\n//! tidy: table\n{long}")).is_empty());
        assert!(found("a.rs", format!("//! a\n#[cfg(test)]\nmod tests {{\n{long}}}\n")).is_empty());
    }

    #[test]
    fn a_long_function_is_found_even_in_a_table() {
        let text = format!("//! a\n//! tidy: table\nfn long() {{\n{}}}\n", "    call();\n".repeat(59));
        assert_eq!(found("a.rs", text), ["a.rs:3: `long` has 61 lines of code, the limit is 60"]);
    }

    #[test]
    fn a_main_is_short_and_a_file_has_a_header() {
        let main = "fn a() {}\n".repeat(41);
        assert_eq!(found("x/src/main.rs", format!("//! m\n{main}")).len(), 1);
        assert_eq!(found("a.rs", "fn a() {}\n".to_owned()), ["a.rs:1: begins without `//!`: say what the file is"]);
    }
}
