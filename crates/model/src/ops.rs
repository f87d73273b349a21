//! The arithmetic: each file holds an operation's forward and backward, tested against plain loops or differences.
//!
//! Slices in, slices out; the caller owns every buffer; shapes stand in the comments, row-major.

pub mod activation;
pub mod attention;
mod board;
pub mod cached_attention;
pub mod cross_entropy;
pub mod draw;
pub mod exp;
pub mod frozen;
pub mod gemv;
pub mod kernel;
pub mod matmul;
pub mod norm;
pub mod peak;
pub mod pool;
pub mod quant;
mod quant_kernel;
pub mod rotary;
pub mod softcap;

#[cfg(test)]
pub(crate) mod testing;
