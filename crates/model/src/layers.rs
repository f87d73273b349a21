//! Operations with weights.

pub mod attention;
pub mod linear;
pub mod lora;
pub mod mlp;
pub mod norm;
pub mod sandwich;
pub mod together;
pub mod workspace;
