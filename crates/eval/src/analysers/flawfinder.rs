//! Flawfinder: C and C++, a table of hits with their CWEs.

use std::path::Path;

use super::{Analyser, Finding, file_name, weaknesses};

pub(super) static FLAWFINDER: Analyser = Analyser {
    name: "flawfinder",
    reads: &["c", "h", "cc", "cpp", "cxx"],
    install: "apt-get install flawfinder",
    arguments,
    on_stderr: false,
    parse,
};

fn arguments(_: &Path) -> Vec<String> {
    ["--csv", "."].map(str::to_owned).to_vec()
}

fn parse(text: &str) -> Result<Vec<Finding>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| error.to_string())?.clone();
    let column =
        |name: &str| head.iter().position(|column| column == name).ok_or_else(|| format!("it has no column `{name}`"));
    let (file, line, rule, cwes) = (column("File")?, column("Line")?, column("Name")?, column("CWEs")?);
    let finding = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| error.to_string())?;
        let text = |place: usize| record.get(place).unwrap_or_default();
        Ok(Finding {
            file: file_name(text(file)),
            line: text(line).parse().unwrap_or(0),
            rule: text(rule).to_owned(),
            weaknesses: weaknesses(text(cwes)),
        })
    };
    reader.records().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_may_show_several_weaknesses() {
        let text = "File,Line,Column,DefaultLevel,Level,Category,Name,Warning,Suggestion,Note,CWEs,Context,Fingerprint\n\
                    ./f1.c,3,5,4,4,buffer,strcpy,\"Does not check, at all\",x,,\"CWE-119!/CWE-120\",c,f\n";
        let found = parse(text).unwrap();
        assert_eq!((found[0].file.as_str(), found[0].line, found[0].rule.as_str()), ("f1.c", 3, "strcpy"));
        assert_eq!(found[0].weaknesses.len(), 2);
    }
}
