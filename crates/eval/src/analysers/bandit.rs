//! Bandit: Python, JSON report, a CWE at each issue.

use std::path::Path;

use serde_json::Value;

use super::{Analyser, Finding, file_name};

pub(super) static BANDIT: Analyser =
    Analyser { name: "bandit", reads: &["py"], install: "pip install bandit", arguments, on_stderr: false, parse };

fn arguments(_: &Path) -> Vec<String> {
    ["-r", "-f", "json", "-q", "."].map(str::to_owned).to_vec()
}

fn parse(text: &str) -> Result<Vec<Finding>, String> {
    let report: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error})"))?;
    let results = report.get("results").and_then(Value::as_array).ok_or("it has no `results`")?;
    let finding = |result: &Value| Finding {
        file: file_name(result["filename"].as_str().unwrap_or_default()),
        line: result["line_number"].as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or(0),
        rule: result["test_id"].as_str().unwrap_or_default().to_owned(),
        weaknesses: result["issue_cwe"]["id"].as_u64().map(|number| format!("CWE-{number}")).into_iter().collect(),
    };
    Ok(results.iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_name_their_weakness() {
        let text =
            r#"{"results": [{"filename": "./f3.py", "line_number": 9, "test_id": "B608", "issue_cwe": {"id": 89}}]}"#;
        let found = parse(text).unwrap();
        assert_eq!((found[0].file.as_str(), found[0].rule.as_str()), ("f3.py", "B608"));
        assert!(found[0].weaknesses.contains("CWE-89"));
    }
}
