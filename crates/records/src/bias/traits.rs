//! What each record is, beside its text: vendor, product, severity, length. Looked up once, used by all of the report.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::corpus::Corpus;
use crate::names::{Names, product_key, vendor_key};
use crate::record::{CveId, CvssVersion, Product, Severity, Vulnerability};

/// What one record is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Traits {
    /// Its vendor, in one spelling; of several the one that the text names first, else the one of most records.
    pub(super) vendor: Option<String>,
    /// Its product, chosen in the same way.
    pub(super) product: Option<String>,
    /// The text names one of its vendors or products.
    pub(super) is_named: bool,
    /// By its CVSS vector of version 3 or 4.
    pub(super) severity: Option<Severity>,
    /// Words in its description.
    pub(super) words: u64,
}

/// The traits of every record, in the order of the knowledge.
#[must_use]
pub(super) fn all(corpus: &Corpus<'_>) -> Vec<Traits> {
    let records = &corpus.knowledge.vulnerabilities;
    let mut frequency: HashMap<String, u32> = HashMap::new();
    for one in records {
        let mut vendors: Vec<String> = one.products.iter().map(|one| vendor_key(&one.vendor)).collect();
        vendors.sort_unstable();
        vendors.dedup();
        vendors.into_iter().filter(|vendor| !vendor.is_empty()).for_each(|one| *frequency.entry(one).or_default() += 1);
    }
    records.par_iter().map(|one| Traits::of(one, &frequency)).collect()
}

impl Traits {
    fn of(one: &Vulnerability, frequency: &HashMap<String, u32>) -> Self {
        let named = Names::of(&one.products).find(&one.description).into_iter().find(|found| !found.is_glued);
        let is_named = named.is_some();
        let place = named.map(|found| found.product).or_else(|| most_frequent(&one.products, frequency));
        let product = place.map(|at| &one.products[at]);
        let key = |key: String| Some(key).filter(|key| !key.is_empty());
        Self {
            vendor: product.and_then(|one| key(vendor_key(&one.vendor))),
            product: product.and_then(|one| key(product_key(&one.product))),
            is_named,
            severity: severity(one),
            words: one.description.split_whitespace().count() as u64,
        }
    }
}

/// The first of the products whose vendor most records name.
fn most_frequent(products: &[Product], frequency: &HashMap<String, u32>) -> Option<usize> {
    let count = |at: usize| frequency.get(&vendor_key(&products[at].vendor)).copied().unwrap_or(0);
    (0..products.len()).max_by_key(|&at| (count(at), std::cmp::Reverse(at)))
}

/// The band of the vector that counts first, as the task `severity` takes it.
pub(super) fn severity(one: &Vulnerability) -> Option<Severity> {
    let versions = [CvssVersion::V3_1, CvssVersion::V3_0, CvssVersion::V4_0];
    let vector = versions.into_iter().find_map(|version| one.cvss_of(version).first().map(|label| &label.value))?;
    Some(Severity::of(vector.base_score(), vector.version()))
}

/// The ID of the record behind an example's ID, such as `CVE-2024-0001#masked`.
pub(super) fn record_of(example_id: &str) -> Option<CveId> {
    example_id.split('#').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Places, Settings};
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::names::tests::product;

    #[test]
    fn the_vendor_is_the_one_that_the_text_names_else_the_one_of_most_records() {
        let products = || vec![product("acme", "whisk"), product("teatime", "saucer")];
        let with = |id: &str, text: &str| Vulnerability { products: products(), ..vulnerability(id, text) };
        let vulnerabilities = vec![
            with("CVE-2020-0001", "A saucer leaks."),
            with("CVE-2020-0002", "It leaks."),
            Vulnerability {
                products: vec![product("Acme Inc.", "Kettle 2")],
                ..vulnerability("CVE-2020-0003", "It leaks.")
            },
            vulnerability("CVE-2020-0004", "It leaks."),
        ];
        let knowledge = Knowledge { vulnerabilities, ..Knowledge::default() };
        let corpus = Corpus { knowledge: &knowledge, places: &Places::default(), settings: &Settings::default() };
        let found: Vec<_> = all(&corpus).into_iter().map(|one| (one.vendor, one.product, one.is_named)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                (some("teatime"), some("saucer"), true),
                (some("acme"), some("whisk"), false),
                (some("acme"), some("kettle"), false),
                (None, None, false)
            ]
        );
        assert_eq!(record_of("CVE-2020-0001#masked"), record_of("CVE-2020-0001"));
        assert_eq!(record_of("CWE-79/name"), None);
    }
}
