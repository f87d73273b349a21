//! The program from outside: its command line, its files, and what it says.
mod advisories;
mod broken_input;
mod common;
mod resume;
