//! Semgrep with a file of rules, since its registry is not asked: JSON report, CWEs in the rules' metadata.

use std::path::Path;

use serde_json::Value;

use super::{Analyser, Finding, file_name, weaknesses};

pub(super) static SEMGREP: Analyser = Analyser {
    name: "semgrep",
    reads: &["c", "h", "cc", "cpp", "cxx", "py"],
    install: "pip install semgrep",
    arguments,
    on_stderr: false,
    parse,
};

fn arguments(rules: &Path) -> Vec<String> {
    let rules = rules.to_string_lossy().into_owned();
    let options =
        ["scan", "--json", "--quiet", "--metrics=off", "--no-git-ignore", "--disable-version-check", "--config"];
    options.map(str::to_owned).into_iter().chain([rules, ".".to_owned()]).collect()
}

fn parse(text: &str) -> Result<Vec<Finding>, String> {
    let report: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error})"))?;
    let results = report.get("results").and_then(Value::as_array).ok_or("it has no `results`")?;
    let finding = |result: &Value| Finding {
        file: file_name(result["path"].as_str().unwrap_or_default()),
        line: result["start"]["line"].as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or(0),
        rule: result["check_id"].as_str().unwrap_or_default().to_owned(),
        weaknesses: weaknesses(&result["extra"]["metadata"]["cwe"].to_string()),
    };
    Ok(results.iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weaknesses_stand_in_the_metadata() {
        let text = r#"{"results": [{"path": "f2.py", "start": {"line": 4}, "check_id": "rules.sql",
            "extra": {"metadata": {"cwe": ["CWE-89: SQL Injection"]}}}], "errors": []}"#;
        let found = parse(text).unwrap();
        assert_eq!((found[0].file.as_str(), found[0].line), ("f2.py", 4));
        assert!(found[0].weaknesses.contains("CWE-89"));
    }
}
