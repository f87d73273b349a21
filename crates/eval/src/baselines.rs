//! Baselines that need neither a network nor a language model. No model counts as good until it beats them.
//!
//! [`majority`] knows only how frequent each label is; [`tfidf`] joins [`vectorizer`] and [`linear`] to the classical
//! text classifier; [`nearest`] copies the answer of the most similar training text.

pub mod linear;
pub mod majority;
pub mod nearest;
pub mod tfidf;
pub mod vectorizer;
