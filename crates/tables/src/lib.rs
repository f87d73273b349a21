//! Datasets as tables: Apache Arrow, Parquet and a Hugging Face dataset folder.
