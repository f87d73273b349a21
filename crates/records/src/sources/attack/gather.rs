//! What is gathered of a bundle of ATT&CK while it streams by.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::clean::one_line;
use crate::record::{Domain, Published, RejectReason, Technique};
use crate::source::Sink;
use crate::sources::json::{or_default, record};
use crate::sources::stix::{Common, MAX_NAME_BYTES};
use crate::sources::text;

/// The types that are looked at.
pub(super) const WANTED: &[&str] = &[
    "attack-pattern",
    "relationship",
    "course-of-action",
    "intrusion-set",
    "malware",
    "tool",
    "campaign",
    "x-mitre-detection-strategy",
    "x-mitre-analytic",
    "x-mitre-data-component",
];
/// The relations that are looked at.
const RELATIONS: &[&str] = &["uses", "mitigates", "detects"];

/// By STIX ID.
#[derive(Default)]
pub(super) struct Gathered {
    /// Whether there was any technique, readable or not.
    pub(super) is_attack: bool,
    pub(super) techniques: BTreeMap<String, Technique>,
    /// Everything else that has a name.
    pub(super) named: HashMap<String, Named>,
    pub(super) relations: Vec<Relation>,
}

/// A group, a measure, a strategy, an analytic, …
pub(super) struct Named {
    pub(super) name: String,
    /// As plain text.
    pub(super) description: String,
    pub(super) is_retired: bool,
    /// In one line, such as `Linux, macOS`.
    pub(super) platforms: String,
    /// A strategy's analytics.
    pub(super) refs: Vec<String>,
}

/// A relation that is neither revoked nor deprecated.
pub(super) struct Relation {
    pub(super) id: String,
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) description: String,
    pub(super) created: Option<Published>,
}

/// The fields that only ATT&CK's objects have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(deserialize_with = "or_default")]
    kill_chain_phases: Vec<Phase>,
    #[serde(deserialize_with = "or_default")]
    x_mitre_domains: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    x_mitre_platforms: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    x_mitre_detection: String,
    #[serde(deserialize_with = "or_default")]
    x_mitre_analytic_refs: Vec<String>,
}

#[derive(Deserialize)]
struct Phase {
    kill_chain_name: String,
    phase_name: String,
}

impl Gathered {
    /// Takes one object of a type of [`WANTED`].
    pub(super) fn take(&mut self, kind: &str, text: &str, place: &str, sink: Sink<'_>) -> Result<(), RejectReason> {
        let common: Common = record(text)?;
        match kind {
            "attack-pattern" => self.technique(&common, text, place, sink),
            "relationship" => {
                self.relation(common, place, sink);
                Ok(())
            }
            _ => self.named(common, text),
        }
    }

    fn technique(&mut self, common: &Common, text: &str, place: &str, sink: Sink<'_>) -> Result<(), RejectReason> {
        let is_own = |name: &str| name.starts_with("mitre-") && name.ends_with("attack");
        let Some(own) = common.external_references.iter().find(|one| is_own(&one.source_name)) else {
            return Ok(());
        };
        self.is_attack = true;
        let id = own.external_id.parse().map_err(|_| RejectReason::BadId)?;
        let fields: Fields = record(text)?;
        if common.name.trim().is_empty() {
            return Err(RejectReason::WrongShape);
        }
        let phases = fields.kill_chain_phases.iter().filter(|one| one.kill_chain_name.starts_with("mitre-"));
        let technique = Technique {
            id,
            name: one_line(&common.name),
            domain: domain(&fields, &own.source_name),
            description: text::attack(&common.description),
            tactics: phases.map(|one| one_line(&one.phase_name)).collect(),
            platforms: fields.x_mitre_platforms.iter().map(|one| one_line(one)).collect(),
            detection: text::attack(&fields.x_mitre_detection),
            mitigations: Vec::new(),
            is_retired: common.is_retired(),
            created: common.created(place, sink),
        };
        self.techniques.insert(common.id.clone(), technique);
        Ok(())
    }

    fn relation(&mut self, common: Common, place: &str, sink: Sink<'_>) {
        if common.is_retired() || !RELATIONS.contains(&common.relationship_type.as_str()) {
            return;
        }
        self.relations.push(Relation {
            created: common.created(place, sink),
            id: common.id,
            place: place.to_owned(),
            kind: common.relationship_type,
            source: common.source_ref,
            target: common.target_ref,
            description: common.description,
        });
    }

    fn named(&mut self, common: Common, text: &str) -> Result<(), RejectReason> {
        let fields: Fields = record(text)?;
        let name = one_line(&common.name);
        if name.len() > MAX_NAME_BYTES {
            return Err(RejectReason::WrongShape);
        }
        let named = Named {
            name,
            description: text::attack(&common.description),
            is_retired: common.is_retired(),
            platforms: one_line(&fields.x_mitre_platforms.join(", ")),
            refs: fields.x_mitre_analytic_refs,
        };
        self.named.insert(common.id, named);
        Ok(())
    }
}

/// The matrix of a technique: by its own field, else by its tactics, else by who names it.
fn domain(fields: &Fields, source_name: &str) -> Domain {
    let phases = fields.kill_chain_phases.iter().map(|one| one.kill_chain_name.as_str());
    let mut words = fields.x_mitre_domains.iter().map(String::as_str).chain(phases).chain([source_name]);
    words
        .find_map(|word| match word {
            "enterprise-attack" => Some(Domain::Enterprise),
            "mobile-attack" | "mitre-mobile-attack" => Some(Domain::Mobile),
            "ics-attack" | "mitre-ics-attack" => Some(Domain::Ics),
            _ => None,
        })
        .unwrap_or(Domain::Enterprise)
}
