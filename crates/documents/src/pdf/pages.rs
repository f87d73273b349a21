//! The pages of a file, in order: a walk over the page tree, ISO 32000-1 §7.7.3, that goes nowhere twice.

use std::collections::BTreeSet;
use std::rc::Rc;

use lopdf::{Dictionary, Object};

use super::file::File;
use super::name;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// A page, not yet parsed.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) id: u32,
    /// Resources of the tree above it, for pages that have none of their own.
    pub(super) inherited: Option<Rc<Dictionary>>,
}

/// All pages; those of a file without a tree in the order of the file.
pub(super) fn pages(file: &File<'_>, limits: &Limits) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut seen = BTreeSet::new();
    let root = file.catalog()?.and_then(|catalog| catalog.get(b"Pages").and_then(Object::as_reference).ok());
    let mut open: Vec<Page> = root.into_iter().map(|(id, _)| Page { id, inherited: None }).collect();
    while let Some(node) = open.pop() {
        if !seen.insert(node.id) {
            continue;
        }
        let Some(Object::Dictionary(dictionary)) = file.get(node.id)? else {
            continue;
        };
        let Some(Object::Array(kids)) = file.entry(&dictionary, b"Kids")? else {
            if name(&dictionary, b"Type") != Some(b"Pages") {
                pages.push(node);
                check_count(pages.len(), limits)?;
            }
            continue;
        };
        let inherited = match file.entry(&dictionary, b"Resources")? {
            Some(Object::Dictionary(resources)) => Some(Rc::new(resources)),
            _ => node.inherited,
        };
        let kids = kids.iter().rev().filter_map(|kid| kid.as_reference().ok());
        open.extend(kids.map(|(id, _)| Page { id, inherited: inherited.clone() }));
        check_count(open.len(), limits)?;
    }
    if pages.is_empty() {
        pages.extend(file.loose_pages().iter().map(|id| Page { id: *id, inherited: None }));
    }
    Ok(pages)
}

fn check_count(count: usize, limits: &Limits) -> Result<()> {
    if count > limits.pdf_pages {
        return Err(Error::TooLarge { what: "the document", limit: limits.pdf_pages as u64, unit: "pages" });
    }
    Ok(())
}
