//! A record of a CVE while a source collects it: what both NVD and the CVE list do alike.

use std::borrow::Cow;

use serde::Deserialize;

use crate::clean::one_line;
use crate::merge::date_or_year;
use crate::record::{
    CveId, CvssVector, CweId, Label, Product, Published, Record, Reject, RejectReason, Ssvc, Vulnerability,
    WeaknessRef, Withdrawn, WithdrawnState,
};
use crate::source::Sink;
use crate::sources::json::timestamp;

/// No real record has a tenth of so many CWE or CVSS labels; each is compared with all before it.
const MAX_LABELS: usize = 1000;

/// A text in a language; both feeds have it.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a> {
    #[serde(borrow, default)]
    pub(crate) lang: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) value: Cow<'a, str>,
}

/// Who says something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice<'a> {
    /// As [`Label::source`].
    pub(crate) source: &'a str,
    /// As [`Label::primary`].
    pub(crate) primary: bool,
}

/// What is collected.
#[derive(Debug)]
pub(crate) struct Draft {
    source: &'static str,
    id: CveId,
    description: String,
    published: Option<Published>,
    modified: u64,
    cwes: Vec<Label<WeaknessRef>>,
    cvss: Vec<Label<CvssVector>>,
    ssvc: Vec<Label<Ssvc>>,
    products: Vec<Product>,
    /// Labels that were no labels.
    lost: Vec<RejectReason>,
}

impl Draft {
    /// A record of `source` about the CVE called `id`.
    pub(crate) fn new(source: &'static str, id: &str) -> Result<Self, RejectReason> {
        Ok(Self {
            source,
            id: id.parse().map_err(|_| RejectReason::BadId)?,
            description: String::new(),
            published: None,
            modified: 0,
            cwes: Vec::new(),
            cvss: Vec::new(),
            ssvc: Vec::new(),
            products: Vec::new(),
            lost: Vec::new(),
        })
    }

    /// The first text in English that says something.
    pub(crate) fn describe(&mut self, texts: &[Text<'_>]) {
        let english = texts.iter().filter(|text| is_english(&text.lang));
        let found = english.map(|text| one_line(&text.value)).find(|text| !text.is_empty());
        self.description = found.unwrap_or_default();
    }

    /// The source's timestamps.
    pub(crate) fn date(&mut self, published: Option<&str>, modified: Option<&str>) {
        self.modified = timestamp(modified);
        if let Some(text) = published {
            match text.parse() {
                Ok(date) => self.published = Some(date),
                Err(_) => self.lost.push(RejectReason::BadDate),
            }
        }
    }

    /// A CWE from the field made for it.
    pub(crate) fn cwe(&mut self, text: &str, voice: Voice<'_>) {
        match text.trim().parse() {
            Ok(value) => self.push_cwe(value, voice, false),
            Err(_) => self.lost.push(RejectReason::BadCwe),
        }
    }

    /// A CWE from free text, where the text begins with one.
    pub(crate) fn cwe_in_text(&mut self, text: &str, voice: Voice<'_>) {
        let Some(rest) = text.trim_start().strip_prefix("CWE-") else {
            return;
        };
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Ok(number) = rest[..end].parse() {
            self.push_cwe(WeaknessRef::Cwe(CweId(number)), voice, true);
        }
    }

    fn push_cwe(&mut self, value: WeaknessRef, voice: Voice<'_>, from_text: bool) {
        if !push(&mut self.cwes, value, voice, from_text) {
            self.lost.push(RejectReason::BadCwe);
        }
    }

    /// A CVSS vector.
    pub(crate) fn cvss(&mut self, text: &str, voice: Voice<'_>) {
        let kept = text.parse().is_ok_and(|value| push(&mut self.cvss, value, voice, false));
        if !kept {
            self.lost.push(RejectReason::BadCvss);
        }
    }

    /// An SSVC assessment; nothing where the source has one that is none.
    pub(crate) fn ssvc(&mut self, value: Option<Ssvc>, voice: Voice<'_>) {
        let kept = value.is_some_and(|value| push(&mut self.ssvc, value, voice, false));
        if !kept {
            self.lost.push(RejectReason::BadSsvc);
        }
    }

    /// An affected product; `n/a` and the like are none.
    pub(crate) fn product(&mut self, vendor: &str, product: &str) {
        let nothing = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "" | "-" | "*" | "n/a" | "unknown");
        let (vendor, product) = (one_line(vendor), one_line(product));
        if nothing(&product) {
            return;
        }
        let vendor = if nothing(&vendor) { String::new() } else { vendor };
        let found = Product { vendor, product };
        // Match criteria repeat a product for each of its versions, one after the other.
        if self.products.last() != Some(&found) {
            self.products.push(found);
        }
    }

    /// The product of a CPE 2.3 name such as `cpe:2.3:a:acme:web\:server:1.0:*:…`.
    pub(crate) fn cpe(&mut self, name: &str) {
        let mut parts = split_cpe(name).skip(3);
        if let (Some(vendor), Some(product)) = (parts.next(), parts.next()) {
            self.product(&vendor, &product);
        }
    }

    /// Hands the record and its lost labels to `sink`. `state` is what a field says about its being withdrawn.
    pub(crate) fn finish(mut self, state: Option<WithdrawnState>, place: &dyn Fn() -> String, sink: Sink<'_>) {
        let state = state.or_else(|| WithdrawnState::of_description(&self.description));
        if let Some(state) = state {
            let (id, modified, source) = (self.id, self.modified, self.source);
            sink(Ok(Record::Withdrawn(Withdrawn { id, state, modified, source })));
            return;
        }
        for reason in std::mem::take(&mut self.lost) {
            sink(Err(Reject { place: place(), reason }));
        }
        if self.description.is_empty() {
            let reason = RejectReason::NoEnglishDescription;
            sink(Err(Reject { place: place(), reason }));
            return;
        }
        sink(Ok(Record::Vulnerability(Box::new(self.into_vulnerability()))));
    }

    fn into_vulnerability(mut self) -> Vulnerability {
        self.products.sort_unstable();
        self.products.dedup();
        self.products.shrink_to_fit();
        self.cwes.shrink_to_fit();
        self.cvss.shrink_to_fit();
        self.ssvc.shrink_to_fit();
        Vulnerability {
            id: self.id,
            description: self.description,
            published: date_or_year(self.published, self.id),
            modified: self.modified,
            cwes: self.cwes,
            cvss: self.cvss,
            ssvc: self.ssvc,
            products: self.products,
            sources: vec![self.source.to_owned()],
        }
    }
}

/// Adds what `voice` says, unless it said so before; false where there is no room for more.
fn push<T: PartialEq>(labels: &mut Vec<Label<T>>, value: T, voice: Voice<'_>, from_text: bool) -> bool {
    if labels.len() >= MAX_LABELS {
        return false;
    }
    let label = Label { value, source: voice.source.to_owned(), primary: voice.primary, from_text };
    if !labels.contains(&label) {
        labels.push(label);
    }
    true
}

/// `en`, `en-US`, `EN` and the old `eng`.
fn is_english(lang: &str) -> bool {
    lang.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("en"))
}

/// The parts of a CPE name; a colon after a backslash separates nothing.
fn split_cpe(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in name.chars() {
        let last = parts.last_mut().expect("there is always one part");
        match c {
            '\\' if !escaped => escaped = true,
            ':' if !escaped => parts.push(String::new()),
            c => {
                last.push(c);
                escaped = false;
            }
        }
    }
    parts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: Voice<'_> = Voice { source: "cna:acme", primary: true };

    fn finish(draft: Draft, state: Option<WithdrawnState>) -> Vec<Result<Record, Reject>> {
        let mut found = Vec::new();
        draft.finish(state, &|| "here".into(), &mut |one| found.push(one));
        found
    }

    fn draft(description: &str) -> Draft {
        let mut draft = Draft::new("cvelist", "CVE-2024-0001").unwrap();
        draft.describe(&[Text { lang: "en".into(), value: description.into() }]);
        draft
    }

    #[test]
    fn the_first_english_text_that_says_something_is_the_description() {
        let text = |lang: &'static str, value: &'static str| Text { lang: lang.into(), value: value.into() };
        let mut draft = draft("");
        draft.describe(&[text("es", "Un agujero."), text("en", " "), text("en-US", "A\n hole."), text("en", "Other.")]);
        assert_eq!(draft.description, "A hole.");
        draft.describe(&[text("es", "Un agujero.")]);
        let found = finish(draft, None);
        assert!(matches!(&found[..], [Err(reject)] if reject.reason == RejectReason::NoEnglishDescription));
    }

    #[test]
    fn lost_labels_are_told_and_the_record_is_kept() {
        let mut draft = draft("A hole.");
        draft.cwe("CWE-79", ACME);
        draft.cwe("CWE-79", ACME);
        draft.cwe("n/a", ACME);
        draft.cvss("AV:everything", ACME);
        draft.ssvc(None, ACME);
        draft.date(Some("soon"), None);
        let found = finish(draft, None);
        let reasons: Vec<_> = found.iter().filter_map(|one| one.as_ref().err()).map(|one| one.reason).collect();
        assert_eq!(
            reasons,
            [RejectReason::BadCwe, RejectReason::BadCvss, RejectReason::BadSsvc, RejectReason::BadDate]
        );
        assert!(reasons.iter().all(|reason| !reason.loses_record()));
        let Some(Ok(Record::Vulnerability(one))) = found.last() else { panic!("{found:?}") };
        assert_eq!((one.cwes.len(), one.published.to_string().as_str()), (1, "2024"));
    }

    #[test]
    fn a_text_that_begins_with_a_cwe_is_a_label_from_text() {
        let mut draft = draft("A hole.");
        for text in [" CWE-79 Cross-site", "CWE-89: injection", "see CWE-20", "CWE-", "CWE-99999999999"] {
            draft.cwe_in_text(text, ACME);
        }
        let found: Vec<String> = draft.cwes.iter().map(|one| one.value.to_string()).collect();
        assert_eq!(found, ["CWE-79", "CWE-89"]);
        assert!(draft.cwes.iter().all(|one| one.from_text));
    }

    #[test]
    fn labels_beyond_any_real_number_are_lost() {
        let mut draft = draft("A hole.");
        (0..3000).for_each(|number| draft.cwe(&format!("CWE-{number}"), ACME));
        assert_eq!((draft.cwes.len(), draft.lost.len()), (MAX_LABELS, 3000 - MAX_LABELS));
    }

    #[test]
    fn withdrawn_by_field_or_by_words() {
        let by_words = finish(draft("** REJECT ** a copy"), None);
        let by_field = finish(draft("Looks fine."), Some(WithdrawnState::Reserved));
        assert!(matches!(&by_words[..], [Ok(Record::Withdrawn(one))] if one.state == WithdrawnState::Rejected));
        assert!(matches!(&by_field[..], [Ok(Record::Withdrawn(one))] if one.state == WithdrawnState::Reserved));
    }

    #[test]
    fn products_come_out_of_cpe_names_and_not_applicable_is_none() {
        let mut draft = draft("A hole.");
        draft.cpe(r"cpe:2.3:a:acme:web\:server\!:1.0:*:*:*:*:*:*:*");
        draft.cpe(r"cpe:2.3:a:acme:web\:server\!:1.1:*:*:*:*:*:*:*");
        draft.cpe("cpe:2.3:a");
        draft.product("n/a", "N/A");
        draft.product("n/a", "Thing");
        let one = draft.into_vulnerability();
        let want = |vendor: &str, product: &str| Product { vendor: vendor.into(), product: product.into() };
        assert_eq!(one.products, [want("", "Thing"), want("acme", "web:server!")]);
    }
}
