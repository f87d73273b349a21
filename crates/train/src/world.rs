//! Several processes that train one model: what they must tell one another, whoever carries it.
//!
//! Every rank holds the whole model, takes its share of each step's packs and adds its gradients to the others' (data
//! parallelism). All ranks then make the same update, so that nothing else needs to travel. [`Alone`] is one process,
//! [`threads`] are ranks in one process, for tests, and the feature `mpi` brings processes that `mpirun` starts.
//!
//! Whatever may fail on one rank alone is settled by [`agree`] before the next exchange: either all go on, or all fail.

#[cfg(feature = "mpi")]
pub mod mpi;
pub mod threads;

use std::fmt::Display;

use crate::error::{Error, Result};

/// Values of small tensors that are added up in one exchange: 1 MiB.
const TOGETHER: usize = 1 << 18;

/// What one rank knows of the others, and how it exchanges with them. Every rank has to make the same calls in the same order.
pub trait World {
    /// This one's number, from 0; rank 0 leads: it alone writes files.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Adds up over all ranks, in place; all get the same bits.
    ///
    /// # Errors
    /// Another rank is gone.
    fn sum_f32(&self, values: &mut [f32]) -> Result<()>;

    /// As [`Self::sum_f32`].
    ///
    /// # Errors
    /// Another rank is gone.
    fn sum_f64(&self, values: &mut [f64]) -> Result<()>;

    /// The bytes of rank `from` at every rank; what the others hand over is not looked at.
    ///
    /// # Errors
    /// Another rank is gone.
    fn broadcast(&self, from: usize, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// What every rank hands over, in the order of ranks, at every rank.
    ///
    /// # Errors
    /// Another rank is gone.
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let own = |rank| if rank == self.rank() { bytes.to_vec() } else { Vec::new() };
        (0..self.size()).map(|rank| self.broadcast(rank, own(rank))).collect()
    }

    /// Ends all ranks at once with this status, where they are processes.
    fn end(&self, _status: i32) {}

    /// Whether this rank writes files.
    fn leads(&self) -> bool {
        self.rank() == 0
    }
}

/// The only rank.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_f32(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn sum_f64(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: usize, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(bytes)
    }
}

/// The results of all ranks count as one: where one failed, all fail. The first that did keeps its error, the others get
/// [`Error::Elsewhere`], so that one of them tells what happened.
///
/// # Errors
/// This rank's error, or another's.
pub fn agree<T, E: Display + From<Error>>(world: &dyn World, result: Result<T, E>) -> Result<T, E> {
    if world.size() == 1 {
        return result;
    }
    let mut failed = [f64::from(u8::from(result.is_err()))];
    world.sum_f64(&mut failed)?;
    if failed[0] == 0.0 {
        return result;
    }
    let told = |error: &E| format!("!{error:#}");
    let reasons = world.gather(result.as_ref().err().map_or(String::new(), told).as_bytes())?;
    let first = reasons.iter().position(|reason| !reason.is_empty()).unwrap_or(0);
    match result {
        Err(error) if first == world.rank() => Err(error),
        _ => {
            let reason = String::from_utf8_lossy(reasons[first].get(1..).unwrap_or_default()).into_owned();
            Err(Error::Elsewhere { rank: first, reason }.into())
        }
    }
}

/// What the first rank makes, at every rank.
///
/// # Errors
/// The first rank's error at all of them.
pub fn from_first<E: Display + From<Error>>(
    world: &dyn World,
    make: impl FnOnce() -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let made = if world.leads() { make() } else { Ok(Vec::new()) };
    Ok(world.broadcast(0, agree(world, made)?)?)
}

/// Whether it is so on any rank.
///
/// # Errors
/// Another rank is gone.
pub fn any(world: &dyn World, here: bool) -> Result<bool> {
    let mut sum = [f64::from(u8::from(here))];
    world.sum_f64(&mut sum)?;
    Ok(sum[0] > 0.0)
}

/// Fails on all ranks unless all of them hold the same bytes; `what` says of what.
///
/// # Errors
/// [`Error::Apart`].
pub fn same(world: &dyn World, what: &'static str, bytes: &[u8]) -> Result<()> {
    let all = world.gather(bytes)?;
    // Everybody compares the same list, so that everybody comes to the same result.
    if all.iter().all(|other| *other == all[0]) { Ok(()) } else { Err(Error::Apart { what }) }
}

/// The share of rank `rank` of `size`: every `size`-th, beginning with its own number.
pub fn share<T>(all: impl IntoIterator<Item = T>, rank: usize, size: usize) -> impl Iterator<Item = T> {
    all.into_iter().skip(rank).step_by(size)
}

/// Adds up tensors over all ranks, in place. Small ones travel together: an exchange costs more than its first kilobytes.
///
/// # Errors
/// Another rank is gone.
pub fn sum_tensors<'a>(world: &dyn World, tensors: impl Iterator<Item = &'a mut [f32]>) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let mut waiting: Vec<&mut [f32]> = Vec::new();
    let mut values = Vec::with_capacity(TOGETHER);
    for tensor in tensors {
        if tensor.len() >= TOGETHER {
            world.sum_f32(tensor)?;
            continue;
        }
        if values.len() + tensor.len() > TOGETHER {
            sum_waiting(world, &mut waiting, &mut values)?;
        }
        values.extend_from_slice(tensor);
        waiting.push(tensor);
    }
    sum_waiting(world, &mut waiting, &mut values)
}

/// Adds up `values`, puts them back where they came from, and empties both.
fn sum_waiting(world: &dyn World, waiting: &mut Vec<&mut [f32]>, values: &mut Vec<f32>) -> Result<()> {
    world.sum_f32(values)?;
    let mut rest = values.as_slice();
    for tensor in waiting.drain(..) {
        let (own, others) = rest.split_at(tensor.len());
        tensor.copy_from_slice(own);
        rest = others;
    }
    values.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::threads::together;
    use super::*;

    #[test]
    fn sums_and_bytes_are_the_same_at_every_rank() {
        let results = together(3, |world| {
            let rank = world.rank();
            let mut single = [rank as f32 + 0.5, 1e-8];
            let mut double = [rank as f64];
            world.sum_f32(&mut single).unwrap();
            world.sum_f64(&mut double).unwrap();
            let told = world.broadcast(1, vec![rank as u8; rank]).unwrap();
            let all = world.gather(&vec![rank as u8; rank]).unwrap();
            (single.map(f32::to_bits), double, told, all)
        });
        let expected = ([4.5, 3e-8].map(f32::to_bits), [3.0], vec![1], vec![vec![], vec![1], vec![2, 2]]);
        assert_eq!(results, vec![expected.clone(), expected.clone(), expected]);
    }

    #[test]
    fn small_and_large_tensors_come_back_summed_to_their_places() {
        let lengths = [3, TOGETHER + 1, 0, TOGETHER - 2, 5, 7];
        let results = together(2, |world| {
            let value = |tensor: usize, at: usize| (tensor * 10 + at % 7 + world.rank()) as f32;
            let tensor = |(number, length): (usize, &usize)| (0..*length).map(|at| value(number, at)).collect();
            let mut tensors: Vec<Vec<f32>> = lengths.iter().enumerate().map(tensor).collect();
            sum_tensors(&world, tensors.iter_mut().map(Vec::as_mut_slice)).unwrap();
            tensors
        });
        for tensors in results {
            for (number, tensor) in tensors.iter().enumerate() {
                let right = |(at, sum): (usize, &f32)| *sum == (number * 20 + at % 7 * 2 + 1) as f32;
                assert!(tensor.len() == lengths[number] && tensor.iter().enumerate().all(right), "tensor {number}");
            }
        }
    }

    #[test]
    fn one_ranks_failure_is_everybodys_and_the_first_tells_it() {
        let results = together(3, |world| {
            let own = if world.rank() == 0 { Ok(()) } else { Err(Error::Nothing("x")) };
            agree(&world, own).unwrap_err()
        });
        assert!(matches!(&results[0], Error::Elsewhere { rank: 1, reason } if reason.starts_with("nothing is")));
        assert!(matches!(results[1], Error::Nothing(_)));
        assert!(matches!(results[2], Error::Elsewhere { rank: 1, .. }));
    }

    #[test]
    fn what_differs_at_one_rank_is_noticed_by_all() {
        let alike = together(3, |world| same(&world, "recipe", b"a").is_ok());
        assert_eq!(alike, [true; 3]);
        let apart = together(3, |world| same(&world, "recipe", &[u8::from(world.rank() == 2)]).is_err());
        assert_eq!(apart, [true; 3]);
    }

    #[test]
    fn a_rank_that_leaves_is_an_error_for_those_who_wait() {
        let results = together(2, |world| world.rank() == 1 || world.sum_f32(&mut [1.0]).is_err());
        assert_eq!(results, [true, true]);
    }

    #[test]
    fn shares_are_everything_once() {
        let shares: Vec<Vec<i32>> = (0..3).map(|rank| share(0..8, rank, 3).collect()).collect();
        assert_eq!(shares, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    }
}
