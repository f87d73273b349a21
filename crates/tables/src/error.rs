//! Everything that can go wrong with tables, each with the thing it happened to and a hint.

use std::path::{Path, PathBuf};

/// Why a dataset could not become tables, or tables not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The dataset could not be read.
    #[error(transparent)]
    Dataset(#[from] wardsmith_records::Error),
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {source}\nhint: check the path, the permissions and the space on the disk")]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A Parquet file that cannot be written or read.
    #[error(
        "cannot {action} `{path}` as Parquet: {source}\nhint: check the space on the disk; a file that cannot be read is broken"
    )]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the writer or reader said.
        source: parquet::errors::ParquetError,
    },
    /// Columns that do not make a table.
    #[error("the columns do not make a table: {0}\nhint: this is a fault of this program; please report it")]
    Columns(#[from] arrow_schema::ArrowError),
    /// A table that is not the one that was expected.
    #[error("column `{column}`, row {row}: {detail}\nhint: read only tables that Wardsmith wrote")]
    BadTable {
        /// The column.
        column: String,
        /// The row within its batch, from 0.
        row: usize,
        /// What is wrong.
        detail: String,
    },
    /// An example that has no form as a row.
    #[error("example `{id}` of task `{task}` cannot be a row: {detail}\nhint: make the dataset anew")]
    BadExample {
        /// The task.
        task: String,
        /// The example.
        id: String,
        /// Why not.
        detail: String,
    },
    /// Nothing is left to export.
    #[error(
        "`{path}` holds nothing that may be exported: {withheld} examples are private, and there is no other\nhint: private examples may teach a model here, but are never written into files for others"
    )]
    NothingToShare {
        /// The dataset.
        path: PathBuf,
        /// Private examples.
        withheld: u64,
    },
    /// Something stands where the output should go.
    #[error("`{path}` exists already{what}\nhint: {hint}")]
    OutputExists {
        /// The output.
        path: PathBuf,
        /// ` and is no export`, or nothing.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// An output without a name.
    #[error("`{0}` is no name for a folder\nhint: name a folder that does not exist yet")]
    NoName(PathBuf),
    /// A file that belongs to the dataset and is not as its manifest says, or is unfit for a card.
    #[error("`{path}` cannot go along: {detail}\nhint: make the dataset anew, or take the file away")]
    BadCompanion {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The query engine failed.
    #[cfg(feature = "datafusion")]
    #[error("the plan failed: {0}\nhint: check that the tables are those that Wardsmith wrote, and the memory")]
    Plan(#[from] datafusion::error::DataFusionError),
}

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an error of the operating system: `.map_err(Error::io("write", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps an error of the Parquet library.
    pub fn parquet(action: &'static str, path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Parquet { action, path, source }
    }
}
