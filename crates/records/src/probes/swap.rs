//! Other vendors' names in place of the record's.

use std::collections::{BTreeMap, BTreeSet};

use crate::knowledge::Knowledge;
use crate::names::{NameKind, Names, is_everyday_name, product_key, spoken, vendor_key};
use crate::record::Product;

/// So many vendors are drawn from: those that most records name, so that a model has met them.
const MOST_VENDORS: usize = 100;
/// Names of more words read badly in another's place.
const MOST_WORDS: usize = 2;

/// Vendors with a product each, as they are written in sentences.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    pairs: Vec<(String, String)>,
}

impl Pool {
    /// The vendors that most records name, each with its most frequent product, in the spelling of the CVE list.
    #[must_use]
    pub fn of(knowledge: &Knowledge) -> Self {
        let mut vendors: BTreeMap<String, Written> = BTreeMap::new();
        for record in &knowledge.vulnerabilities {
            let own = record.products.iter().filter(|one| {
                let (_, product) = pair(&one.vendor, &one.product);
                is_speakable(&one.vendor) && is_speakable(&product) && !is_everyday_name(&product)
            });
            let pairs: BTreeSet<(String, String)> = own.map(|one| pair(&one.vendor, &one.product)).collect();
            let keys: BTreeSet<String> = pairs.iter().map(|(vendor, _)| vendor_key(vendor)).collect();
            keys.into_iter().for_each(|key| vendors.entry(key).or_default().records += 1);
            for pair in pairs {
                *vendors.entry(vendor_key(&pair.0)).or_default().pairs.entry(pair).or_default() += 1;
            }
        }
        let mut ranked: Vec<(usize, (String, String))> = vendors.into_values().filter_map(Written::favourite).collect();
        ranked.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
        ranked.truncate(MOST_VENDORS);
        Self { pairs: ranked.into_iter().map(|(_, pair)| pair).collect() }
    }

    /// These vendors and products.
    #[must_use]
    pub fn of_names(pairs: &[(&str, &str)]) -> Self {
        Self { pairs: pairs.iter().map(|(vendor, product)| ((*vendor).into(), (*product).into())).collect() }
    }

    /// How many vendors it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs whose vendor is not among those of `products`.
    fn others(&self, products: &[Product]) -> Vec<&(String, String)> {
        let own: Vec<String> = products.iter().map(|one| vendor_key(&one.vendor)).collect();
        self.pairs.iter().filter(|(vendor, _)| !own.contains(&vendor_key(vendor))).collect()
    }
}

/// A vendor and its product as they stand side by side: `Acme` and `Whisk`, not `Acme` and `Acme Whisk`.
fn pair(vendor: &str, product: &str) -> (String, String) {
    let (vendor, product) = (spoken(vendor), spoken(product));
    let bare = product.strip_prefix(&format!("{vendor} ")).map(str::to_owned);
    (vendor, bare.unwrap_or(product))
}

/// A vendor as records write it.
#[derive(Debug, Default)]
struct Written {
    records: usize,
    /// Its spellings with a product's, and how many records have them.
    pairs: BTreeMap<(String, String), usize>,
}

impl Written {
    /// How many records name it, and the pair that most of them have.
    fn favourite(self) -> Option<(usize, (String, String))> {
        let best =
            self.pairs.into_iter().max_by(|left, right| left.1.cmp(&right.1).then_with(|| right.0.cmp(&left.0)))?;
        Some((self.records, best.0))
    }
}

/// Written as in a sentence, which names out of CPE are not: it begins with a capital, is short, has no number, and is
/// one name.
fn is_speakable(name: &str) -> bool {
    let name = spoken(name);
    name.starts_with(|c: char| c.is_uppercase())
        && name.chars().count() >= 3
        && name.split(' ').count() <= MOST_WORDS
        && !name.split(' ').any(|word| word == "and")
        && !name.contains(|c: char| "_,/:".contains(c) || c.is_ascii_digit())
}

/// `text` with another vendor's names, which `drawn` (0..1) chooses; every product its own. `None` where the text
/// names none of `products`, or there is nobody to swap with.
pub(super) fn swap(text: &str, products: &[Product], pool: &Pool, drawn: f64) -> Option<String> {
    let others = pool.others(products);
    let found = Names::of(products).find(text);
    if others.is_empty() || found.is_empty() {
        return None;
    }
    let first = (drawn * others.len() as f64) as usize;
    // A record's products in the order of the text: the first gets the drawn name, the next the next one's.
    let mut met: Vec<String> = Vec::new();
    let mut swapped = String::with_capacity(text.len());
    let mut rest = 0;
    for one in &found {
        let key = product_key(&products[one.product].product);
        let place = met.iter().position(|known| *known == key).unwrap_or_else(|| {
            met.push(key);
            met.len() - 1
        });
        let name = match one.kind {
            NameKind::Vendor => &others[first % others.len()].0,
            NameKind::Product => &others[(first + place) % others.len()].1,
        };
        swapped.push_str(&text[rest..one.span.start]);
        fit_article(&mut swapped, name);
        match one.is_glued {
            true => swapped.extend(name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)),
            false => swapped.push_str(name),
        }
        rest = one.span.end;
    }
    swapped.push_str(&text[rest..]);
    Some(swapped)
}

/// Makes an article at the end of `before` fit the name that follows.
fn fit_article(before: &mut String, name: &str) {
    let wants_n = name.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']);
    for article in ["a", "A"] {
        let (short, long) = (format!("{article} "), format!("{article}n "));
        let is_word = |ending: &str| before.ends_with(&format!(" {ending}")) || before == ending;
        if wants_n && is_word(&short) {
            before.insert(before.len() - 1, 'n');
        } else if !wants_n && is_word(&long) {
            before.remove(before.len() - 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::vulnerability;
    use crate::names::tests::product;

    #[test]
    fn names_are_swapped_alike_everywhere_and_the_article_fits() {
        let products = [product("acme", "whisk"), product("acme", "kettle")];
        let pool = Pool::of_names(&[("Teatime", "Saucer"), ("Oven Works", "Oven")]);
        let text = "An Acme Whisk and a Kettle share /opt/whisk. Acme says the Whisk is fine.";
        assert_eq!(
            swap(text, &products, &pool, 0.0).unwrap(),
            "A Teatime Saucer and an Oven share /opt/saucer. Teatime says the Saucer is fine."
        );
        assert_eq!(swap("It leaks.", &products, &pool, 0.0), None);
        assert_eq!(swap(text, &products, &Pool::of_names(&[("ACME", "Spoon")]), 0.0), None);
    }

    #[test]
    fn the_pool_has_the_vendors_that_most_records_name_in_a_spoken_form() {
        let with = |id: &str, names: &[(&str, &str)]| {
            let products = names.iter().map(|(vendor, name)| product(vendor, name)).collect();
            crate::record::Vulnerability { products, ..vulnerability(id, "A hole.") }
        };
        let vulnerabilities = vec![
            with("CVE-2020-0001", &[("Acme Inc.", "Whisk"), ("acme", "whisk_firmware")]),
            with("CVE-2020-0002", &[("Acme Corporation", "Kettle"), ("Teatime", "Saucer")]),
            with("CVE-2020-0003", &[("Acme", "Acme Kettle (Cloud)"), ("Spoon", "Server"), ("Spoon", "S-26")]),
        ];
        let pool = Pool::of(&Knowledge { vulnerabilities, ..Knowledge::default() });
        assert_eq!(pool.pairs, Pool::of_names(&[("Acme", "Kettle"), ("Teatime", "Saucer")]).pairs);
        assert!(pool.len() == 2 && !pool.is_empty());
    }
}
