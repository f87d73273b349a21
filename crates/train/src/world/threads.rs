//! Ranks as threads of one process: what tests hold several processes against.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::World;
use crate::error::{Error, Result};

/// One rank among threads.
pub struct Threads {
    rank: usize,
    room: Arc<Room>,
}

/// Where all of them meet.
struct Room {
    size: usize,
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    round: u64,
    /// What was handed over in this round, by rank.
    given: Vec<Option<Vec<u8>>>,
    /// What was handed over in the last round.
    taken: Arc<Vec<Vec<u8>>>,
    /// Who left.
    gone: Option<usize>,
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` as `size` ranks, each on a thread, and returns what each came to.
///
/// # Panics
/// Where one of them panics.
pub fn together<T: Send>(size: usize, work: impl Fn(Threads) -> T + Sync) -> Vec<T> {
    let state = Mutex::new(State { given: vec![None; size], ..State::default() });
    let room = Arc::new(Room { size, state, turn: Condvar::new() });
    std::thread::scope(|scope| {
        let rank = |rank| Threads { rank, room: Arc::clone(&room) };
        let work = &work;
        let threads: Vec<_> = (0..size).map(rank).map(|rank| scope.spawn(move || work(rank))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

impl Threads {
    /// Hands `bytes` over and waits for everybody's.
    fn exchange(&self, bytes: Vec<u8>) -> Result<Arc<Vec<Vec<u8>>>> {
        let mut state = self.room.state();
        let round = state.round;
        state.given[self.rank] = Some(bytes);
        if state.given.iter().all(Option::is_some) {
            state.taken = Arc::new(state.given.iter_mut().filter_map(Option::take).collect());
            state.round += 1;
            self.room.turn.notify_all();
        }
        while state.round == round {
            if let Some(rank) = state.gone {
                return Err(Error::Elsewhere { rank, reason: "it ended".to_owned() });
            }
            state = self.room.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Arc::clone(&state.taken))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.room.state().gone.get_or_insert(self.rank);
        self.room.turn.notify_all();
    }
}

impl World for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.room.size
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        let all = self.exchange(values.iter().flat_map(|value| value.to_le_bytes()).collect())?;
        values.fill(0.0);
        for bytes in all.iter() {
            let (numbers, _) = bytes.as_chunks();
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value += f32::from_le_bytes(*number));
        }
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let all = self.exchange(values.iter().flat_map(|value| value.to_le_bytes()).collect())?;
        values.fill(0.0);
        for bytes in all.iter() {
            let (numbers, _) = bytes.as_chunks();
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value += f64::from_le_bytes(*number));
        }
        Ok(())
    }

    fn broadcast(&self, from: usize, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.exchange(bytes)?[from].clone())
    }
}
