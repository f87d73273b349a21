//! Parquet files in shards: equal tables make equal bytes.
//!
//! Snappy, data pages of version 1 and a fixed name of the writer: what every reader reads, and no clock in it.

use std::fs::File;
use std::path::Path;

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::folder::{CREATED_BY, Digested, Folder};

/// Rows in a row group, at most: what a viewer fetches to show one page should stay small.
const GROUP_ROWS: usize = 10_000;
/// Encoded bytes in a row group, about.
const GROUP_BYTES: usize = 64 << 20;
/// Columns whose texts hardly repeat, so that a dictionary of them is a waste.
const LONG_TEXTS: &[&[&str]] =
    &[&["messages", "list", "element", "content"], &["prompt"], &["completion"], &["text"], &["description"]];

/// When a shard is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLimits {
    /// Bytes of a file, about: a shard is closed once it is as large.
    pub bytes: u64,
    /// Rows of a file, exactly.
    pub rows: u64,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self { bytes: 250 << 20, rows: 4_000_000 }
    }
}

/// The shards that were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shards {
    /// Their paths in the folder, in order.
    pub(crate) names: Vec<String>,
    /// All rows.
    pub(crate) rows: u64,
    /// All bytes on disk.
    pub(crate) stored_bytes: u64,
    /// All bytes as Arrow in memory, without slack.
    pub(crate) memory_bytes: u64,
}

/// Writes tables of one schema behind one another.
#[derive(Debug)]
pub(crate) struct ShardWriter<'a> {
    folder: &'a mut Folder,
    stem: String,
    schema: SchemaRef,
    limits: ShardLimits,
    open: Option<Shard>,
    done: Shards,
}

#[derive(Debug)]
struct Shard {
    writer: ArrowWriter<Digested>,
    rows: u64,
}

impl<'a> ShardWriter<'a> {
    /// Begins files called `<stem>-00000-of-0000N.parquet`.
    pub(crate) fn new(folder: &'a mut Folder, stem: &str, schema: SchemaRef, limits: ShardLimits) -> Self {
        Self { folder, stem: stem.into(), schema, limits, open: None, done: Shards::default() }
    }

    /// Adds rows, to as many shards as they need.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let memory = |array: &dyn Array| array.to_data().get_slice_memory_size().map(|bytes| bytes as u64);
        for column in batch.columns() {
            self.done.memory_bytes += memory(column)?;
        }
        let mut rest = batch.clone();
        while rest.num_rows() > 0 {
            let left = self.limits.rows.max(1) - self.open.as_ref().map_or(0, |shard| shard.rows);
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.num_rows());
            self.append(&rest.slice(0, take))?;
            rest = rest.slice(take, rest.num_rows() - take);
        }
        Ok(())
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut shard = match self.open.take() {
            Some(shard) => shard,
            None => self.begin()?,
        };
        let path = shard.writer.inner().path.clone();
        shard.writer.write(batch).map_err(Error::parquet("write", &path))?;
        shard.rows += batch.num_rows() as u64;
        let bytes = shard.writer.bytes_written() + shard.writer.in_progress_size();
        if shard.rows >= self.limits.rows || bytes as u64 >= self.limits.bytes {
            return self.close(shard);
        }
        self.open = Some(shard);
        Ok(())
    }

    fn begin(&self) -> Result<Shard> {
        let file = self.folder.open(&self.part(self.done.names.len()))?;
        let path = file.path.clone();
        let writer = ArrowWriter::try_new(file, self.schema.clone(), Some(properties()));
        Ok(Shard { writer: writer.map_err(Error::parquet("write", &path))?, rows: 0 })
    }

    /// What a shard is called until their number is known.
    fn part(&self, at: usize) -> String {
        format!("{}-{at:05}.part", self.stem)
    }

    fn close(&mut self, shard: Shard) -> Result<()> {
        let path = shard.writer.inner().path.clone();
        // This writes the footer, too.
        let file = shard.writer.into_inner().map_err(Error::parquet("write", &path))?;
        let name = self.part(self.done.names.len());
        let summary = self.folder.take(file, &name, Some(shard.rows))?;
        self.done.names.push(name);
        self.done.rows += shard.rows;
        self.done.stored_bytes += summary.bytes;
        Ok(())
    }

    /// Closes the last shard and names all of them; no rows make no file.
    pub(crate) fn finish(mut self) -> Result<Shards> {
        if let Some(shard) = self.open.take() {
            self.close(shard)?;
        }
        let count = self.done.names.len();
        for (at, name) in self.done.names.iter_mut().enumerate() {
            let last = format!("{}-{at:05}-of-{count:05}.parquet", self.stem);
            self.folder.rename(name, &last)?;
            *name = last;
        }
        Ok(self.done)
    }
}

fn properties() -> WriterProperties {
    let plain =
        LONG_TEXTS.iter().map(|parts| ColumnPath::from(parts.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()));
    let start = WriterProperties::builder()
        .set_created_by(CREATED_BY.into())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES));
    plain.fold(start, |builder, column| builder.set_column_dictionary_enabled(column, false)).build()
}

/// All rows of a Parquet file, in batches.
///
/// # Errors
/// Where the file is no Parquet or is broken.
pub fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet("read", path))?;
    let reader = reader.with_batch_size(GROUP_ROWS).build().map_err(Error::parquet("read", path))?;
    Ok(reader.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::tests::{document, question};
    use crate::examples::{batch, from_batch};
    use crate::folder::Statement;
    use crate::folder::tests::files_in;
    use crate::schema::{Rows, examples};

    fn write(limits: ShardLimits, count: usize, at: &Path) -> Shards {
        let all: Vec<_> = (0..count).map(|n| question(&format!("CVE-2024-{n:04}"))).collect();
        let mut folder = Folder::create(at, true).unwrap();
        let mut writer = ShardWriter::new(&mut folder, "data/train", examples(Rows::Conversations), limits);
        for part in all.chunks(7) {
            writer.write(&batch(part, Rows::Conversations).unwrap()).unwrap();
        }
        let shards = writer.finish().unwrap();
        folder.finish(Statement::new("hf")).unwrap();
        shards
    }

    #[test]
    fn rows_come_back_in_order_whatever_the_shards() {
        let place = tempfile::tempdir().unwrap();
        let want: Vec<_> = (0..50).map(|n| question(&format!("CVE-2024-{n:04}"))).collect();
        for (limits, files) in [
            (ShardLimits::default(), 1),
            (ShardLimits { rows: 20, ..ShardLimits::default() }, 3),
            (ShardLimits { rows: 1, ..ShardLimits::default() }, 50),
            (ShardLimits { bytes: 1, ..ShardLimits::default() }, 8),
        ] {
            let out = place.path().join("out");
            let shards = write(limits, 50, &out);
            assert_eq!((shards.names.len(), shards.rows), (files, 50));
            assert_eq!(shards.names[0], format!("data/train-00000-of-{files:05}.parquet"));
            let mut found = Vec::new();
            for name in &shards.names {
                for batch in read(&out.join(name)).unwrap() {
                    found.extend(from_batch(&batch).unwrap());
                }
            }
            assert_eq!(found, want);
        }
    }

    #[test]
    fn equal_rows_make_equal_bytes_and_no_rows_no_file() {
        let place = tempfile::tempdir().unwrap();
        let limits = ShardLimits { rows: 30, ..ShardLimits::default() };
        let (one, two) = (place.path().join("one"), place.path().join("two"));
        assert_eq!(write(limits, 50, &one), write(limits, 50, &two));
        assert_eq!(files_in(&one), files_in(&two));
        assert!(write(limits, 0, &one).names.is_empty());
    }

    #[test]
    fn a_broken_file_is_an_error_with_its_name() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.parquet");
        std::fs::write(&path, b"PAR1 and nothing else PAR1").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("x.parquet") && message.contains("hint:"), "{message}");
    }

    #[test]
    fn long_texts_are_columns_of_the_tables() {
        let tables =
            [batch(&[question("a")], Rows::Conversations).unwrap(), batch(&[document("a")], Rows::Documents).unwrap()];
        for parts in LONG_TEXTS.iter().filter(|parts| parts[0] != "description") {
            assert!(tables.iter().any(|table| table.column_by_name(parts[0]).is_some()), "{parts:?}");
        }
    }
}
