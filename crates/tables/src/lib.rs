//! Datasets as tables: Apache Arrow, Parquet and a Hugging Face dataset folder.
//!
//! Between `wardsmith-records`, which makes datasets, and whoever reads tables: [`schema`] says which columns there are,
//! [`examples`] and [`records`] turn plain structs into record batches and back, [`parquet_files`] writes them in
//! shards. [`hub`] makes the dataset folder with its [`card`] and its [`licences`], [`chat`] makes JSON lines for other
//! trainers. `plan`, behind the feature `datafusion`, finds near-duplicates as query plans.

pub mod card;
pub mod chat;
mod columns;
pub mod error;
pub mod examples;
mod folder;
pub mod hub;
pub mod licences;
pub mod parquet_files;
#[cfg(feature = "datafusion")]
pub mod plan;
pub mod records;
pub mod schema;
mod share;
mod yaml;

pub use error::{Error, Result};
pub use folder::{Exported, ExportedFile, Statement, check_target};
