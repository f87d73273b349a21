//! How threads share a product without waiting for each other at its end.
//!
//! Work comes in pieces (a panel of B), each with a preparation (copying the panel) and then a few steps in order, whose parts
//! (rows of A) may run at once. Every thread takes a piece of its own; one that finds none left helps the others with their
//! parts. So nothing is prepared twice, and threads end within one part of each other. Which thread computes a part changes no
//! bit.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::pool;

/// How often a waiting thread looks before it offers its processor to others.
const LOOKS_BEFORE_YIELD: usize = 1000;

/// The work: `pieces` times `steps` times `parts`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub pieces: usize,
    pub steps: usize,
    pub parts: usize,
}

/// Where one part of the work stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub piece: usize,
    pub step: usize,
    pub part: usize,
}

/// Runs `compute(part, prepared)` for every part of every step of every piece on all threads. `prepare(piece, step)` runs once
/// before the step's parts, on a thread that prepares nothing else before they are done.
pub(super) fn share<T: Send + Sync>(
    plan: Plan,
    prepare: impl Fn(usize, usize) -> T + Sync,
    compute: impl Fn(Part, &T) + Sync,
) {
    let threads = pool::threads().min(plan.pieces * plan.parts).max(1);
    let board = Board {
        plan,
        next: AtomicUsize::new(0),
        working: AtomicUsize::new(0),
        slots: (0..threads).map(|_| Slot::new(plan.parts)).collect(),
        prepare,
        compute,
    };
    pool::run(threads, &|me| board.work(me));
}

struct Board<T, P, C> {
    plan: Plan,
    next: AtomicUsize,
    /// Threads that may still open a step.
    working: AtomicUsize,
    slots: Vec<Slot<T>>,
    prepare: P,
    compute: C,
}

/// A step that is open to all.
struct Open<T> {
    piece: usize,
    step: usize,
    prepared: T,
}

#[repr(align(128))]
struct Slot<T> {
    /// `generation << 32 | parts claimed`; a claim is a successful exchange, so it belongs to the step that is open.
    word: AtomicU64,
    done: AtomicUsize,
    open: UnsafeCell<MaybeUninit<Open<T>>>,
}

// SAFETY: `open` is written by the slot's owner only while all parts of the step before are done and none can be claimed, and
// read by threads that hold a claim on a part that is not done; `word` orders the two.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// Counts one up now, or when it is dropped (in a panic too, so that nobody waits for ever).
struct Count<'a>(&'a AtomicUsize, usize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::AcqRel);
    }
}

impl<T> Slot<T> {
    fn new(parts: usize) -> Self {
        Self {
            word: AtomicU64::new(parts as u64),
            done: AtomicUsize::new(parts),
            open: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    fn claim(&self, parts: usize) -> Option<usize> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let claimed = (word & 0xffff_ffff) as usize;
            if claimed >= parts {
                return None;
            }
            match self.word.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(claimed),
                Err(now) => word = now,
            }
        }
    }
}

fn wait(until: impl Fn() -> bool) {
    let mut looks = 0;
    while !until() {
        looks += 1;
        if looks % LOOKS_BEFORE_YIELD == 0 {
            std::thread::yield_now();
        }
        std::hint::spin_loop();
    }
}

impl<T: Send + Sync, P: Fn(usize, usize) -> T, C: Fn(Part, &T)> Board<T, P, C> {
    fn work(&self, me: usize) {
        let slot = &self.slots[me];
        self.working.fetch_add(1, Ordering::AcqRel);
        let working = Count(&self.working, usize::MAX);
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= self.plan.pieces {
                break;
            }
            for step in 0..self.plan.steps {
                let prepared = (self.prepare)(piece, step);
                // SAFETY: all parts of the step before are done and none can be claimed, so nobody reads the slot.
                unsafe { (*slot.open.get()).write(Open { piece, step, prepared }) };
                slot.done.store(0, Ordering::Relaxed);
                let generation = (slot.word.load(Ordering::Relaxed) >> 32) + 1;
                slot.word.store(generation << 32, Ordering::Release);
                while self.help(slot) {}
                wait(|| slot.done.load(Ordering::Acquire) >= self.plan.parts);
                // SAFETY: written above, and nobody reads it any more.
                unsafe { (*slot.open.get()).assume_init_drop() };
            }
        }
        drop(working);
        wait(|| {
            let helped = self.slots.iter().filter(|slot| self.help(slot)).count();
            helped == 0 && self.working.load(Ordering::Acquire) == 0
        });
    }

    /// Computes one part of the step that is open in a slot; `false` when there is none.
    fn help(&self, slot: &Slot<T>) -> bool {
        let Some(part) = slot.claim(self.plan.parts) else { return false };
        let _done = Count(&slot.done, 1);
        // SAFETY: a part of this step is claimed and not done, so the owner keeps what it wrote.
        let Open { piece, step, prepared } = unsafe { (*slot.open.get()).assume_init_ref() };
        (self.compute)(Part { piece: *piece, step: *step, part }, prepared);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn every_part_runs_once_after_its_preparation_and_steps_keep_their_order() {
        for (pieces, steps, parts) in [(1, 1, 1), (1, 3, 7), (5, 1, 4), (18, 2, 11), (3, 4, 1)] {
            for _ in 0..200 {
                let counts: Vec<AtomicUsize> = (0..pieces * steps * parts).map(|_| AtomicUsize::new(0)).collect();
                let reached: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                share(
                    Plan { pieces, steps, parts },
                    |piece, step| {
                        assert_eq!(reached[piece].load(Ordering::SeqCst), step * parts, "the step before is done");
                        (piece, step)
                    },
                    |part, prepared| {
                        assert_eq!(*prepared, (part.piece, part.step));
                        counts[(part.piece * steps + part.step) * parts + part.part].fetch_add(1, Ordering::SeqCst);
                        reached[part.piece].fetch_add(1, Ordering::SeqCst);
                    },
                );
                assert!(counts.iter().all(|c| c.load(Ordering::SeqCst) == 1));
            }
        }
    }

    #[test]
    fn a_panic_in_any_thread_reaches_the_caller_and_nobody_waits_for_ever() {
        for failing in 0..12 {
            let plan = Plan { pieces: 3, steps: 1, parts: 4 };
            let run = || share(plan, |piece, _| piece, |part, _| assert_ne!(part.piece * 4 + part.part, failing));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
    }
}
