//! How fast this machine multiplies: what products can be held against.

use std::time::Instant;

use rayon::prelude::*;

use super::kernel::{self, Factors, MR_MAX, NR, Tile};

/// What the kernel does in a second on all threads with operands in the first-level cache: the multipliers' rate, in
/// multiplications and additions.
pub fn peak_flops() -> f64 {
    const DEPTH: usize = 128;
    const ROUNDS: usize = 20_000;
    let threads = rayon::current_num_threads();
    let once = || {
        let (a, b, mut c) = (vec![0.5_f32; MR_MAX * DEPTH], vec![0.25_f32; DEPTH * NR], vec![0.0_f32; MR_MAX * NR]);
        let factors = [Factors { k: DEPTH, a: a.as_ptr(), a_row: DEPTH, a_column: 1, b: b.as_ptr() }];
        let tile = Tile { c: c.as_mut_ptr(), row_stride: NR, columns: NR, alpha: 1.0, accumulate: false };
        for _ in 0..ROUNDS {
            // SAFETY: the operands hold 12 × 128, 128 × 32 and 12 × 32 values.
            unsafe { kernel::run(kernel::isa(), MR_MAX, &factors, tile) };
        }
        std::hint::black_box(c[0]);
    };
    let begun = Instant::now();
    (0..threads).into_par_iter().with_max_len(1).for_each(|_| once());
    2.0 * (threads * ROUNDS * MR_MAX * DEPTH * NR) as f64 / begun.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_multiplies_more_than_a_million_times_a_second_and_less_than_a_million_billion_times() {
        let rate = super::peak_flops();
        assert!(rate > 1e6 && rate < 1e15, "{rate}");
    }
}
