//! What `[prepare]` may say: sources, tasks, dates, policies and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wardsmith_records::clean::{Boilerplate, Noise};
use wardsmith_records::dedup::DEFAULT_THRESHOLD;
use wardsmith_records::label::{CwePolicy, Voice};
use wardsmith_records::prepare::{DEFAULT_MAX_REJECT_RATE, DEFAULT_MIN_TRAIN_EXAMPLES, MAX_DECLINE_SHARE};
use wardsmith_records::record::Published;
use wardsmith_records::refine::RefinePolicy;
use wardsmith_records::sampling::Sampling;
use wardsmith_records::template::DEFAULT_TEMPLATE_THRESHOLD;
use wardsmith_records::{source, task};

use super::check;
use super::mistake::{Wrong, suggest};
use super::reader::Reader;
use super::{MaxExamples, Paths, PrepareRecipe};

pub(super) fn prepare(mut reader: Reader<'_>) -> PrepareRecipe {
    let day = |text: &str| text.parse::<Published>().expect("the defaults are days");
    let prepare = PrepareRecipe {
        sources: sources(&mut reader),
        tasks: tasks(&mut reader),
        min_train_examples: reader.or("min_train_examples", DEFAULT_MIN_TRAIN_EXAMPLES, check::at_least(1)),
        validation_from: reader.or("validation_from", day("2023-07-01"), check::any),
        test_from: reader.or("test_from", day("2024-01-01"), check::any),
        near_duplicate_similarity: reader.or("near_duplicate_similarity", DEFAULT_THRESHOLD, check::above_zero_to(1.0)),
        template_similarity: reader.or("template_similarity", DEFAULT_TEMPLATE_THRESHOLD, check::zero_to(1.0)),
        decontaminate: reader
            .section("decontaminate")
            .map(|section| section.entries(|_, path: &PathBuf| check::path(path)))
            .unwrap_or_default(),
        max_reject_rate: reader.or("max_reject_rate", DEFAULT_MAX_REJECT_RATE, check::zero_to(1.0)),
        cwe_labels: reader.section("cwe_labels").map(cwe_labels).unwrap_or_default(),
        texts: reader.section("texts").map(texts).unwrap_or_default(),
        sampling: reader.or("sampling", Sampling::None, |sampling: &Sampling| {
            sampling.check().map_err(|error| Wrong::new("is out of range", error.to_string()))
        }),
        mask_names_share: reader.or("mask_names_share", 0.0, check::zero_to(1.0)),
        phrasings: reader.optional("phrasings", check::at_least(1)),
        decline_share: reader.or("decline_share", 0.0, check::zero_to(MAX_DECLINE_SHARE)),
        private: private(&mut reader),
        max_examples: reader.section("max_examples").map(max_examples).unwrap_or_default(),
    };
    if prepare.test_from <= prepare.validation_from {
        let what = format!("`{}` is not after `validation_from`, `{}`", prepare.test_from, prepare.validation_from);
        let hint = "train comes before validation_from, test from test_from on";
        reader.note("test_from", Wrong::new(what, hint));
    }
    reader.finish();
    prepare
}

fn cwe_labels(mut reader: Reader<'_>) -> CwePolicy {
    let default = CwePolicy::default();
    let names: Vec<String> = default.order.iter().map(|voice| voice.name().to_owned()).collect();
    let voice = |name: &String| Voice::ALL.into_iter().find(|voice| voice.name() == name);
    let order = reader.or("order", names, |given: &Vec<String>| {
        let known = Voice::ALL.map(Voice::name);
        match given.iter().find(|name| voice(name).is_none()) {
            Some(name) => Err(Wrong::new(format!("`{name}` is no kind of source"), suggest(name, &known))),
            None => check::distinct_names(given),
        }
    });
    let policy = CwePolicy {
        order: order.iter().filter_map(voice).collect(),
        agreed_only: reader.or("agreed_only", default.agreed_only, check::any),
        weigh_by_agreement: reader.or("weigh_by_agreement", default.weigh_by_agreement, check::any),
        to_view_1003: reader.or("to_view_1003", default.to_view_1003, check::any),
    };
    reader.finish();
    policy
}

fn texts(mut reader: Reader<'_>) -> RefinePolicy {
    let default = RefinePolicy::default();
    let noise = [("keep", Noise::Keep), ("mask", Noise::Mask)];
    let policy = RefinePolicy {
        boilerplate: reader.choice("boilerplate", &[("remove", Boilerplate::Remove), ("keep", Boilerplate::Keep)]),
        versions: reader.choice("versions", &noise),
        hashes: reader.choice("hashes", &noise),
        scrub: reader.or("scrub", default.scrub, check::any),
        other_languages: reader.or("other_languages", default.other_languages, check::any),
    };
    reader.finish();
    policy
}

fn sources(reader: &mut Reader<'_>) -> BTreeMap<String, Paths> {
    let known: Vec<_> = source::ALL.iter().map(|source| source.name()).collect();
    let check = |name: &str, paths: &Paths| match known.contains(&name) {
        true => check::paths(&paths.0),
        false => Err(Wrong::new("is not a source", suggest(name, &known))),
    };
    let given = reader.has("sources");
    let Some(section) = reader.section("sources") else {
        if !given {
            let hint = "say what to read: sources = { nvd = \"FOLDER\", cwe = \"FOLDER\" }";
            reader.note("sources", Wrong::new("is missing", hint));
        }
        return BTreeMap::new();
    };
    if section.is_empty() {
        let what = "names no source";
        reader.note("sources", Wrong::new(what, suggest("", &known)));
    }
    section.entries(check)
}

fn tasks(reader: &mut Reader<'_>) -> Vec<String> {
    let known: Vec<_> = task::ALL.iter().map(|task| task.name()).collect();
    reader.or("tasks", vec!["cwe_classify".to_owned()], |names: &Vec<String>| {
        match names.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Wrong::new(format!("`{name}` is no task"), suggest(name, &known))),
            None => check::distinct_names(names),
        }
    })
}

fn private(reader: &mut Reader<'_>) -> Vec<String> {
    let known: Vec<_> = source::ALL.iter().map(|source| source.name()).collect();
    reader.or("private", Vec::new(), |names: &Vec<String>| {
        match names.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Wrong::new(format!("`{name}` is no source"), suggest(name, &known))),
            None if names.is_empty() => Ok(()),
            None => check::distinct_names(names),
        }
    })
}

fn max_examples(mut reader: Reader<'_>) -> MaxExamples {
    let limits = MaxExamples {
        train: reader.optional("train", check::at_least(1)),
        validation: reader.optional("validation", check::at_least(1)),
        test: reader.optional("test", check::at_least(1)),
    };
    reader.finish();
    limits
}
