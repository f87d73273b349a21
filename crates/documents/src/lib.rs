//! Documents as plain text: one format, one file.
