//! Ranks as processes that `mpirun`, Slurm or Kubernetes' MPI operator start (MPI 3.1, by the system's OpenMPI).

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Equivalence, Root};

use super::World;
use crate::error::{Error, Result};

/// Elements of one message: counts are 32-bit integers, and a reduction needs a buffer of the same size.
const CHUNK: usize = 1 << 22;
/// Status of a process that ends the others because it panicked, as Rust's own.
const PANICKED: i32 = 101;

/// One rank among processes. Only the thread that made it exchanges.
pub struct Mpi {
    /// Ends MPI when it is dropped.
    _universe: Universe,
    world: SimpleCommunicator,
}

impl Mpi {
    /// Meets the other processes; once in a process.
    ///
    /// # Errors
    /// It was done before, or the library cannot be used beside threads.
    pub fn start() -> Result<Self> {
        let (universe, threading) = ::mpi::initialize_with_threading(Threading::Funneled)
            .ok_or(Error::Mpi("it was started before in this process"))?;
        if threading < Threading::Funneled {
            return Err(Error::Mpi("this MPI library was built without support for threads"));
        }
        Ok(Self { world: universe.world(), _universe: universe })
    }

    fn sum<T: Equivalence + Copy + Default>(&self, values: &mut [T]) {
        let mut sums = vec![T::default(); values.len().min(CHUNK)];
        for part in values.chunks_mut(CHUNK) {
            let sums = &mut sums[..part.len()];
            self.world.all_reduce_into(&*part, sums, SystemOperation::sum());
            part.copy_from_slice(sums);
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The others wait for this one, and a farewell would wait for them.
        if std::thread::panicking() {
            self.world.abort(PANICKED);
        }
    }
}

impl World for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        self.sum(values);
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        self.sum(values);
        Ok(())
    }

    fn broadcast(&self, from: usize, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let root = self.world.process_at_rank(from as i32);
        let mut length = [bytes.len() as u64];
        root.broadcast_into(&mut length[..]);
        bytes.resize(length[0] as usize, 0);
        bytes.chunks_mut(CHUNK).for_each(|part| root.broadcast_into(part));
        Ok(bytes)
    }

    fn end(&self, status: i32) {
        if self.size() > 1 {
            self.world.abort(status);
        }
    }
}
