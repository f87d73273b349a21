//! Examples as record batches, and back.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use wardsmith_records::conversation::{Conversation, Message, Role};
use wardsmith_records::dataset::Example;

use crate::columns::{Table, bad, some_texts, struct_lists, text_lists, texts};
use crate::error::{Error, Result};
use crate::schema::{self, Rows};

/// What the rows of these examples are: documents where each is one plain text without a right label.
#[must_use]
pub fn rows_of(examples: &[Example]) -> Rows {
    let is_document = |one: &Example| {
        let messages = one.conversation.messages.as_slice();
        one.gold.is_none() && matches!(messages, [only] if only.role == Role::Document)
    };
    if !examples.is_empty() && examples.iter().all(is_document) { Rows::Documents } else { Rows::Conversations }
}

/// The table of `examples` with the columns of [`schema::examples`].
///
/// # Errors
/// Where a group is no 63-bit number.
pub fn batch(examples: &[Example], rows: Rows) -> Result<RecordBatch> {
    let groups = examples.iter().map(group).collect::<Result<Vec<i64>>>()?;
    let sources: Vec<Vec<&str>> = examples.iter().map(|one| one.sources.iter().map(String::as_str).collect()).collect();
    let mut columns: Vec<ArrayRef> = vec![
        texts(examples.iter().map(|one| &one.id)),
        texts(examples.iter().map(|one| &one.task)),
        texts(examples.iter().map(|one| &one.published)),
        Arc::new(Int64Array::from(groups)),
        text_lists(&sources)?,
        Arc::new(Float64Array::from_iter_values(examples.iter().map(|one| one.weight))),
    ];
    match rows {
        Rows::Conversations => columns.extend(conversation_columns(examples)?),
        Rows::Documents => columns.push(texts(examples.iter().map(|one| completion(&one.conversation)))),
    }
    Ok(RecordBatch::try_new(schema::examples(rows), columns)?)
}

fn conversation_columns(examples: &[Example]) -> Result<[ArrayRef; 4]> {
    let all = || examples.iter().flat_map(|one| &one.conversation.messages);
    let fields = vec![texts(all().map(|one| role_name(one.role))), texts(all().map(|one| &one.content))];
    let lengths = examples.iter().map(|one| one.conversation.messages.len());
    Ok([
        struct_lists(lengths, schema::messages(), fields)?,
        texts(examples.iter().map(|one| prompt(&one.conversation))),
        texts(examples.iter().map(|one| completion(&one.conversation))),
        some_texts(examples.iter().map(|one| one.gold.as_ref())),
    ])
}

fn group(example: &Example) -> Result<i64> {
    i64::try_from(example.group).map_err(|_| Error::BadExample {
        task: example.task.clone(),
        id: example.id.clone(),
        detail: format!("its group {} is more than 63 bits", example.group),
    })
}

/// Everything before the last answer, a blank line between messages; empty for plain texts.
pub(crate) fn prompt(conversation: &Conversation) -> String {
    let messages = conversation.messages.as_slice();
    let before = messages.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().map(|one| one.content.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// The last message: the answer, or the plain text.
pub(crate) fn completion(conversation: &Conversation) -> &str {
    conversation.messages.last().map_or("", |one| one.content.as_str())
}

/// A role as chat templates call it.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Document => "document",
    }
}

/// The examples of a table that [`batch`] made. None of them is private, as private ones are never in a table.
///
/// # Errors
/// Where columns are missing or say what no example says.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Example>> {
    let table = Table(batch);
    (0..batch.num_rows()).map(|row| from_row(table, row)).collect()
}

fn from_row(table: Table<'_>, row: usize) -> Result<Example> {
    let is_document = table.0.column_by_name("text").is_some();
    let conversation = if is_document {
        Conversation::document(table.text("text", row)?)
    } else {
        conversation(&table.structs("messages", row)?)?
    };
    Ok(Example {
        id: table.text("id", row)?.into(),
        task: table.text("task", row)?.into(),
        published: table.text("published", row)?.into(),
        group: table.count("group", row)?,
        sources: table.texts("sources", row)?,
        weight: table.float("weight", row)?,
        private: false,
        conversation,
        gold: if is_document { None } else { table.text_or_none("gold", row)?.map(str::to_owned) },
    })
}

fn conversation(messages: &RecordBatch) -> Result<Conversation> {
    let table = Table(messages);
    let message = |row| {
        let name = table.text("role", row)?;
        let roles = [Role::System, Role::User, Role::Assistant, Role::Document];
        let role = roles.into_iter().find(|role| role_name(*role) == name);
        let role = role.ok_or_else(|| bad("role", row, &format!("`{name}` is no role")))?;
        Ok(Message { role, content: table.text("content", row)?.into() })
    };
    Ok(Conversation { messages: (0..messages.num_rows()).map(message).collect::<Result<_>>()? })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A question with its answer.
    pub(crate) fn question(id: &str) -> Example {
        Example {
            id: id.into(),
            task: "cwe_classify".into(),
            published: "2024-01-02".into(),
            group: 7,
            sources: vec!["cvelist".into(), "nvd".into()],
            weight: 1.0,
            private: false,
            conversation: Conversation::question(format!("Which weakness?\n\nKettle {id} boils over."), "CWE-79"),
            gold: Some("CWE-79".into()),
        }
    }

    /// A plain text.
    pub(crate) fn document(id: &str) -> Example {
        Example {
            task: "document".into(),
            sources: vec!["owasp".into()],
            weight: 0.5,
            conversation: Conversation::document(format!("# Kettles\n\nA \"text\" about {id}. ü 漢\u{0}")),
            gold: None,
            ..question(id)
        }
    }

    #[test]
    fn examples_come_out_of_a_table_as_they_went_in() {
        let mut long = question("CVE-2024-0003");
        let system = Message { role: Role::System, content: String::new() };
        long.conversation.messages.insert(0, system);
        long.gold = None;
        long.sources.clear();
        for examples in [vec![question("CVE-2024-0001"), long], vec![document("a"), document("b")], Vec::new()] {
            let rows = rows_of(&examples);
            let batch = batch(&examples, rows).unwrap();
            assert_eq!(batch.schema(), schema::examples(rows));
            assert_eq!(from_batch(&batch).unwrap(), examples);
        }
    }

    #[test]
    fn texts_beside_questions_are_kept_with_their_role() {
        let mixed = vec![question("CVE-2024-0001"), document("a")];
        assert_eq!(rows_of(&mixed), Rows::Conversations);
        let batch = batch(&mixed, Rows::Conversations).unwrap();
        assert_eq!(from_batch(&batch).unwrap(), mixed);
        assert_eq!(Table(&batch).text("prompt", 1).unwrap(), "");
        assert!(Table(&batch).text("completion", 1).unwrap().starts_with("# Kettles"));
        assert!(Table(&batch).text("prompt", 0).unwrap().starts_with("Which weakness?\n\nKettle"));
    }

    #[test]
    fn a_table_of_something_else_is_told_by_its_column() {
        let table = batch(&[question("CVE-2024-0001")], Rows::Conversations).unwrap();
        let without = table.project(&[0, 1, 2]).unwrap();
        let message = from_batch(&without).unwrap_err().to_string();
        assert!(message.starts_with("column `messages`, row 0: is missing\nhint:"), "{message}");
        let huge = Example { group: u64::MAX, ..question("CVE-2024-0001") };
        assert!(batch(&[huge], Rows::Conversations).unwrap_err().to_string().contains("`CVE-2024-0001`"));
    }
}
