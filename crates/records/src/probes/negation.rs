//! Texts that say that a weakness is not there.

use super::Said;

/// Why a product does not have a weakness, by its CWE, in words that follow "as".
const SAFEGUARDS: &[(&[&str], &str)] = &[
    (&["CWE-79"], "it encodes everything that it writes into a page"),
    (&["CWE-89"], "its queries take values as bound parameters alone"),
    (&["CWE-119", "CWE-120", "CWE-121", "CWE-122", "CWE-787"], "it checks each write against the size of the buffer"),
    (&["CWE-125"], "it checks each read against the end of the buffer"),
    (&["CWE-20"], "it refuses all input that is not of the expected form"),
    (&["CWE-22"], "it resolves each path and refuses those outside of its own folder"),
    (&["CWE-352"], "each request that changes something must carry a secret token"),
    (&["CWE-415", "CWE-416"], "it keeps count of who holds the memory and frees it once, after the last use"),
    (&["CWE-77", "CWE-78"], "no input of a user ever reaches a shell"),
    (&["CWE-94", "CWE-74", "CWE-1321"], "it never treats input as code"),
    (&["CWE-476"], "it checks each pointer before it follows it"),
    (&["CWE-190", "CWE-191"], "its arithmetic is checked and stops at the limit"),
    (&["CWE-200", "CWE-209", "CWE-532"], "nothing that must stay secret stands in what it shows or logs"),
    (&["CWE-287", "CWE-306"], "nobody reaches this function without having logged in"),
    (
        &["CWE-862", "CWE-863", "CWE-269", "CWE-284", "CWE-639"],
        "it holds each action against the rights of the one who asks",
    ),
    (&["CWE-434"], "it checks the type of each uploaded file and stores it where nothing can be run"),
    (&["CWE-502"], "it never makes objects out of data that others send"),
    (&["CWE-918"], "it only asks addresses that stand in a fixed list"),
    (&["CWE-400", "CWE-770"], "what one client may use at a time is limited"),
    (&["CWE-798", "CWE-259"], "no password is built into it"),
    (&["CWE-601"], "it only sends people on to its own pages"),
    (&["CWE-611"], "its parser does not resolve external entities"),
    (&["CWE-362", "CWE-367"], "a lock is held from the check to the use"),
    (&["CWE-276", "CWE-732"], "only their owner may read or change its files"),
    (&["CWE-401", "CWE-772"], "it gives all memory back on every way out"),
    (&["CWE-295"], "it checks each certificate up to its root"),
    (&["CWE-311", "CWE-312", "CWE-319", "CWE-522"], "it encrypts what it stores and what it sends"),
];

/// The safeguard of a weakness that has none in the table.
const CHECKED: &str = "the code in question was reviewed and found to be free of it";

/// What is said of a weakness that is not there: `$name`, `$weakness`, `$why`, and `$text` for the original.
const TEMPLATES: &[&str] = &[
    "$name is not affected by $weakness, as $why.",
    "$name was reported to be affected by $weakness. It is not, as $why. The report has been withdrawn.",
    "An earlier notice read: \"$text\" That notice was wrong and has been withdrawn. $name is not affected by \
     $weakness, as $why.",
];

/// A text that denies the weakness of `text`; `drawn` (0..1) chooses the template. `None` where the weakness has no name.
pub(super) fn negate(text: &str, weakness: &Said, name: &str, drawn: f64) -> Option<String> {
    let template = TEMPLATES[((drawn * TEMPLATES.len() as f64) as usize).min(TEMPLATES.len() - 1)];
    let known = SAFEGUARDS.iter().find(|(labels, _)| labels.contains(&weakness.label.as_str()));
    let why = known.map_or(CHECKED, |(_, why)| why);
    let filled = template.replace("$name", name).replace("$weakness", &weakness.name).replace("$why", why);
    // The text comes last, so that nothing in it is taken for a place to fill.
    (!weakness.name.is_empty()).then(|| filled.replace("$text", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CweId;

    #[test]
    fn each_template_denies_the_weakness_and_says_why() {
        let xss = Said { label: "CWE-79".into(), name: "Cross-site Scripting".into() };
        let said = [0.0, 0.4, 0.9].map(|drawn| negate("Whisk leaks $why.", &xss, "Whisk", drawn).unwrap());
        assert_eq!(
            said[0],
            "Whisk is not affected by Cross-site Scripting, as it encodes everything that it writes into a page."
        );
        assert!(said[1].contains("It is not, as it encodes"));
        assert!(
            said[2].starts_with("An earlier notice read: \"Whisk leaks $why.\" That notice was wrong"),
            "{}",
            said[2]
        );
        let rare = Said { label: "CWE-1".into(), name: "Tea Stain".into() };
        assert!(negate("x", &rare, "Whisk", 0.0).unwrap().ends_with(&format!("as {CHECKED}.")));
        assert_eq!(negate("x", &Said { name: String::new(), ..rare }, "Whisk", 0.0), None);
    }

    #[test]
    fn every_label_of_the_table_is_a_cwe_and_stands_once() {
        let labels: Vec<&str> = SAFEGUARDS.iter().flat_map(|(labels, _)| labels.iter().copied()).collect();
        for label in &labels {
            assert!(label.parse::<CweId>().is_ok());
            assert_eq!(labels.iter().filter(|other| *other == label).count(), 1, "{label}");
        }
    }
}
