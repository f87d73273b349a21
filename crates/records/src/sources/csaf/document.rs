//! An advisory as one text.

use std::collections::BTreeSet;

use super::NAME;
use super::products::Products;
use super::schema::{Advisory, Note, Remediation, Vulnerability};
use crate::clean::one_line;
use crate::record::{CveId, CweId, Document, DocumentKind, RejectReason};
use crate::sources::text::{join, paragraphs};

/// Remedies that say what to do, not only that there is nothing to be done.
const REMEDIES: &[&str] = &["mitigation", "vendor_fix", "workaround"];

/// The document and which of its fields are not what they should be; an error is why there is none.
pub(super) fn of(advisory: &Advisory, products: &Products) -> Result<(Document, Vec<RejectReason>), RejectReason> {
    let meta = &advisory.document;
    let id = one_line(&meta.tracking.id);
    if id.is_empty() {
        return Err(RejectReason::BadId);
    }
    let mut lost = Vec::new();
    let published = meta.tracking.initial_release_date.as_deref().and_then(|text| {
        let date = text.parse().ok();
        lost.extend(date.is_none().then_some(RejectReason::BadDate));
        date
    });
    let cves = cves(advisory, &mut lost);
    let named = advisory.vulnerabilities.iter().flat_map(Vulnerability::cwe_ids);
    let cwes: BTreeSet<CweId> = named.filter_map(|one| one.trim().parse().ok()).collect();
    let summary = meta.notes.iter().filter(|note| note.category == "summary").map(|note| paragraphs(&note.text));
    let document = Document {
        id,
        kind: DocumentKind::Advisory,
        title: one_line(&meta.title),
        summary: summary.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
        text: text(advisory),
        remedy: remedy(advisory),
        published,
        cves,
        cwes: cwes.into_iter().collect(),
        techniques: Vec::new(),
        products: products.all.clone(),
        source: NAME,
    };
    Ok((document, lost))
}

fn cves(advisory: &Advisory, lost: &mut Vec<RejectReason>) -> Vec<CveId> {
    let mut found = BTreeSet::new();
    for text in advisory.vulnerabilities.iter().filter_map(|one| one.cve.as_deref()) {
        match text.trim().parse() {
            Ok(cve) => drop(found.insert(cve)),
            Err(_) => lost.push(RejectReason::BadReference),
        }
    }
    found.into_iter().collect()
}

/// All notes under their titles, then each vulnerability with its notes and remedies.
fn text(advisory: &Advisory) -> String {
    let mut parts = Vec::new();
    add_notes(&advisory.document.notes, &mut parts);
    for one in &advisory.vulnerabilities {
        let cve = one.cve.as_deref().map(one_line).unwrap_or_default();
        let headline = one_line(one.headline());
        let colon = if cve.is_empty() || headline.is_empty() { "" } else { ": " };
        parts.push(format!("{cve}{colon}{headline}"));
        let heading = parts.len();
        add_notes(&one.notes, &mut parts);
        let mut told = BTreeSet::new();
        for remedy in &one.remediations {
            let details = paragraphs(&remedy.details);
            // The same remedy is often stated anew for each group of products.
            if !details.is_empty() && told.insert((&remedy.category, details.clone())) {
                parts.push(format!("{}: {details}", in_words(&remedy.category)));
            }
        }
        if parts.len() == heading && headline.is_empty() {
            // A mere ID says nothing.
            parts.pop();
        }
    }
    join(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Adds notes, with a title over the first of those that share it.
fn add_notes(notes: &[Note], parts: &mut Vec<String>) {
    let mut last_title = String::new();
    for note in notes.iter().filter(|note| note.category != "legal_disclaimer") {
        let (title, text) = (one_line(&note.title), paragraphs(&note.text));
        if text.is_empty() {
            continue;
        }
        let is_new = !title.is_empty() && title != last_title;
        parts.push(if is_new { format!("{title}\n{text}") } else { text });
        last_title = title;
    }
}

/// What is advised, each once, over all vulnerabilities.
fn remedy(advisory: &Advisory) -> String {
    let all = advisory.vulnerabilities.iter().flat_map(|one| &one.remediations);
    let all = all.filter(|one: &&Remediation| REMEDIES.contains(&one.category.as_str()));
    let mut told = BTreeSet::new();
    let mut parts = Vec::new();
    for details in all.map(|one| paragraphs(&one.details)) {
        if told.insert(details.clone()) {
            parts.push(details);
        }
    }
    join(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `Vendor fix` for `vendor_fix`.
fn in_words(category: &str) -> String {
    let words = one_line(&category.replace('_', " "));
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
