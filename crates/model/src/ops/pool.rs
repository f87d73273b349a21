//! A few threads that wait awake: a step of training shares some thousand pieces of work, a token some hundred.
//!
//! Waking a sleeping thread for each costs 50 to 100 µs, more than many of them take: it left the processors idle for a tenth of
//! a training step. These threads spin for a moment after a job and sleep only when none follows. Tasks are claimed one by one,
//! so that on a busy machine the caller does alone what a helper is late for. Which thread computes a task changes no bit.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Looks at the job's word before a helper sleeps: some 200 µs.
const SPINS: usize = 10_000;
/// Looks before a waiting caller offers its processor to others.
const SPINS_BEFORE_YIELD: usize = 1000;
/// More tasks than this are never published at once.
const MAX_TASKS: usize = 1 << 20;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// One published job: how many tasks it has, how many were claimed, how many are done.
struct Shared {
    /// `tasks << 32 | claimed`; a claim is a successful exchange, so it always belongs to the job of the moment.
    word: AtomicU64,
    done: AtomicUsize,
    /// Points to a `Task` on the stack of the caller, who does not leave before `done` equals the number of tasks.
    job: AtomicPtr<()>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Shared {
    /// Claims one task of the current job and runs it; `false` when all are claimed.
    fn step(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let (tasks, claimed) = (word >> 32, word & 0xffff_ffff);
        if claimed >= tasks {
            return false;
        }
        if self.word.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true;
        }
        let job = self.job.load(Ordering::Acquire).cast::<Task<'static>>();
        // SAFETY: a task of the current job is claimed and not done, so its caller still waits in `run` and keeps the job alive.
        let task = unsafe { *job };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(claimed as usize))) {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        self.done.fetch_add(1, Ordering::AcqRel);
        true
    }

    fn helper(&self) {
        loop {
            let mut idle = 0;
            while idle < SPINS {
                idle = if self.step() { 0 } else { idle + 1 };
                std::hint::spin_loop();
            }
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.sleeping.fetch_add(1, Ordering::SeqCst);
            let word = self.word.load(Ordering::SeqCst);
            if word & 0xffff_ffff >= word >> 32 {
                drop(self.wake.wait(guard));
            }
            self.sleeping.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

static BUSY: Mutex<()> = Mutex::new(());

fn shared() -> (&'static Shared, usize) {
    static POOL: OnceLock<(&'static Shared, usize)> = OnceLock::new();
    *POOL.get_or_init(|| {
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            word: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            panic: Mutex::new(None),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }));
        let wanted = rayon::current_num_threads();
        let spawn =
            |i: &usize| std::thread::Builder::new().name(format!("helper-{i}")).spawn(move || shared.helper()).is_ok();
        // Where no thread can be had, the caller does the work.
        let helpers = (1..wanted).take_while(spawn).count();
        (shared, helpers + 1)
    })
}

/// Threads that a job of this caller is shared by, the caller among them: one inside a rayon worker, as `run` says.
pub fn threads() -> usize {
    if rayon::current_thread_index().is_some() { 1 } else { shared().1 }
}

/// Calls `work(i, chunk)` for every chunk of `size` elements (the last may be shorter), on several threads.
pub fn chunks_mut<T: Send>(x: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let (len, size) = (x.len(), size.max(1));
    let parts = Parts::new(x);
    run(len.div_ceil(size), &|i| {
        // SAFETY: `x` is borrowed until `run` returns, and every task has a chunk of its own.
        work(i, unsafe { parts.part(i * size, size.min(len - i * size)) });
    });
}

/// The same over two buffers of one length.
pub fn chunks_mut_2<T: Send>(x: &mut [T], y: &mut [T], size: usize, work: impl Fn(usize, &mut [T], &mut [T]) + Sync) {
    assert_eq!(x.len(), y.len(), "buffers that are cut alike have one length");
    let parts = Parts::new(y);
    chunks_mut(x, size, |i, x| {
        // SAFETY: `y` is borrowed until all tasks are done, and every task has a chunk of its own.
        work(i, x, unsafe { parts.part(i * size, x.len()) });
    });
}

/// `work(i, item)` for every item, on several threads; the results in the items' order.
pub fn map<I: Send, O: Send>(items: Vec<I>, work: impl Fn(usize, I) -> O + Sync) -> Vec<O> {
    enum Slot<I, O> {
        Todo(I),
        Done(O),
        Taken,
    }
    let mut slots: Vec<_> = items.into_iter().map(Slot::Todo).collect();
    chunks_mut(&mut slots, 1, |i, slot| {
        if let Slot::Todo(item) = std::mem::replace(&mut slot[0], Slot::Taken) {
            slot[0] = Slot::Done(work(i, item));
        }
    });
    let done = |slot| if let Slot::Done(output) = slot { Some(output) } else { None };
    slots.into_iter().filter_map(done).collect()
}

/// Calls `task(0)` to `task(tasks - 1)`, on several threads when they are free. Returns when all are done.
///
/// Inside a rayon worker, or while another thread uses the helpers, the caller does all of it: those who run many sequences at
/// once have their threads already.
///
/// # Panics
/// When a task does.
pub fn run(tasks: usize, task: Task<'_>) {
    let alone = tasks <= 1 || tasks > MAX_TASKS || rayon::current_thread_index().is_some();
    let guard = if alone { None } else { BUSY.try_lock().ok() };
    let (Some(_guard), (shared, 2..)) = (guard, shared()) else { return (0..tasks).for_each(task) };
    shared.done.store(0, Ordering::Relaxed);
    shared.job.store((&raw const task).cast_mut().cast(), Ordering::Release);
    shared.word.store((tasks as u64) << 32, Ordering::SeqCst);
    if shared.sleeping.load(Ordering::SeqCst) > 0 {
        drop(shared.lock.lock());
        shared.wake.notify_all();
    }
    while shared.step() {}
    let mut looks = 0;
    while shared.done.load(Ordering::Acquire) < tasks {
        looks += 1;
        if looks % SPINS_BEFORE_YIELD == 0 {
            std::thread::yield_now();
        }
        std::hint::spin_loop();
    }
    let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// A pointer into a buffer of which every task writes its own part.
pub(crate) struct Parts<T>(*mut T, usize);

// SAFETY: tasks take disjoint parts only, as `part` asks.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    /// Over the whole of `buffer`, which must outlive the job.
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr(), buffer.len())
    }

    /// The elements from `start` on, `len` of them.
    ///
    /// # Safety
    /// The buffer is still borrowed, and no other live part overlaps this one.
    #[expect(clippy::mut_from_ref, reason = "each task has a part of its own, which the caller vouches for")]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.1), "a part reaches past its buffer");
        // SAFETY: within the buffer, and disjoint from other parts by the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_in_many_short_jobs() {
        for tasks in (0..3000).map(|i| i % 17) {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            run(tasks, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn jobs_of_several_callers_do_not_mix() {
        std::thread::scope(|scope| {
            for caller in 0..4 {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let sum = AtomicUsize::new(0);
                        run(10, &|i| {
                            sum.fetch_add(i + caller, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 45 + 10 * caller);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_next_job_runs() {
        let caught = catch_unwind(|| run(8, &|i| assert_ne!(i, 5)));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        run(8, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 28);
    }
}
