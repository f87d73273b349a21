//! Whole files, made by hand: what is read, and what hostile ones may not do.

use lopdf::{EncryptionState, EncryptionVersion, Permissions, Stream};

use super::*;

/// A file of these objects, numbered from 1, with table and trailer. Object 1 is the catalog.
fn file_of(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        offsets.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n", number + 1).bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    let start = bytes.len();
    bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        bytes.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    bytes.extend(format!("trailer\n<</Size {size}/Root 1 0 R{trailer}>>\nstartxref\n{start}\n%%EOF\n").bytes());
    bytes
}

fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!("<<{dictionary}/Length {}>>\nstream\n", content.len()).into_bytes();
    bytes.extend(content);
    bytes.extend(b"\nendstream");
    bytes
}

/// The content of a stream, compressed.
fn deflated(content: &[u8]) -> Vec<u8> {
    let mut stream = Stream::new(Dictionary::new(), content.to_vec());
    stream.compress().unwrap();
    stream.content
}

const FONT: &str = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>";

/// One page a content, with the font `F` in Helvetica; further objects come from number 4 on, before the pages.
fn pages_of(contents: &[&str], more: &[Vec<u8>], resources: &str) -> Vec<u8> {
    let first_page = 4 + more.len();
    let kids: String = (0..contents.len()).map(|page| format!("{} 0 R ", first_page + 2 * page)).collect();
    let mut objects = vec![
        b"<</Type/Catalog/Pages 2 0 R/Lang(en-GB)>>".to_vec(),
        format!("<</Type/Pages/Count {}/Kids[{kids}]/Resources<</Font<</F 3 0 R>>{resources}>>>>", contents.len())
            .into(),
        FONT.into(),
    ];
    objects.extend(more.iter().cloned());
    for (page, content) in contents.iter().enumerate() {
        let content_id = first_page + 2 * page + 1;
        objects.push(format!("<</Type/Page/Parent 2 0 R/Contents {content_id} 0 R>>").into());
        objects.push(stream("/Filter/FlateDecode", &deflated_always(content.as_bytes())));
    }
    file_of(&objects, "")
}

/// Compressed even where that makes it longer.
fn deflated_always(content: &[u8]) -> Vec<u8> {
    let mut padded = content.to_vec();
    padded.extend(std::iter::repeat_n(b' ', 200));
    deflated(&padded)
}

fn text(bytes: &[u8]) -> Result<Text> {
    read(bytes, &Limits::default())
}

const PAGE: &str = "BT /F 20 Tf 72 700 Td (The Heading) Tj /F 10 Tf 0 -30 Td 12 TL (First line of a para-) Tj T* (graph with \\351.) Tj ET";

#[test]
fn a_page_is_read_with_title_day_and_language() {
    let mut objects = vec![
        b"<</Type/Catalog/Pages 2 0 R/Lang(en-GB)>>".to_vec(),
        b"<</Type/Pages/Count 1/Kids[4 0 R]>>".to_vec(),
        FONT.into(),
        b"<</Type/Page/Parent 2 0 R/Resources<</Font<</F 3 0 R>>>>/Contents[5 0 R]>>".to_vec(),
        stream("", PAGE.as_bytes()),
    ];
    objects.push(b"<</Title<FEFF00540068006500200054006900740065006C>/CreationDate(D:20240506070809Z)>>".to_vec());
    let text = text(&file_of(&objects, "/Info 6 0 R")).unwrap();
    assert_eq!(text.body, "The Heading\n\nFirst line of a paragraph with é.");
    assert_eq!((text.title.as_str(), text.date.as_deref()), ("The Titel", Some("2024-05-06")));
    assert_eq!(text.language_stated.as_deref(), Some("en-GB"));
    assert_eq!((text.sections[0].level, text.sections[0].heading.as_str()), (1, "The Heading"));
}

#[test]
fn compressed_pages_are_read_in_the_order_of_the_tree() {
    let one = "BT /F 10 Tf 72 700 Td (One.) Tj ET";
    let two = "BT /F 10 Tf 72 700 Td [(T) 20 (wo) -300 (words.)] TJ ET";
    let bytes = pages_of(&[two, one], &[], "");
    assert_eq!(text(&bytes).unwrap().body, "Two words.\n\nOne.");
    let lopdf = lopdf::Document::load_mem(&bytes).unwrap();
    assert_eq!(lopdf.get_pages().len(), 2, "the fixture is a right file");
}

#[test]
fn a_composite_font_is_read_by_its_map() {
    let map = "1 begincodespacerange <0000><FFFF> endcodespacerange 1 beginbfrange <0001><0003><0061> endbfrange 1 beginbfchar <0004><00660066> endbfchar";
    let more = [
        b"<</Type/Font/Subtype/Type0/Encoding/Identity-H/ToUnicode 5 0 R/DescendantFonts[<</DW 500/W[1[600 600]3 4 550]>>]>>".to_vec(),
        stream("", map.as_bytes()),
    ];
    let bytes = pages_of(&["BT /G 10 Tf 0 0 Td <00010002> Tj <00030004> Tj ET"], &more, "/Font<</G 4 0 R>>");
    assert_eq!(text(&bytes).unwrap().body, "abcff");
}

#[test]
fn forms_are_read_and_artifacts_are_not() {
    let form = stream("/Type/XObject/Subtype/Form/Matrix[1 0 0 1 0 -100]", b"BT /F 10 Tf 0 700 Td (In a form.) Tj ET");
    let page = "/Artifact BMC BT /F 10 Tf 0 800 Td (Running head) Tj ET EMC BT /F 10 Tf 0 700 Td (On the page.) Tj ET /X Do BI /W 1 /H 1 ID \x01(EI) EI BT /F 10 Tf 0 500 Td (Last.) Tj ET";
    let bytes = pages_of(&[page], &[form], "/XObject<</X 4 0 R>>");
    assert_eq!(text(&bytes).unwrap().body, "On the page.\n\nIn a form.\n\nLast.");
}

#[test]
fn object_streams_are_read_and_later_objects_win() {
    let inner = b"1 0 2 34 <</Type/Catalog/Pages 2 0 R     >> <</Type/Pages/Kids[4 0 R]>>";
    let first = 9;
    let objects = [
        stream(&format!("/Type/ObjStm/N 2/First {first}"), inner),
        b"<<>>".to_vec(),
        FONT.into(),
        b"<</Type/Page/Resources<</Font<</F 3 0 R>>>>/Contents 5 0 R>>".to_vec(),
        stream("", b"BT /F 10 Tf (old) Tj ET"),
    ];
    let mut bytes = Vec::new();
    for (number, object) in [(7, &objects[0]), (3, &objects[2]), (4, &objects[3]), (5, &objects[4])] {
        bytes.extend(format!("{number} 0 obj ").bytes());
        bytes.extend(object);
        bytes.extend(b" endobj\n");
    }
    bytes.extend(b"8 0 obj <</Type/XRef/Root 1 0 R/Length 0>> stream\n\nendstream endobj\n");
    assert_eq!(text(&bytes).unwrap().body, "old");
    bytes.extend(b"5 0 obj ");
    bytes.extend(stream("", b"BT /F 10 Tf (new) Tj ET"));
    assert_eq!(text(&bytes).unwrap().body, "new");
}

#[test]
fn the_empty_password_opens_and_any_other_is_asked_for() {
    let plain = pages_of(&[PAGE], &[], "");
    for (user, is_open) in [("", true), ("secret", false)] {
        let mut document = lopdf::Document::load_mem(&plain).unwrap();
        let id = Object::String(vec![7; 16], lopdf::StringFormat::Literal);
        document.trailer.set("ID", Object::Array(vec![id.clone(), id]));
        let version = EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password: user,
            key_length: 128,
            permissions: Permissions::all(),
        };
        let state = EncryptionState::try_from(version).unwrap();
        document.encrypt(&state).unwrap();
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        match text(&bytes) {
            Ok(text) if is_open => assert!(text.body.contains("The Heading"), "{text:?}"),
            Err(Error::Encrypted { .. }) if !is_open => {}
            other => panic!("{user:?}: {other:?}"),
        }
    }
}

#[test]
fn pages_without_text_are_told_as_such() {
    assert!(matches!(text(&pages_of(&["0 0 m 1 1 l S", ""], &[], "")), Err(Error::NoText { pages: 2, .. })));
    for nothing in [&b""[..], b"%PDF-1.4", b"%PDF-1.4\n1 0 obj <</Type/Catalog>> endobj"] {
        assert!(matches!(text(nothing), Err(Error::Broken { .. })));
    }
}

#[test]
fn a_bomb_in_a_stream_is_refused() {
    let bomb = deflated(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 100 << 10);
    let objects = [
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        b"<</Type/Pages/Kids[3 0 R]>>".to_vec(),
        b"<</Type/Page/Contents 4 0 R>>".to_vec(),
        stream("/Filter/FlateDecode", &bomb),
    ];
    let error = text(&file_of(&objects, "")).unwrap_err();
    assert!(error.to_string().starts_with("a stream passes the limit of 33554432 bytes"), "{error}");
    let many = format!("<</Type/Page/Contents[{}]>>", "4 0 R ".repeat(1000));
    let small = deflated(&vec![b' '; 1 << 20]);
    let objects = [objects[0].clone(), objects[1].clone(), many.into(), stream("/Filter/FlateDecode", &small)];
    let error = text(&file_of(&objects, "")).unwrap_err();
    assert!(error.to_string().starts_with("the content of a page passes the limit"), "{error}");
}

#[test]
fn trees_and_references_that_lead_round_in_circles_end() {
    let page = b"<</Type/Page/Contents 5 0 R/Resources<</Font<</F 6 0 R>>/XObject<</X 7 0 R>>>>>>".to_vec();
    let objects = [
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        b"<</Type/Pages/Kids[2 0 R 3 0 R 4 0 R 4 0 R]>>".to_vec(),
        b"<</Type/Pages/Kids[2 0 R 3 0 R]/Parent 3 0 R>>".to_vec(),
        page,
        stream("", b"BT /F 10 Tf (once) Tj ET /X Do"),
        FONT.into(),
        stream("/Subtype/Form/Length 7 0 R", b"/X Do BT /F 10 Tf 0 100 Td (form) Tj ET"),
        b"8 0 R".to_vec(),
        b"<</Length 9 0 R>>\nstream\nx\nendstream".to_vec(),
        b"[10 0 R [10 0 R]]".to_vec(),
    ];
    let text = text(&file_of(&objects, "/Info 8 0 R")).unwrap();
    assert_eq!(text.body.matches("once").count(), 1);
    assert!(text.body.matches("form").count() <= 8, "{}", text.body);
}

#[test]
fn forms_that_draw_each_other_cost_no_more_than_the_work_allowed() {
    let form = stream("/Subtype/Form", "/X Do ".repeat(50).as_bytes());
    let limits = Limits { pdf_work: 2 << 20, ..Limits::default() };
    let bytes = pages_of(&["/X Do"], &[form], "/XObject<</X 4 0 R>>");
    let error = read(&bytes, &limits).unwrap_err();
    assert!(error.to_string().starts_with("the work passes the limit"), "{error}");
}

#[test]
fn repeated_beginnings_take_no_quadratic_time() {
    for unit in [
        "1 0 obj (",
        "1 0 obj [",
        "1 0 obj <<",
        "1 0 obj <</A ",
        "1 0 obj <<>> stream\n",
        "trailer <<",
        "obj ",
        "1 0 ",
        "(",
    ] {
        let begin = std::time::Instant::now();
        let limits = Limits { pdf_work: 16 << 20, ..Limits::default() };
        assert!(read(unit.repeat(100_000).as_bytes(), &limits).is_err(), "{unit}");
        assert!(begin.elapsed().as_secs() < 20, "{unit} took {:?}", begin.elapsed());
    }
}

#[test]
fn limits_of_pages_and_objects_hold() {
    let bytes = pages_of(&[PAGE, PAGE, PAGE], &[], "");
    let pages = Limits { pdf_pages: 2, ..Limits::default() };
    assert!(read(&bytes, &pages).unwrap_err().to_string().starts_with("the document passes the limit of 2 pages"));
    let objects = Limits { pdf_objects: 5, ..Limits::default() };
    assert!(read(&bytes, &objects).unwrap_err().to_string().starts_with("the document passes the limit of 5 objects"));
    let output = Limits { output_bytes: 64, ..Limits::default() };
    assert!(read(&bytes, &output).unwrap_err().to_string().starts_with("the text passes the limit of 64 bytes"));
}

#[test]
fn a_file_cut_anywhere_or_with_a_flipped_bit_never_panics() {
    let whole = pages_of(&[PAGE], &[], "");
    for at in 0..whole.len() {
        let _ = text(&whole[..at]);
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        let _ = text(&flipped);
    }
}

#[test]
fn titles_that_are_file_names_are_no_titles() {
    for wrong in ["Microsoft Word - report", "report.docx", "untitled", " "] {
        assert!(!is_title(wrong), "{wrong}");
    }
    assert!(is_title("Report on docx"));
    assert_eq!(day("D:20240230"), Some("2024-02-30".into()));
    assert_eq!(day("D:2024"), None);
}
