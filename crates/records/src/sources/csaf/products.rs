//! The products of an advisory, out of the tree in which it names them.

use std::collections::HashMap;

use super::schema::{Branch, FullName, ProductTree, Vulnerability};
use crate::clean::one_line;
use crate::record::Product;

/// A vendor's name is repeated with each of its products; real names are shorter than this.
const MAX_NAME_CHARS: usize = 300;

/// All products, and which of them an ID stands for.
#[derive(Default)]
pub(super) struct Products {
    /// Sorted, each once.
    pub(super) all: Vec<Product>,
    pub(super) by_id: HashMap<String, Product>,
}

/// The way down to a branch.
#[derive(Clone, Copy, Default)]
struct Path<'a> {
    vendor: &'a str,
    product: &'a str,
}

impl Products {
    /// The products of `tree`, whose depth the JSON reader bounds.
    pub(super) fn of(tree: &ProductTree) -> Self {
        let mut found = Self::default();
        tree.branches.iter().for_each(|branch| found.branch(branch, Path::default()));
        tree.full_product_names.iter().for_each(|one| found.add(Path::default(), one));
        for one in &tree.relationships {
            if let Some(part) = found.by_id.get(&one.product_reference).cloned() {
                found.by_id.insert(one.full_product_name.product_id.clone(), part);
            }
        }
        found.all.sort_unstable();
        found.all.dedup();
        found
    }

    /// The bytes of all names that stand for the affected products of `vulnerabilities`.
    pub(super) fn repeated_bytes(&self, vulnerabilities: &[Vulnerability]) -> usize {
        let ids = vulnerabilities.iter().flat_map(|one| one.product_status.affected());
        let sizes = ids.filter_map(|id| self.by_id.get(id)).map(|one| one.vendor.len() + one.product.len());
        sizes.fold(0, usize::saturating_add)
    }

    fn branch<'a>(&mut self, branch: &'a Branch, mut path: Path<'a>) {
        match branch.category.as_str() {
            "vendor" => path.vendor = &branch.name,
            "product_name" => path.product = &branch.name,
            _ => {}
        }
        if branch.category == "product_name" && branch.product.is_none() {
            self.push(path);
        }
        branch.product.iter().for_each(|one| self.add(path, one));
        branch.branches.iter().for_each(|inner| self.branch(inner, path));
    }

    /// A product with its ID; where no branch names it, its full name is its name.
    fn add(&mut self, path: Path<'_>, full: &FullName) {
        let path = Path { product: if path.product.is_empty() { &full.name } else { path.product }, ..path };
        if let Some(product) = self.push(path) {
            self.by_id.insert(full.product_id.clone(), product);
        }
    }

    fn push(&mut self, path: Path<'_>) -> Option<Product> {
        let product = Product { vendor: name(path.vendor), product: name(path.product) };
        if product.product.is_empty() {
            return None;
        }
        // Versions of one product stand one after the other.
        if self.all.last() != Some(&product) {
            self.all.push(product.clone());
        }
        Some(product)
    }
}

/// A name in one line.
fn name(text: &str) -> String {
    let end = text.char_indices().nth(MAX_NAME_CHARS).map_or(text.len(), |(at, _)| at);
    one_line(&text[..end])
}
