//! A decoder-only transformer with an explicit forward and backward pass on the CPU.
//!
//! One decoder serves every family: a family is a [`spec::DecoderSpec`] and a map of weight names.
//! This crate sees token ids, never text; weights come from safetensors in Hugging Face layout, never from
//! formats that carry code.

pub mod adapter;
pub mod cache;
pub mod checkpoint;
pub mod constrain;
pub mod decoder;
pub mod error;
pub mod export;
pub mod families;
pub mod freeze;
pub mod generate;
pub mod head;
pub mod layers;
pub mod memory;
pub mod model;
pub mod ops;
pub mod params;
pub mod sample;
pub mod spec;
pub mod weights;

pub use error::{Error, Result};
pub use model::{Batch, Model, Purpose, Target};
pub use spec::DecoderSpec;
