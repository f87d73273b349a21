//! SSVC: what CISA's analysts state of a CVE, and what CISA's coordinator decides on it.
//!
//! Specifications: CERT/CC's SSVC (decision points `E` 1.1.0, `A` 2.0.0, `TI` 1.0.0 and `MWI` 1.0.0) and CISA's
//! coordinator table `DT_CO` 2.0.3. The CVE list has the first three as a metric of CISA's container; the fourth depends
//! on who asks, and so nobody publishes it.

use std::fmt;
use std::str::FromStr;

/// The names of the three decision points, as CISA writes them.
const POINTS: [&str; 3] = ["Exploitation", "Automatable", "Technical Impact"];

/// How far exploitation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exploitation {
    /// Nobody exploits it, and no proof of concept is public.
    None,
    /// A proof of concept is public, or the way to exploit it is well known.
    Poc,
    /// It is exploited in the wild.
    Active,
}

/// Whether an attacker can automate the first four steps of the kill chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Automatable {
    /// Not reliably.
    No,
    /// Reliably.
    Yes,
}

/// What an exploit gains over the vulnerable software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TechnicalImpact {
    /// Some control, or some information.
    Partial,
    /// Full control, or all information.
    Total,
}

/// What the vulnerable software is to the one who asks: mission prevalence and public well-being taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissionAndWellBeing {
    /// Both minimal.
    Low,
    /// It supports a mission, or the harm to the public would be material.
    Medium,
    /// The mission depends on it, or the harm could not be undone.
    High,
}

/// What CISA's coordinator does about a vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Nothing now; remedy within the usual time.
    Track,
    /// As [`Self::Track`], watched more closely for changes.
    TrackStar,
    /// Supervisors see to it; remedy sooner than usual.
    Attend,
    /// Leaders see to it; remedy as soon as possible.
    Act,
}

/// An enum of few words: all of its values, their names, and reading and showing these.
macro_rules! words {
    ($name:ident, $point:literal, $($value:ident => $word:literal $(or $other:literal)?),+) => {
        impl $name {
            /// All values, the least urgent first.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = SsvcError;

            /// Reads the word in any case and spacing.
            fn from_str(text: &str) -> Result<Self, SsvcError> {
                $(if is_same($word, text) $(|| is_same($other, text))? {
                    return Ok(Self::$value);
                })+
                Err(SsvcError::UnknownValue { point: $point, value: shortened(text) })
            }
        }
    };
}

words!(Exploitation, "Exploitation", None => "none", Poc => "poc" or "public poc", Active => "active");
words!(Automatable, "Automatable", No => "no", Yes => "yes");
words!(TechnicalImpact, "Technical Impact", Partial => "partial", Total => "total");
words!(MissionAndWellBeing, "Mission & Well-being", Low => "low", Medium => "medium", High => "high");
words!(Decision, "Decision", Track => "Track", TrackStar => "Track*", Attend => "Attend", Act => "Act");

/// Why a text or a list of options is no assessment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SsvcError {
    /// A part of a text that is no decision point with a value.
    #[error("`{0}` is no decision point of an SSVC assessment\nhint: write `Exploitation: none, Automatable: no, …`")]
    UnknownPart(String),
    /// A value that the decision point does not have.
    #[error("`{value}` is no value of `{point}`\nhint: the values are in CERT/CC's SSVC documentation")]
    UnknownValue {
        /// The decision point.
        point: &'static str,
        /// What was said.
        value: String,
    },
    /// A decision point that is there twice.
    #[error("decision point `{0}` is stated twice\nhint: state each decision point once")]
    Repeated(&'static str),
    /// A decision point that is missing.
    #[error("decision point `{0}` is missing\nhint: state Exploitation, Automatable and Technical Impact")]
    Missing(&'static str),
}

/// An assessment: the three decision points that do not depend on who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssvc {
    /// How far exploitation has come.
    pub exploitation: Exploitation,
    /// Whether attacks can be automated.
    pub automatable: Automatable,
    /// What an exploit gains.
    pub technical_impact: TechnicalImpact,
}

impl Ssvc {
    /// The assessment in `options`, pairs of a decision point's name and its value, in any order. Other decision points
    /// are passed over, as there are many.
    ///
    /// # Errors
    /// Where one of the three is missing or there twice, or has an unknown value.
    pub fn from_options<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, SsvcError> {
        let mut values: [Option<&str>; 3] = [None; 3];
        for (name, value) in options {
            let Some(at) = point(name) else {
                continue;
            };
            if values[at].replace(value).is_some() {
                return Err(SsvcError::Repeated(POINTS[at]));
            }
        }
        let value = |at: usize| values[at].ok_or(SsvcError::Missing(POINTS[at]));
        Ok(Self {
            exploitation: value(0)?.parse()?,
            automatable: value(1)?.parse()?,
            technical_impact: value(2)?.parse()?,
        })
    }

    /// What CISA's coordinator does where the software means so much to a mission and to the public.
    #[must_use]
    pub fn decision(self, mission: MissionAndWellBeing) -> Decision {
        use Automatable::{No, Yes};
        use Decision::{Act, Attend, Track, TrackStar};
        use TechnicalImpact::{Partial, Total};
        let [low, medium, high] = match (self.exploitation, self.automatable, self.technical_impact) {
            (Exploitation::None, No, Partial) => [Track, Track, Track],
            (Exploitation::None, No, Total) => [Track, Track, TrackStar],
            (Exploitation::None, Yes, _) => [Track, Track, Attend],
            (Exploitation::Poc, No, Partial) => [Track, Track, TrackStar],
            (Exploitation::Poc, No, Total) => [Track, TrackStar, Attend],
            (Exploitation::Poc, Yes, Partial) => [Track, Track, Attend],
            (Exploitation::Poc, Yes, Total) => [Track, TrackStar, Attend],
            (Exploitation::Active, No, Partial) => [Track, Track, Attend],
            (Exploitation::Active, No, Total) => [Track, Attend, Act],
            (Exploitation::Active, Yes, Partial) => [Attend, Attend, Act],
            (Exploitation::Active, Yes, Total) => [Attend, Act, Act],
        };
        match mission {
            MissionAndWellBeing::Low => low,
            MissionAndWellBeing::Medium => medium,
            MissionAndWellBeing::High => high,
        }
    }
}

/// `Exploitation: none, Automatable: no, Technical Impact: partial`.
impl fmt::Display for Ssvc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = POINTS;
        write!(out, "{first}: {}, {second}: {}, ", self.exploitation, self.automatable)?;
        write!(out, "{third}: {}", self.technical_impact)
    }
}

impl FromStr for Ssvc {
    type Err = SsvcError;

    /// Reads what Display writes, in any order, case and spacing; a semicolon or a new line may stand for a comma.
    fn from_str(text: &str) -> Result<Self, SsvcError> {
        let mut options = Vec::new();
        for part in text.split([',', ';', '\n']).filter(|part| !part.trim().is_empty()) {
            let option = part.split_once(':').filter(|(name, _)| point(name).is_some());
            options.push(option.ok_or_else(|| SsvcError::UnknownPart(shortened(part)))?);
        }
        Self::from_options(options)
    }
}

/// Which of [`POINTS`] is called `name`.
fn point(name: &str) -> Option<usize> {
    POINTS.iter().position(|known| is_same(known, name))
}

/// Whether two names are one, whatever their case, spaces, hyphens and underscores.
fn is_same(left: &str, right: &str) -> bool {
    let letters = |text: &'_ str| -> Vec<char> {
        // No name is longer; a longer text stays different.
        let letters = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'));
        letters.take(40).map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(left) == letters(right)
}

/// So much of a foreign text as an error should repeat.
fn shortened(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    /// All twelve assessments.
    fn all() -> Vec<Ssvc> {
        let mut found = Vec::new();
        for &exploitation in Exploitation::ALL {
            for &automatable in Automatable::ALL {
                for &technical_impact in TechnicalImpact::ALL {
                    found.push(Ssvc { exploitation, automatable, technical_impact });
                }
            }
        }
        found
    }

    #[test]
    fn an_assessment_is_shown_and_read_back() {
        assert_eq!(all()[0].to_string(), "Exploitation: none, Automatable: no, Technical Impact: partial");
        for one in all() {
            let text = one.to_string();
            assert_eq!(text.parse(), Ok(one));
            assert_eq!(text.to_uppercase().replace(", ", " ;\n").replace(' ', "  ").parse(), Ok(one), "{text}");
        }
        for &decision in Decision::ALL {
            assert_eq!(decision.to_string().to_lowercase().parse(), Ok(decision));
        }
        let other_order = "technical_impact:Total\nautomatable : YES\nexploitation: Public PoC\n";
        assert_eq!(other_order.parse::<Ssvc>().unwrap(), all()[7]);
    }

    #[test]
    fn unknown_repeated_and_missing_points_are_told_apart() {
        let error = |text: &str| text.parse::<Ssvc>().unwrap_err();
        assert_eq!(error(""), SsvcError::Missing("Exploitation"));
        assert_eq!(error("Exploitation: none, Automatable: no"), SsvcError::Missing("Technical Impact"));
        assert_eq!(error("Exploitation: none, exploitation: none"), SsvcError::Repeated("Exploitation"));
        assert_eq!(error("Exploitation"), SsvcError::UnknownPart("Exploitation".into()));
        assert!(error("Exploitation: none, Automatable: no, Technical Impact: some").to_string().contains("`some`"));
        let options = [("Value Density", "diffuse"), ("Exploitation", "active"), ("Automatable", "No")];
        assert_eq!(Ssvc::from_options(options), Err(SsvcError::Missing("Technical Impact")));
    }

    #[test]
    fn a_more_urgent_value_never_leads_to_a_less_urgent_decision() {
        assert!(Decision::Track < Decision::TrackStar && Decision::Attend < Decision::Act);
        for one in all() {
            for more in all() {
                let is_more = more.exploitation >= one.exploitation
                    && more.automatable >= one.automatable
                    && more.technical_impact >= one.technical_impact;
                for mission in MissionAndWellBeing::ALL.windows(2) {
                    assert!(one.decision(mission[0]) <= one.decision(mission[1]));
                    assert!(!is_more || one.decision(mission[1]) <= more.decision(mission[1]), "{one} {more}");
                }
            }
        }
    }

    #[test]
    fn the_decisions_are_those_of_cisas_table() {
        let table = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/schemas/ssvc/decision_tables/cisa/cisa_coordinator_2_0_3.json"
        );
        let Ok(text) = std::fs::read_to_string(table) else {
            // A closed standard error is no failure of the test.
            let _ = writeln!(std::io::stderr(), "skipped: CISA's coordinator table; needs ../shared/schemas/ssvc");
            return;
        };
        let table: serde_json::Value = serde_json::from_str(&text).unwrap();
        let name_of = |row: &serde_json::Value, point: &str| -> String {
            let values = table["decision_points"][point]["values"].as_array().unwrap();
            let value = values.iter().find(|value| value["key"] == row[point]).unwrap();
            value["name"].as_str().unwrap().to_owned()
        };
        let rows = table["mapping"].as_array().unwrap();
        assert_eq!(rows.len(), all().len() * MissionAndWellBeing::ALL.len());
        for row in rows {
            let one = Ssvc {
                exploitation: name_of(row, "ssvc:E:1.1.0").parse().unwrap(),
                automatable: name_of(row, "ssvc:A:2.0.0").parse().unwrap(),
                technical_impact: name_of(row, "ssvc:TI:1.0.0").parse().unwrap(),
            };
            let mission = name_of(row, "ssvc:MWI:1.0.0").parse().unwrap();
            assert_eq!(one.decision(mission).to_string(), name_of(row, "cisa:CISA:1.1.0"), "{one}, {mission}");
        }
        let _ = writeln!(std::io::stderr(), "ran: CISA's coordinator table, {} rows", rows.len());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "((Exploitation|automatable|Technical Impact)?[: ,]{0,3}.{0,12}){0,4}") {
            let _ = text.parse::<Ssvc>();
        }
    }
}
