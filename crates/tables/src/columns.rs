//! Columns out of plain values, and plain values out of columns, with errors that name column and row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Fields};

use crate::error::{Error, Result};
use crate::schema::item_field;

/// A column of texts.
pub(crate) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of texts, some of which are missing.
pub(crate) fn some_texts<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// A column of lists: one length a row, and the items of all rows behind one another.
pub(crate) fn lists(lengths: impl IntoIterator<Item = usize>, items: ArrayRef) -> Result<ArrayRef> {
    let field = item_field(items.data_type().clone());
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, items, None)?))
}

/// A column of lists of texts.
pub(crate) fn text_lists<T: AsRef<str>>(rows: &[Vec<T>]) -> Result<ArrayRef> {
    lists(rows.iter().map(Vec::len), texts(rows.iter().flatten().map(AsRef::as_ref)))
}

/// A column of lists of structs, one column a field.
pub(crate) fn struct_lists(
    lengths: impl IntoIterator<Item = usize>,
    fields: Fields,
    columns: Vec<ArrayRef>,
) -> Result<ArrayRef> {
    lists(lengths, Arc::new(StructArray::try_new(fields, columns, None)?))
}

/// A table that is read row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a>(pub(crate) &'a RecordBatch);

impl<'a> Table<'a> {
    /// The text in `row` of `column`, `None` where it is missing.
    pub(crate) fn text_or_none(self, column: &str, row: usize) -> Result<Option<&'a str>> {
        let strings = self.column(column, &DataType::Utf8)?.as_string::<i32>();
        Ok(strings.is_valid(row).then(|| strings.value(row)))
    }

    /// The text in `row` of `column`.
    pub(crate) fn text(self, column: &str, row: usize) -> Result<&'a str> {
        self.text_or_none(column, row)?.ok_or_else(|| bad(column, row, "is null"))
    }

    /// The number in `row` of `column`.
    pub(crate) fn integer(self, column: &str, row: usize) -> Result<i64> {
        Ok(self.whole(column, &DataType::Int64, row)?.as_primitive::<Int64Type>().value(row))
    }

    /// As [`Table::integer`], where it is never negative.
    pub(crate) fn count(self, column: &str, row: usize) -> Result<u64> {
        u64::try_from(self.integer(column, row)?).map_err(|_| bad(column, row, "is negative"))
    }

    /// The number in `row` of `column`.
    pub(crate) fn float(self, column: &str, row: usize) -> Result<f64> {
        Ok(self.whole(column, &DataType::Float64, row)?.as_primitive::<Float64Type>().value(row))
    }

    /// The texts in `row` of `column`.
    pub(crate) fn texts(self, column: &str, row: usize) -> Result<Vec<String>> {
        let items = self.items(column, row)?;
        if items.data_type() != &DataType::Utf8 {
            return Err(bad(column, row, "holds no texts"));
        }
        Ok(items.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
    }

    /// The structs in `row` of `column`, as a table of their own.
    pub(crate) fn structs(self, column: &str, row: usize) -> Result<RecordBatch> {
        let items = self.items(column, row)?;
        let structs = items.as_struct_opt().filter(|structs| structs.null_count() == 0);
        structs.map(RecordBatch::from).ok_or_else(|| bad(column, row, "holds no structs"))
    }

    fn items(self, column: &str, row: usize) -> Result<ArrayRef> {
        let array = self.0.column_by_name(column).ok_or_else(|| bad(column, 0, "is missing"))?;
        array.as_list_opt::<i32>().map(|list| list.value(row)).ok_or_else(|| bad(column, row, "is no list"))
    }

    /// Whether `row` of `column` holds.
    pub(crate) fn flag(self, column: &str, row: usize) -> Result<bool> {
        Ok(self.whole(column, &DataType::Boolean, row)?.as_boolean().value(row))
    }

    /// What `row` of `column` says, in a type of its own.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(self, column: &str, row: usize) -> Result<T> {
        self.text(column, row)?.parse().map_err(|error: T::Err| bad(column, row, &error.to_string()))
    }

    /// A column that has a value in `row`.
    fn whole(self, name: &str, wanted: &DataType, row: usize) -> Result<&'a dyn Array> {
        let column = self.column(name, wanted)?;
        if column.is_valid(row) { Ok(column) } else { Err(bad(name, row, "is null")) }
    }

    fn column(self, name: &str, wanted: &DataType) -> Result<&'a dyn Array> {
        let array = self.0.column_by_name(name).ok_or_else(|| bad(name, 0, "is missing"))?;
        if array.data_type() == wanted {
            return Ok(array.as_ref());
        }
        Err(bad(name, 0, &format!("is of type {}, not {wanted}", array.data_type())))
    }
}

/// The error of a table that is not as expected.
pub(crate) fn bad(column: &str, row: usize, detail: &str) -> Error {
    Error::BadTable { column: column.into(), row, detail: detail.into() }
}
