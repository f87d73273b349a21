//! The merged records as tables, so that other engines can read what Wardsmith joined.
//!
//! Vulnerabilities come back as they went in; weaknesses, known exploitation and documents are written only, with the
//! fields that queries want.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use wardsmith_records::knowledge::Knowledge;
use wardsmith_records::record::{Document, Exploited, Label, Product, Vulnerability, Weakness};

use crate::columns::{Table, bad, some_texts, struct_lists, text_lists, texts};
use crate::error::Result;
use crate::folder::{Exported, Folder, Statement};
use crate::parquet_files::{ShardLimits, ShardWriter};
use crate::schema;

/// Rows that are turned into columns at once.
const ROWS_AT_ONCE: usize = 4096;

/// The table of merged vulnerabilities, with the columns of [`schema::vulnerabilities`].
///
/// # Errors
/// Where a date of modification is no 63-bit number.
pub fn vulnerabilities(records: &[Vulnerability]) -> Result<RecordBatch> {
    let modified = |(row, one): (usize, &Vulnerability)| {
        i64::try_from(one.modified).map_err(|_| bad("modified", row, "is more than 63 bits"))
    };
    let modified = records.iter().enumerate().map(modified).collect::<Result<Vec<i64>>>()?;
    let columns: Vec<ArrayRef> = vec![
        texts(records.iter().map(|one| one.id.to_string())),
        texts(records.iter().map(|one| &one.description)),
        texts(records.iter().map(|one| one.published.to_string())),
        Arc::new(Int64Array::from(modified)),
        cwes(records)?,
        cvss(records)?,
        ssvc(records)?,
        products(records)?,
        text_lists(
            &records.iter().map(|one| one.sources.iter().map(String::as_str).collect()).collect::<Vec<Vec<_>>>(),
        )?,
    ];
    Ok(RecordBatch::try_new(schema::vulnerabilities(), columns)?)
}

fn cwes(records: &[Vulnerability]) -> Result<ArrayRef> {
    let all = || records.iter().flat_map(|one| &one.cwes);
    let mut fields = vec![texts(all().map(|label| label.value.to_string()))];
    fields.extend(label_columns(all));
    struct_lists(records.iter().map(|one| one.cwes.len()), schema::labels(), fields)
}

fn cvss(records: &[Vulnerability]) -> Result<ArrayRef> {
    let all = || records.iter().flat_map(|one| &one.cvss);
    let mut fields = vec![
        texts(all().map(|label| label.value.as_str())),
        texts(all().map(|label| version_of(label.value.as_str()))),
    ];
    fields.extend(label_columns(all));
    struct_lists(records.iter().map(|one| one.cvss.len()), schema::vectors(), fields)
}

fn ssvc(records: &[Vulnerability]) -> Result<ArrayRef> {
    let all = || records.iter().flat_map(|one| &one.ssvc);
    let mut fields = vec![texts(all().map(|label| label.value.to_string()))];
    fields.extend(label_columns(all));
    struct_lists(records.iter().map(|one| one.ssvc.len()), schema::labels(), fields)
}

/// `3.1` of `CVSS:3.1/…`; vectors without a prefix are of version 2.0.
fn version_of(vector: &str) -> &str {
    let rest = vector.strip_prefix("CVSS:").and_then(|rest| rest.split_once('/'));
    rest.map_or("2.0", |(version, _)| version)
}

/// What every label has: who says it, whether that is its main word, and whether free text said it.
fn label_columns<'a, T: 'a, I: Iterator<Item = &'a Label<T>>>(all: impl Fn() -> I) -> [ArrayRef; 3] {
    let flags = |values: Vec<bool>| -> ArrayRef { Arc::new(BooleanArray::from(values)) };
    [
        texts(all().map(|label| &label.source)),
        flags(all().map(|label| label.primary).collect()),
        flags(all().map(|label| label.from_text).collect()),
    ]
}

fn products(records: &[Vulnerability]) -> Result<ArrayRef> {
    let all = || records.iter().flat_map(|one| &one.products);
    let fields = vec![texts(all().map(|one| &one.vendor)), texts(all().map(|one| &one.product))];
    struct_lists(records.iter().map(|one| one.products.len()), schema::products(), fields)
}

/// The vulnerabilities of a table that [`vulnerabilities`] made.
///
/// # Errors
/// Where columns are missing or say what no record says.
pub fn vulnerabilities_from(batch: &RecordBatch) -> Result<Vec<Vulnerability>> {
    (0..batch.num_rows()).map(|row| vulnerability(Table(batch), row)).collect()
}

fn vulnerability(table: Table<'_>, row: usize) -> Result<Vulnerability> {
    let labels = |column| table.structs(column, row);
    let products = labels("products")?;
    let product = |at| {
        let table = Table(&products);
        Ok(Product { vendor: table.text("vendor", at)?.into(), product: table.text("product", at)?.into() })
    };
    Ok(Vulnerability {
        id: table.parsed("id", row)?,
        description: table.text("description", row)?.into(),
        published: table.parsed("published", row)?,
        modified: table.count("modified", row)?,
        cwes: labels_of(&labels("cwes")?, "value")?,
        cvss: labels_of(&labels("cvss")?, "vector")?,
        ssvc: labels_of(&labels("ssvc")?, "value")?,
        products: (0..products.num_rows()).map(product).collect::<Result<_>>()?,
        sources: table.texts("sources", row)?,
    })
}

fn labels_of<T: std::str::FromStr<Err: std::fmt::Display>>(labels: &RecordBatch, value: &str) -> Result<Vec<Label<T>>> {
    let table = Table(labels);
    let label = |row| {
        Ok(Label {
            value: table.parsed(value, row)?,
            source: table.text("source", row)?.into(),
            primary: table.flag("primary", row)?,
            from_text: table.flag("from_text", row)?,
        })
    };
    (0..labels.num_rows()).map(label).collect()
}

/// The table of weaknesses with the columns of [`schema::weaknesses`]; parents are those of view 1000.
///
/// # Errors
/// Where the columns make no table, which is a fault of this program.
pub fn weaknesses(records: &[&Weakness]) -> Result<RecordBatch> {
    let is_parent =
        |nature: &str, view| nature == "ChildOf" && view == Some(wardsmith_records::catalogue::RESEARCH_VIEW);
    let parents = |one: &&Weakness| {
        let within = one.relations.iter().filter(|relation| is_parent(&relation.nature, relation.view));
        within.map(|relation| relation.target.to_string()).collect()
    };
    let columns = vec![
        texts(records.iter().map(|one| one.id.to_string())),
        texts(records.iter().map(|one| &one.name)),
        texts(records.iter().map(|one| &one.abstraction)),
        texts(records.iter().map(|one| &one.status)),
        texts(records.iter().map(|one| format!("{:?}", one.usage))),
        texts(records.iter().map(|one| &one.description)),
        text_lists(&records.iter().map(parents).collect::<Vec<Vec<String>>>())?,
    ];
    Ok(RecordBatch::try_new(schema::weaknesses(), columns)?)
}

/// The table of known exploitation with the columns of [`schema::exploited`].
///
/// # Errors
/// As [`weaknesses`].
pub fn exploited(records: &[&Exploited]) -> Result<RecordBatch> {
    let cwes = |one: &&Exploited| one.cwes.iter().map(ToString::to_string).collect();
    let columns = vec![
        texts(records.iter().map(|one| one.id.to_string())),
        texts(records.iter().map(|one| &one.vendor)),
        texts(records.iter().map(|one| &one.product)),
        texts(records.iter().map(|one| &one.name)),
        texts(records.iter().map(|one| one.added.to_string())),
        some_texts(records.iter().map(|one| one.due.map(|due| due.to_string()))),
        texts(records.iter().map(|one| &one.action)),
        texts(records.iter().map(|one| &one.description)),
        Arc::new(records.iter().map(|one| Some(one.ransomware)).collect::<BooleanArray>()),
        text_lists(&records.iter().map(cwes).collect::<Vec<Vec<String>>>())?,
    ];
    Ok(RecordBatch::try_new(schema::exploited(), columns)?)
}

/// The table of documents with the columns of [`schema::documents`].
///
/// # Errors
/// As [`weaknesses`].
pub fn documents(records: &[Document]) -> Result<RecordBatch> {
    let kind = |one: &Document| serde_json::to_value(one.kind).ok().and_then(|kind| Some(kind.as_str()?.to_owned()));
    let lists = |of: &dyn Fn(&Document) -> Vec<String>| text_lists(&records.iter().map(of).collect::<Vec<_>>());
    let columns = vec![
        texts(records.iter().map(|one| one.source)),
        texts(records.iter().map(|one| &one.id)),
        texts(records.iter().map(|one| kind(one).unwrap_or_default())),
        texts(records.iter().map(|one| &one.title)),
        texts(records.iter().map(|one| &one.text)),
        some_texts(records.iter().map(|one| one.published.map(|day| day.to_string()))),
        lists(&|one| one.cves.iter().map(ToString::to_string).collect())?,
        lists(&|one| one.cwes.iter().map(ToString::to_string).collect())?,
        lists(&|one| one.techniques.iter().map(ToString::to_string).collect())?,
    ];
    Ok(RecordBatch::try_new(schema::documents(), columns)?)
}

/// Writes `vulnerabilities`, `weaknesses`, `exploited` and `documents` as Parquet shards with `wardsmith-export.json`
/// into a new folder `out`; what nothing was read of has no file.
///
/// # Errors
/// Where `out` exists and may not be overwritten, or the disk refuses.
pub fn export_records(knowledge: &Knowledge, out: &Path, overwrite: bool) -> Result<Exported> {
    let mut folder = Folder::create(out, overwrite)?;
    let mut writer = table(&mut folder, "vulnerabilities", schema::vulnerabilities());
    for part in knowledge.vulnerabilities.chunks(ROWS_AT_ONCE) {
        writer.write(&vulnerabilities(part)?)?;
    }
    writer.finish()?;
    let mut writer = table(&mut folder, "weaknesses", schema::weaknesses());
    writer.write(&weaknesses(&knowledge.catalogue.weaknesses().collect::<Vec<_>>())?)?;
    writer.finish()?;
    let mut writer = table(&mut folder, "exploited", schema::exploited());
    writer.write(&exploited(&knowledge.exploited.values().collect::<Vec<_>>())?)?;
    writer.finish()?;
    let mut writer = table(&mut folder, "documents", schema::documents());
    // Documents may be long: few at once.
    for part in knowledge.documents.chunks(64) {
        writer.write(&documents(part)?)?;
    }
    writer.finish()?;
    folder.finish(Statement::new("records"))
}

fn table<'a>(folder: &'a mut Folder, name: &str, schema: arrow_schema::SchemaRef) -> ShardWriter<'a> {
    ShardWriter::new(folder, &format!("{name}/{name}"), schema, ShardLimits::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet_files::read;
    use wardsmith_records::catalogue::Catalogue;
    use wardsmith_records::record::{CweId, DocumentKind, Record, Relation, Usage};

    fn label<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &str, source: &str, primary: bool) -> Label<T> {
        Label { value: value.parse().unwrap(), source: source.into(), primary, from_text: !primary }
    }

    fn kettle(id: &str) -> Vulnerability {
        Vulnerability {
            id: id.parse().unwrap(),
            description: "A kettle\nboils \u{0}over. ü".into(),
            published: "2024-02-29".parse().unwrap(),
            modified: 20_240_301_123_456,
            cwes: vec![label("CWE-79", "nvd", true), label("NVD-CWE-noinfo", "cna:Acme", false)],
            cvss: vec![
                label("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "nvd", true),
                label("AV:N/AC:L/Au:N/C:P/I:P/A:P", "nvd", false),
            ],
            ssvc: vec![label("Exploitation: poc, Automatable: no, Technical Impact: total", "adp:CISA-ADP", false)],
            products: vec![Product { vendor: "acme".into(), product: "kettle".into() }],
            sources: vec!["cvelist".into(), "nvd".into()],
        }
    }

    fn bare(id: &str) -> Vulnerability {
        Vulnerability {
            published: "2023".parse().unwrap(),
            modified: 0,
            cwes: Vec::new(),
            cvss: Vec::new(),
            ssvc: Vec::new(),
            products: Vec::new(),
            sources: Vec::new(),
            ..kettle(id)
        }
    }

    fn weakness() -> Weakness {
        let child = Relation { nature: "ChildOf".into(), target: CweId(74), view: Some(1000) };
        Weakness {
            id: CweId(79),
            name: "XSS".into(),
            abstraction: "Base".into(),
            status: "Stable".into(),
            usage: Usage::Allowed,
            description: "Script in a page.".into(),
            extended_description: String::new(),
            alternate_terms: Vec::new(),
            relations: vec![child.clone(), Relation { view: Some(1003), target: CweId(1), ..child }],
            consequences: Vec::new(),
            mitigations: Vec::new(),
            observed_examples: Vec::new(),
            edition: None,
        }
    }

    fn knowledge() -> Knowledge {
        let exploited = Exploited {
            id: "CVE-2024-0001".parse().unwrap(),
            vendor: "Acme".into(),
            product: "Kettle".into(),
            name: "Acme Kettle hole".into(),
            added: "2024-03-01".parse().unwrap(),
            due: None,
            action: "Unplug it.".into(),
            description: String::new(),
            ransomware: true,
            cwes: vec![CweId(79)],
        };
        let document = Document {
            id: "a/b.md".into(),
            kind: DocumentKind::DetectionRule,
            title: "T".into(),
            summary: String::new(),
            text: "X".into(),
            remedy: String::new(),
            published: None,
            cves: vec![exploited.id],
            cwes: Vec::new(),
            techniques: Vec::new(),
            products: Vec::new(),
            source: "documents",
        };
        Knowledge {
            vulnerabilities: vec![kettle("CVE-2024-0001"), bare("CVE-2024-0002"), kettle("CVE-2024-0003")],
            catalogue: Catalogue::from_records([Record::Weakness(Box::new(weakness()))]),
            exploited: [(exploited.id, exploited)].into(),
            documents: vec![document],
            ..Knowledge::default()
        }
    }

    #[test]
    fn vulnerabilities_come_back_from_parquet_as_they_went_in() {
        let place = tempfile::tempdir().unwrap();
        let knowledge = knowledge();
        let exported = export_records(&knowledge, &place.path().join("out"), false).unwrap();
        let path = exported.path.join("vulnerabilities/vulnerabilities-00000-of-00001.parquet");
        let batches = read(&path).unwrap();
        assert_eq!(batches[0].schema().fields(), schema::vulnerabilities().fields());
        let found: Vec<_> = batches.iter().flat_map(|batch| vulnerabilities_from(batch).unwrap()).collect();
        assert_eq!(found, knowledge.vulnerabilities);
    }

    #[test]
    fn other_tables_tell_what_queries_want_and_what_is_missing_has_no_file() {
        let place = tempfile::tempdir().unwrap();
        let exported = export_records(&knowledge(), &place.path().join("out"), false).unwrap();
        let open = |name: &str| read(&exported.path.join(format!("{name}/{name}-00000-of-00001.parquet"))).unwrap();
        let (weaknesses, exploited, documents) = (open("weaknesses"), open("exploited"), open("documents"));
        assert_eq!(Table(&weaknesses[0]).texts("parents", 0).unwrap(), ["CWE-74"]);
        let kev = Table(&exploited[0]);
        assert_eq!((kev.text("added", 0).unwrap(), kev.text_or_none("due", 0).unwrap()), ("2024-03-01", None));
        assert!(kev.flag("ransomware", 0).unwrap());
        let document = Table(&documents[0]);
        assert_eq!(document.text("kind", 0).unwrap(), "detection_rule");
        assert_eq!(document.texts("cves", 0).unwrap(), ["CVE-2024-0001"]);
        let empty = export_records(&Knowledge::default(), &place.path().join("empty"), false).unwrap();
        assert!(empty.statement.files.is_empty());
    }

    #[test]
    fn versions_of_vectors_are_told() {
        for (vector, want) in [("CVSS:4.0/AV:N", "4.0"), ("CVSS:3.0/AV:N", "3.0"), ("AV:N/AC:L", "2.0")] {
            assert_eq!(version_of(vector), want);
        }
    }

    #[test]
    fn a_table_with_a_wrong_id_is_told_by_column_and_row() {
        let table = vulnerabilities(&[kettle("CVE-2024-0001"), kettle("CVE-2024-0002")]).unwrap();
        let mut columns = table.columns().to_vec();
        columns[0] = texts(["CVE-2024-0001", "kettle"]);
        let broken = RecordBatch::try_new(table.schema(), columns).unwrap();
        let message = vulnerabilities_from(&broken).unwrap_err().to_string();
        assert!(message.starts_with("column `id`, row 1: `kettle` is not a CVE ID"), "{message}");
    }
}
