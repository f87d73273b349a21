//! PDF, ISO 32000: the text of each page, put together again to paragraphs.
//!
//! The way of a file: [`file`] finds its objects → [`pages`] walks the page tree → [`content`] runs each page's drawing
//! operators and notes where text is drawn, decoded by [`font`] → [`layout`] makes lines of it →
//! [`paragraph`] makes paragraphs of them.
//!
//! `lopdf` decodes streams, decrypts, and knows encodings. Its loader is not used: it follows a cross-reference table
//! that the file's author wrote, and 2,000 entries that all name one object of a megabyte took 2 GB and 4 s of version
//! 0.47; its reader of `ToUnicode` maps writes down each code of a range, of which there may be four thousand million.
//! Here objects are found by scanning the file once, later ones replace earlier ones, ranges stay ranges, and everything
//! is paid from one account of work.

mod cmap;
mod content;
mod file;
mod font;
mod furniture;
mod layout;
mod object;
mod pages;
mod paragraph;
mod width;

use lopdf::{Dictionary, Object};

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::{Limits, Work};
use crate::text::{Composer, Text, iso_day, one_line};
use file::File;

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    let work = Work::new(limits.pdf_work);
    let file = File::open(bytes, limits, &work)?;
    let mut composer = Composer::new(Kind::Pdf, limits.output_bytes);
    read_statements(&file, &mut composer)?;
    let pages = pages::pages(&file, limits)?;
    if pages.is_empty() {
        return Err(Error::broken(Kind::Pdf, "it has no pages"));
    }
    let count = pages.len();
    let mut reader = content::Reader::new(&file, limits);
    let mut lines = Vec::with_capacity(count);
    for page in pages {
        lines.push(reader.page(&page)?);
    }
    paragraph::compose(lines, &mut composer)?;
    if composer.len() == 0 {
        return Err(Error::NoText { kind: Kind::Pdf, pages: count });
    }
    Ok(composer.finish())
}

/// Takes title, day and language.
fn read_statements(file: &File<'_>, composer: &mut Composer) -> Result<()> {
    if let Some(Object::Dictionary(info)) = file.entry(file.trailer(), b"Info")? {
        let text =
            |key: &[u8]| -> Result<Option<String>> { Ok(file.entry(&info, key)?.as_ref().and_then(text_string)) };
        composer.title = text(b"Title")?.filter(|title| is_title(title)).unwrap_or_default();
        composer.date = text(b"CreationDate")?.and_then(|date| day(&date));
    }
    if let Some(catalog) = file.catalog()? {
        composer.language = file.entry(&catalog, b"Lang")?.as_ref().and_then(text_string);
    }
    Ok(())
}

/// A text string, ISO 32000-1 §7.9.2.2: UTF-16 or UTF-8 with its mark, else nearly windows-1252.
fn text_string(object: &Object) -> Option<String> {
    let Object::String(bytes, _) = object else {
        return None;
    };
    Some(crate::charset::decode(bytes, Some("windows-1252")))
}

/// `D:20240506…` as a day.
fn day(date: &str) -> Option<String> {
    let digits = date.trim().trim_start_matches("D:").get(..8)?;
    iso_day(&format!("{}-{}-{}", digits.get(..4)?, digits.get(4..6)?, digits.get(6..8)?))
}

/// Programs put file names and their own names where the title belongs.
fn is_title(title: &str) -> bool {
    let title = one_line(title).to_ascii_lowercase();
    let is_file = [".doc", ".docx", ".dvi", ".indd", ".qxd", ".tex", ".rtf", ".odt", ".pdf", ".ppt", ".pptx", ".xls"]
        .iter()
        .any(|ending| title.ends_with(ending));
    !title.is_empty() && !is_file && !title.starts_with("microsoft word - ") && !title.starts_with("untitled")
}

/// A number, whole or not; what is beyond a page of any size counts as nothing.
fn number(object: &Object) -> Option<f32> {
    match object {
        Object::Integer(number) => Some(*number as f32),
        Object::Real(number) => Some(*number),
        _ => None,
    }
    .filter(|number| number.is_finite() && number.abs() < 1e7)
}

/// The name under a key.
fn name<'a>(dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a [u8]> {
    dictionary.get(key).ok().and_then(|object| object.as_name().ok())
}

#[cfg(test)]
mod tests;
