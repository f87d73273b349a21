//! Word documents, ECMA-376: a zip archive with the text in `word/document.xml`.
//!
//! Only three members are read: the text, the styles that tell headings from paragraphs, and the core properties. No
//! relation is followed, so nothing outside the file and no macro (`.docm`) is ever touched. Footnotes, comments and
//! deleted text are left out.

mod archive;
mod body;
mod style;
mod xml;

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::text::{Composer, Text, iso_day};
use archive::Archive;
use style::Styles;
use xml::Node;

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Text> {
    let mut archive = Archive::open(bytes, limits)?;
    let mut composer = Composer::new(Kind::Docx, limits.output_bytes);
    let Some(document) = archive.member("word/document.xml")? else {
        return Err(Error::broken(Kind::Docx, "it has no `word/document.xml`"));
    };
    let styles = match archive.member("word/styles.xml")? {
        Some(xml) => Styles::read(&xml)?,
        None => Styles::default(),
    };
    if let Some(xml) = archive.member("docProps/core.xml")? {
        read_properties(&xml, &mut composer)?;
    }
    drop(archive);
    body::read(&document, &styles, limits, &mut composer)?;
    Ok(composer.finish())
}

/// Takes title, day and language from the core properties, ECMA-376 part 2 §11.
fn read_properties(xml: &str, composer: &mut Composer) -> Result<()> {
    let mut open = String::new();
    let mut modified = None;
    xml::each(xml, &mut |node| {
        match node {
            Node::Start(start) => start.local_name().as_ref().clone_into(&mut open),
            Node::End(_) => open.clear(),
            Node::Text(text) => match open.as_str() {
                "title" => composer.title.push_str(text),
                "created" if composer.date.is_none() => composer.date = iso_day(text),
                "modified" if modified.is_none() => modified = iso_day(text),
                "language" => composer.language.get_or_insert_default().push_str(text),
                _ => {}
            },
        }
        Ok(())
    })?;
    composer.date = composer.date.take().or(modified);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A zip archive of members with their content.
    pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// A document with this body, in WordprocessingML.
    fn document(body: &str) -> String {
        format!("<?xml version='1.0'?><w:document xmlns:w='w'><w:body>{body}</w:body></w:document>")
    }

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    const STYLES: &str = "<w:styles xmlns:w='w'>
<w:style w:styleId='berschrift2'><w:name w:val='heading 2'/></w:style>
<w:style w:styleId='Own'><w:name w:val='Own'/><w:basedOn w:val='berschrift2'/></w:style>
<w:style w:styleId='Loop'><w:basedOn w:val='Loop'/></w:style>
<w:style w:styleId='Bullet'><w:name w:val='List Bullet'/><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:style>
<w:style w:styleId='Listing'><w:name w:val='Source Code'/></w:style></w:styles>";
    const CORE: &str = "<cp:coreProperties xmlns:cp='c' xmlns:dc='d'><dc:title>The &lt;Title&gt;</dc:title>
<dcterms:created>2024-05-06T07:08:09Z</dcterms:created><dc:language>en-GB</dc:language></cp:coreProperties>";

    fn full() -> Vec<u8> {
        let body = [
            paragraph("<w:pStyle w:val='Own'/>", "Heading"),
            "<w:p><w:r><w:t xml:space='preserve'>One </w:t></w:r><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink>\
             <w:r><w:br/><w:t>&amp; m&#246;re</w:t><w:instrText>PAGE</w:instrText></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
                .to_owned(),
            paragraph("<w:numPr><w:ilvl w:val='0'/><w:numId w:val='3'/></w:numPr>", "item"),
            paragraph("<w:numPr><w:ilvl w:val='1'/><w:numId w:val='3'/></w:numPr>", "inner"),
            paragraph("<w:pStyle w:val='Bullet'/>", "bullet"),
            paragraph("<w:pStyle w:val='Listing'/>", "if a:"),
            paragraph("<w:pStyle w:val='Listing'/>", "  b()"),
            paragraph("<w:pStyle w:val='Loop'/>", "loop"),
            format!(
                "<w:tbl><w:tr><w:tc>{}{}</w:tc><w:tc>{}</w:tc></w:tr><w:tr><w:tc>{}</w:tc></w:tr></w:tbl>",
                paragraph("", "a"),
                paragraph("", "b"),
                paragraph("", "c"),
                paragraph("", "d")
            ),
            "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>\
             <mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>"
                .to_owned(),
        ];
        zip(&[
            ("[Content_Types].xml", b"<Types/>"),
            ("../../etc/escape", b"never written"),
            ("word/styles.xml", STYLES.as_bytes()),
            ("word/document.xml", document(&body.concat()).as_bytes()),
            ("word/vbaProject.bin", b"macro"),
            ("docProps/core.xml", CORE.as_bytes()),
        ])
    }

    fn of_body(body: &str) -> Result<Text> {
        read(&zip(&[("word/document.xml", document(body).as_bytes())]), &Limits::default())
    }

    #[test]
    fn headings_lists_code_and_tables_are_read() {
        let text = read(&full(), &Limits::default()).unwrap();
        let expected = "Heading\n\nOne link\n& möre\n\n- item\n  - inner\n- bullet\n\n```\nif a:\n  b()\n```\n\nloop\n\na b | c\nd\n\nbox";
        assert_eq!(text.body, expected);
        assert_eq!(text.title, "The <Title>");
        assert_eq!((text.date.as_deref(), text.language_stated.as_deref()), (Some("2024-05-06"), Some("en-GB")));
        assert_eq!((text.sections[0].level, text.sections[0].heading.as_str()), (2, "Heading"));
    }

    #[test]
    fn a_document_without_styles_is_read_by_the_usual_names() {
        let body = paragraph("<w:pStyle w:val='Heading3'/>", "H") + &paragraph("<w:outlineLvl w:val='0'/>", "O");
        let text = of_body(&body).unwrap();
        assert_eq!(text.sections.iter().map(|section| section.level).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn document_types_and_entities_are_refused() {
        let laughs: String =
            (1..9).map(|n| format!("<!ENTITY l{n} '{}'>", format!("&l{};", n - 1).repeat(10))).collect();
        for head in [
            "<!DOCTYPE x SYSTEM 'file:///etc/hosts'>".to_owned(),
            "<!DOCTYPE x [<!ENTITY e SYSTEM 'http://127.0.0.1/'>]>".to_owned(),
            format!("<!DOCTYPE x [<!ENTITY l0 'ha'>{laughs}]>"),
        ] {
            let xml =
                format!("<?xml version='1.0'?>{head}<w:document><w:p><w:r><w:t>&l8;</w:t></w:r></w:p></w:document>");
            let error = read(&zip(&[("word/document.xml", xml.as_bytes())]), &Limits::default()).unwrap_err();
            assert!(matches!(error, Error::Refused { what: "a document type declaration", .. }), "{error}");
        }
        let error = of_body(&paragraph("", "&e;")).unwrap_err();
        assert!(matches!(error, Error::Refused { what: "an entity", .. }), "{error}");
    }

    #[test]
    fn a_zip_bomb_is_refused_by_size_and_by_ratio() {
        let bomb = zip(&[("word/document.xml", &vec![b' '; 4 << 20])]);
        let error = read(&bomb, &Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with("`word/document.xml` passes the limit of 200 times"), "{error}");
        let limits = Limits { zip_member_bytes: 1 << 20, ..Limits::default() };
        let error = read(&bomb, &limits).unwrap_err();
        assert!(error.to_string().starts_with("`word/document.xml` passes the limit of 1048576 bytes"), "{error}");
        let limits = Limits { zip_members: 5, ..Limits::default() };
        let error = read(&full(), &limits).unwrap_err();
        assert!(error.to_string().starts_with("the archive passes the limit of 5 members"), "{error}");
    }

    #[test]
    fn a_million_open_elements_are_an_error_and_no_overflow() {
        let limits = Limits { zip_ratio: usize::MAX, ..Limits::default() };
        let of_body = |body: &str| read(&zip(&[("word/document.xml", document(body).as_bytes())]), &limits);
        for unit in ["<w:p>", "<w:tbl>", "<mc:Fallback>"] {
            let error = of_body(&unit.repeat(1_000_000)).unwrap_err();
            assert!(error.to_string().contains("elements are nested deeper than 1000"), "{unit}: {error}");
        }
        let attributes = "a='b' ".repeat(500_000);
        assert_eq!(
            of_body(&format!("<w:p {attributes}><w:pPr><w:pStyle {attributes}/></w:pPr><w:t>x</w:t></w:p>"))
                .unwrap()
                .body,
            "x"
        );
    }

    #[test]
    fn a_document_cut_anywhere_is_an_error() {
        let whole = full();
        for end in 0..whole.len() {
            assert!(read(&whole[..end], &Limits::default()).is_err(), "{end}");
        }
    }

    #[test]
    fn a_flipped_bit_never_panics() {
        let whole = full();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = read(&bytes, &Limits::default());
        }
    }
}
