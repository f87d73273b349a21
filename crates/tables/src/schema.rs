//! Which columns the tables have. Names and types are a file format: others read them, so they change with care.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

/// What the rows of a task are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Questions and answers: `messages`, `prompt`, `completion`, `gold`.
    Conversations,
    /// Plain texts: `text`.
    Documents,
}

/// The columns of examples.
///
/// Both kinds have `id`, `task`, `published` (`2024-03-01` or `2024`), `group` (int64), `sources` (list of strings) and
/// `weight` (float64). Conversations have `messages` (list of struct of `role` and `content`), `prompt`, `completion`
/// and `gold` (null where there is no right label); documents have `text`.
#[must_use]
pub fn examples(rows: Rows) -> SchemaRef {
    let mut fields = vec![
        text("id"),
        text("task"),
        text("published"),
        Field::new("group", DataType::Int64, false),
        list("sources", DataType::Utf8),
        Field::new("weight", DataType::Float64, false),
    ];
    match rows {
        Rows::Conversations => fields.extend([
            list("messages", DataType::Struct(messages())),
            text("prompt"),
            text("completion"),
            Field::new("gold", DataType::Utf8, true),
        ]),
        Rows::Documents => fields.push(text("text")),
    }
    Arc::new(Schema::new(fields))
}

/// The columns of merged vulnerabilities, one row a CVE.
///
/// `id`, `description`, `published`, `modified` (`YYYYMMDDhhmmss` as int64, 0 where unknown), `cwes`, `cvss`,
/// `ssvc` and `products` (lists of structs), `sources`.
#[must_use]
pub fn vulnerabilities() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("id"),
        text("description"),
        text("published"),
        Field::new("modified", DataType::Int64, false),
        list("cwes", DataType::Struct(labels())),
        list("cvss", DataType::Struct(vectors())),
        list("ssvc", DataType::Struct(labels())),
        list("products", DataType::Struct(products())),
        list("sources", DataType::Utf8),
    ]))
}

/// The columns of the weakness catalogue, one row a weakness; `parents` are those of view 1000.
#[must_use]
pub fn weaknesses() -> SchemaRef {
    let texts = ["id", "name", "abstraction", "status", "usage", "description"].map(text);
    let fields = texts.into_iter().chain([list("parents", DataType::Utf8)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns of known exploitation, one row a CVE.
#[must_use]
pub fn exploited() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("id"),
        text("vendor"),
        text("product"),
        text("name"),
        text("added"),
        Field::new("due", DataType::Utf8, true),
        text("action"),
        text("description"),
        Field::new("ransomware", DataType::Boolean, false),
        list("cwes", DataType::Utf8),
    ]))
}

/// The columns of texts about security, one row a text; `id` is unique within its `source`.
#[must_use]
pub fn documents() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("source"),
        text("id"),
        text("kind"),
        text("title"),
        text("text"),
        Field::new("published", DataType::Utf8, true),
        list("cves", DataType::Utf8),
        list("cwes", DataType::Utf8),
        list("techniques", DataType::Utf8),
    ]))
}

/// The fields of one message.
pub(crate) fn messages() -> Fields {
    vec![text("role"), text("content")].into()
}

/// The fields of one CWE or SSVC label.
pub(crate) fn labels() -> Fields {
    vec![text("value"), text("source"), flag("primary"), flag("from_text")].into()
}

/// The fields of one CVSS vector.
pub(crate) fn vectors() -> Fields {
    vec![text("vector"), text("version"), text("source"), flag("primary"), flag("from_text")].into()
}

/// The fields of one product.
pub(crate) fn products() -> Fields {
    vec![text("vendor"), text("product")].into()
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, false)
}

fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(item_field(item)), false)
}

/// The field of a list's items, called as Parquet calls it.
pub(crate) fn item_field(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", item, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_are_those_that_are_promised() {
        let names = |schema: SchemaRef| schema.fields().iter().map(|one| one.name().clone()).collect::<Vec<_>>();
        let both = ["id", "task", "published", "group", "sources", "weight"];
        let conversations = names(examples(Rows::Conversations));
        assert_eq!(conversations[..6], both);
        assert_eq!(conversations[6..], ["messages", "prompt", "completion", "gold"]);
        let documents = names(examples(Rows::Documents));
        assert_eq!((&documents[..6], &documents[6..]), (&both.map(String::from)[..], &["text".to_owned()][..]));
    }
}
