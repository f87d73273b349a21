//! What the terms of each source ask of whoever passes its data on.
//!
//! A dataset's manifest states the terms of every input in words; this table knows them by their key words. It is no
//! legal advice, and terms that it does not know are passed on as stated.

use std::collections::{BTreeMap, BTreeSet};

use wardsmith_records::manifest::InputSummary;

/// Terms and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Words of the manifest's statement by which they are known, in lower case: all of them occur.
    pub key_words: &'static [&'static str],
    /// What they are called.
    pub name: &'static str,
    /// Where they stand.
    pub url: &'static str,
    /// What the Hub calls them.
    pub hub_id: &'static str,
    /// What one who passes the data on must do.
    pub duty: &'static str,
}

/// Every known kind of terms, the more special ones first: the first whose words all occur counts.
pub const ALL: &[Terms] = &[
    Terms {
        key_words: &["of each document"],
        name: "The terms of each document",
        url: "https://owasp.org/www-policy/operational/copyright",
        hub_id: "other",
        duty: "Find out where each document is from and keep its terms. Texts of OWASP (Cheat Sheets, Web Security \
               Testing Guide, ASVS) are under CC BY-SA 4.0: name the OWASP project and its contributors, link the \
               licence, say that the texts were cut and reformatted, and pass on what is made of them under the same \
               licence.",
    },
    Terms {
        key_words: &["of each database"],
        name: "The terms of each OSV database",
        url: "https://google.github.io/osv.dev/data/",
        hub_id: "other",
        duty: "Keep the terms of the database that an ID names. GitHub's advisories (GHSA) are under CC BY 4.0: name \
               the GitHub Advisory Database, link the licence, and say that the texts were changed.",
    },
    Terms {
        key_words: &["of each publisher"],
        name: "The terms of each publisher of advisories",
        url: "https://www.cisa.gov/notification",
        hub_id: "other",
        duty: "Keep the terms and the distribution statement of each advisory. CISA's are work of the United States \
               government; name CISA as their origin and use neither its seal nor its logo.",
    },
    Terms {
        key_words: &["mit", "of its projects"],
        name: "MIT License, and the licences of the projects that code is from",
        url: "https://opensource.org/license/mit",
        hub_id: "other",
        duty: "Pass on the copyright line and the text of the MIT License, and keep the licence of each project whose \
               functions are shown.",
    },
    Terms {
        key_words: &["cc by-sa 4.0"],
        name: "Creative Commons Attribution-ShareAlike 4.0",
        url: "https://creativecommons.org/licenses/by-sa/4.0/",
        hub_id: "cc-by-sa-4.0",
        duty: "Name the authors (for OWASP texts: the OWASP project and its contributors), link the licence, say that \
               the texts were cut and reformatted, and pass on what is made of them under the same licence.",
    },
    Terms {
        key_words: &["cc by 4.0"],
        name: "Creative Commons Attribution 4.0",
        url: "https://creativecommons.org/licenses/by/4.0/",
        hub_id: "cc-by-4.0",
        duty: "Name the authors, link the licence, and say that the texts were changed.",
    },
    Terms {
        key_words: &["cve terms"],
        name: "CVE Program terms of use",
        url: "https://www.cve.org/Legal/TermsOfUse",
        hub_id: "other",
        duty: "Reproduce MITRE's copyright designation and the CVE licence in every copy of CVE content: \
               \"Copyright © 1999–2026, The MITRE Corporation. CVE and the CVE logo are registered trademarks of The \
               MITRE Corporation.\" CISA's own containers are CC0.",
    },
    Terms {
        key_words: &["cwe terms"],
        name: "CWE terms of use",
        url: "https://cwe.mitre.org/about/termsofuse.html",
        hub_id: "other",
        duty: "Reproduce MITRE's copyright designation and this licence in every copy: \"Copyright © 2006–2026, The \
               MITRE Corporation. CWE, CWSS, CWRAF, and the CWE logo are trademarks of The MITRE Corporation.\"",
    },
    Terms {
        key_words: &["capec"],
        name: "CAPEC terms of use",
        url: "https://capec.mitre.org/about/termsofuse.html",
        hub_id: "other",
        duty: "Reproduce MITRE's copyright designation and this licence in every copy: \"Copyright © 2007–2026, The \
               MITRE Corporation. CAPEC and the CAPEC logo are trademarks of The MITRE Corporation.\"",
    },
    Terms {
        key_words: &["att&ck"],
        name: "MITRE ATT&CK terms of use",
        url: "https://attack.mitre.org/resources/legal-and-branding/terms-of-use/",
        hub_id: "other",
        duty: "Reproduce this in every copy: \"© The MITRE Corporation. This work is reproduced and distributed with \
               the permission of The MITRE Corporation.\" ATT&CK is a registered trademark.",
    },
    Terms {
        key_words: &["detection rule license"],
        name: "Detection Rule License 1.1",
        url: "https://github.com/SigmaHQ/Detection-Rule-License",
        hub_id: "other",
        duty: "Keep the author of every rule with the rule, link the source, and pass on the licence's text.",
    },
    Terms {
        key_words: &["cmu"],
        name: "Carnegie Mellon University, Software Engineering Institute: terms of use",
        url: "https://www.sei.cmu.edu/legal/index.cfm",
        hub_id: "other",
        duty: "Name Carnegie Mellon University's CERT Coordination Center as the origin and keep its disclaimer: the \
               material is furnished as is, without warranties.",
    },
    Terms {
        key_words: &["attribution", "first"],
        name: "FIRST: terms of use of EPSS",
        url: "https://www.first.org/epss/user-guide",
        hub_id: "other",
        duty: "Name FIRST and EPSS (https://www.first.org/epss) with the scores.",
    },
    Terms {
        key_words: &["apache-2.0"],
        name: "Apache License 2.0",
        url: "https://www.apache.org/licenses/LICENSE-2.0",
        hub_id: "apache-2.0",
        duty: "Pass on the licence and its notices, and say that the files were changed.",
    },
    Terms {
        key_words: &["mit"],
        name: "MIT License",
        url: "https://opensource.org/license/mit",
        hub_id: "mit",
        duty: "Pass on the copyright line and the licence's text.",
    },
    Terms {
        key_words: &["bsd"],
        name: "BSD licence",
        url: "https://opensource.org/license/bsd-3-clause",
        hub_id: "bsd-3-clause",
        duty: "Pass on the copyright line, the conditions and the disclaimer.",
    },
    Terms {
        key_words: &["cc0"],
        name: "Creative Commons Zero 1.0",
        url: "https://creativecommons.org/publicdomain/zero/1.0/",
        hub_id: "cc0-1.0",
        duty: "None; naming the origin is good manners. Agencies' seals and logos are not covered.",
    },
    Terms {
        key_words: &["us government"],
        name: "Work of the United States government (17 U.S.C. § 105)",
        url: "https://www.usa.gov/government-copyright",
        hub_id: "other",
        duty: "None within the United States. For NVD, say: \"This product uses data from the NVD API but is not \
               endorsed or certified by the NVD.\"",
    },
];

/// The terms that `statement` states, where they are known. Words count whole, in any case.
#[must_use]
pub fn known(statement: &str) -> Option<&'static Terms> {
    let statement = statement.to_lowercase();
    let occurs = |word: &&str| {
        let is_inner = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let whole = |(at, _): (usize, &str)| {
            !is_inner(statement[..at].chars().next_back()) && !is_inner(statement[at + word.len()..].chars().next())
        };
        statement.match_indices(*word).any(whole)
    };
    ALL.iter().find(|terms| terms.key_words.iter().all(occurs))
}

/// The Hub's name of the licence of the whole: that of all inputs where they agree, else `other`.
#[must_use]
pub fn hub_id(inputs: &[InputSummary]) -> &'static str {
    let ids: BTreeSet<&str> =
        inputs.iter().map(|one| known(&one.licence).map_or("other", |terms| terms.hub_id)).collect();
    match ids.iter().next() {
        Some(&only) if ids.len() == 1 => ALL.iter().find(|one| one.hub_id == only).map_or("other", |one| one.hub_id),
        _ => "other",
    }
}

/// `LICENSES.md`: a section a source, with its terms as the manifest states them and what they ask.
#[must_use]
pub fn page(inputs: &[InputSummary]) -> String {
    let mut by_source: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for input in inputs {
        by_source.entry(&input.source).or_default().insert(&input.licence);
    }
    let mut page = String::from(
        "# Terms by source\n\nThe rows of this dataset are made of the sources below; the column `sources` says of \
         which ones each row is. The terms of every source of a row hold for that row. This page is a summary and no \
         legal advice: the linked texts count.\n",
    );
    for (source, statements) in by_source {
        page.push_str(&format!("\n## {}\n", crate::card::cell(source)));
        for statement in statements {
            page.push_str(&section(statement));
        }
    }
    page
}

fn section(statement: &str) -> String {
    let stated = format!("\nStated terms: {}\n", crate::card::cell(statement));
    match known(statement) {
        Some(terms) => {
            format!("{stated}\n- Terms: [{}]({})\n- Duty: {}\n", terms.name, terms.url, terms.duty)
        }
        None => format!(
            "{stated}\n- These terms are not among those that Wardsmith knows. Read them at their origin before you \
             pass rows of this source on.\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(source: &str, licence: &str) -> InputSummary {
        InputSummary { source: source.into(), licence: licence.into(), ..InputSummary::default() }
    }

    #[test]
    fn every_source_of_the_records_crate_has_known_terms() {
        for source in wardsmith_records::source::ALL {
            assert!(known(source.licence()).is_some(), "{}: {}", source.name(), source.licence());
        }
    }

    #[test]
    fn terms_are_known_by_whole_words() {
        for (statement, name) in [
            ("CVE terms of use; CISA's containers CC0", "CVE Program terms of use"),
            ("US government work (NVD)", "Work of the United States government (17 U.S.C. § 105)"),
            ("MIT", "MIT License"),
            (
                "MIT (SVEN); the code is under the licences of its projects",
                "MIT License, and the licences of the projects that code is from",
            ),
            ("free to use with attribution (FIRST)", "FIRST: terms of use of EPSS"),
            ("CC BY-SA 4.0", "Creative Commons Attribution-ShareAlike 4.0"),
            ("CWE terms of use (MITRE)", "CWE terms of use"),
        ] {
            assert_eq!(known(statement).map(|terms| terms.name), Some(name), "{statement}");
        }
        assert_eq!(known("permitted by nobody"), None, "mit is no word in it");
    }

    #[test]
    fn the_whole_has_one_licence_where_all_inputs_agree() {
        let (by_sa, mit) = (input("owasp", "CC BY-SA 4.0"), input("sven", "MIT"));
        assert_eq!(hub_id(&[by_sa.clone(), by_sa.clone()]), "cc-by-sa-4.0");
        assert_eq!(hub_id(&[by_sa.clone(), mit.clone()]), "other");
        assert_eq!(hub_id(&[]), "other");
        let page = page(&[by_sa, mit, input("x", "odd | terms")]);
        assert!(page.contains("## owasp") && page.contains("under the same licence"), "{page}");
        assert!(page.contains("odd \\| terms") && page.contains("not among those"), "{page}");
    }
}
