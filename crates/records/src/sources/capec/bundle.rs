//! CAPEC as a STIX bundle: `mitre/cti`, schema of the fields `x_capec_*`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;

use serde::Deserialize;

use super::Capec;
use super::flow::steps;
use crate::clean::one_line;
use crate::error::Result;
use crate::record::{AttackPattern, CapecId, Consequence, CweId, Record, Reject, RejectReason, TechniqueId};
use crate::source::{Sink, broken};
use crate::sources::json::{or_default, record};
use crate::sources::stix::{Common, Repeated, objects};
use crate::sources::text;

pub(super) fn parse(source: Capec, reader: &mut dyn BufRead, place: &str, sink: Sink<'_>) -> Result<()> {
    let mut bundle = Bundle::default();
    let wanted = ["attack-pattern", "course-of-action", "relationship"];
    let mut each =
        |kind: &str, text: &str, place: &str, sink: Sink<'_>| bundle.take(kind, record(text)?, text, (place, sink));
    objects(&source, reader, place, &wanted, &mut each, sink)?;
    if !bundle.is_capec {
        return Err(broken(&source, place, &"it has no attack pattern of CAPEC"));
    }
    let mut repeated = Repeated::default();
    bundle.finish(&mut repeated, sink);
    repeated.check(&source, place)
}

/// The fields that only patterns have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(deserialize_with = "or_default")]
    x_capec_abstraction: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_status: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_extended_description: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_likelihood_of_attack: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_typical_severity: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_prerequisites: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    x_capec_execution_flow: String,
    #[serde(deserialize_with = "or_default")]
    x_capec_consequences: BTreeMap<String, Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    x_capec_example_instances: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    x_capec_child_of_refs: Vec<String>,
}

/// What is gathered while the bundle streams by, by STIX ID.
#[derive(Default)]
struct Bundle {
    is_capec: bool,
    patterns: BTreeMap<String, Gathered>,
    measures: HashMap<String, Measure>,
    /// Measure and pattern.
    mitigates: Vec<(String, String)>,
}

struct Gathered {
    pattern: AttackPattern,
    parents: Vec<String>,
    place: String,
}

/// A measure, with its number among those of its pattern.
struct Measure {
    number: u32,
    text: String,
}

impl Bundle {
    fn take(
        &mut self,
        kind: &str,
        common: Common,
        text: &str,
        (place, sink): (&str, Sink<'_>),
    ) -> Result<(), RejectReason> {
        match kind {
            "attack-pattern" => self.pattern(common, text, place, sink)?,
            "course-of-action" => {
                // They are called `coa-<pattern>-<number>`.
                let number = common.name.rsplit('-').next().and_then(|number| number.parse().ok());
                let measure = Measure { number: number.unwrap_or(u32::MAX), text: text::html(&common.description) };
                self.measures.insert(common.id, measure);
            }
            _ if common.relationship_type == "mitigates" && !common.is_retired() => {
                self.mitigates.push((common.source_ref, common.target_ref));
            }
            _ => {}
        }
        Ok(())
    }

    fn pattern(&mut self, common: Common, text: &str, place: &str, sink: Sink<'_>) -> Result<(), RejectReason> {
        let Some(own) = common.external_references.iter().find(|one| one.source_name == "capec") else {
            return Ok(());
        };
        self.is_capec = true;
        let id: CapecId = own.external_id.parse().map_err(|_| RejectReason::BadId)?;
        let fields: Fields = record(text)?;
        if common.name.trim().is_empty() {
            return Err(RejectReason::WrongShape);
        }
        let mut lost = |reason| sink(Err(Reject { place: place.to_owned(), reason }));
        let weaknesses = ids::<CweId>(&common, "cwe", &mut || lost(RejectReason::BadCwe));
        let techniques = ids::<TechniqueId>(&common, "ATTACK", &mut || lost(RejectReason::BadReference));
        let pattern = AttackPattern {
            created: common.created(place, sink),
            weaknesses,
            techniques,
            ..plain(id, &common, &fields)
        };
        let parents = fields.x_capec_child_of_refs;
        self.patterns.insert(common.id, Gathered { pattern, parents, place: place.to_owned() });
        Ok(())
    }

    fn finish(self, repeated: &mut Repeated, sink: Sink<'_>) {
        let ids: HashMap<String, CapecId> =
            self.patterns.iter().map(|(stix_id, one)| (stix_id.clone(), one.pattern.id)).collect();
        let mut measures: HashMap<&str, Vec<&Measure>> = HashMap::new();
        for (measure, pattern) in &self.mitigates {
            measures.entry(pattern).or_default().extend(self.measures.get(measure));
        }
        let mut patterns = Vec::with_capacity(self.patterns.len());
        for (stix_id, gathered) in self.patterns {
            let Gathered { mut pattern, parents, place } = gathered;
            for parent in parents {
                match ids.get(&parent) {
                    Some(id) => pattern.parents.push(*id),
                    None => sink(Err(Reject { place: place.clone(), reason: RejectReason::BadReference })),
                }
            }
            let mut own = measures.remove(stix_id.as_str()).unwrap_or_default();
            own.sort_by_key(|one| (one.number, &one.text));
            own.dedup_by(|later, kept| later.text == kept.text);
            let told = own.into_iter().map(|one| &one.text).filter(|text| !text.is_empty() && repeated.allows(text));
            pattern.mitigations = told.cloned().collect();
            patterns.push(pattern);
        }
        patterns.sort_by_key(|one| one.id);
        patterns.into_iter().for_each(|one| sink(Ok(Record::Pattern(Box::new(one)))));
    }
}

/// What a pattern says of itself without looking at other objects.
fn plain(id: CapecId, common: &Common, fields: &Fields) -> AttackPattern {
    let texts = |all: &[String]| all.iter().map(|one| text::html(one)).filter(|one| !one.is_empty()).collect();
    let consequence = |(scope, impacts): (&String, &Vec<String>)| Consequence {
        scopes: vec![one_line(&scope.replace('_', " "))],
        impacts: impacts.iter().map(|one| one_line(one)).collect(),
        note: String::new(),
    };
    AttackPattern {
        id,
        name: one_line(&common.name),
        abstraction: one_line(&fields.x_capec_abstraction),
        status: one_line(&fields.x_capec_status),
        description: text::html(&common.description),
        extended_description: text::html(&fields.x_capec_extended_description),
        likelihood: one_line(&fields.x_capec_likelihood_of_attack),
        severity: one_line(&fields.x_capec_typical_severity),
        prerequisites: texts(&fields.x_capec_prerequisites),
        steps: steps(&fields.x_capec_execution_flow),
        consequences: fields.x_capec_consequences.iter().map(consequence).collect(),
        mitigations: Vec::new(),
        examples: texts(&fields.x_capec_example_instances),
        weaknesses: Vec::new(),
        techniques: Vec::new(),
        parents: Vec::new(),
        created: None,
    }
}

/// What the pattern is called by `source_name`, in its order, each once; `lost` hears of each ID that is none.
fn ids<T: std::str::FromStr + Ord + Clone>(common: &Common, source_name: &str, lost: &mut dyn FnMut()) -> Vec<T> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for reference in common.external_references.iter().filter(|one| one.source_name == source_name) {
        match reference.external_id.parse::<T>() {
            Ok(id) if seen.insert(id.clone()) => found.push(id),
            Ok(_) => {}
            Err(_) => lost(),
        }
    }
    found
}
