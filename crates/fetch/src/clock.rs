//! Time and chance, handed in, so that tests wait for nothing and draw the same.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};

/// Sleeps are cut into pieces of this length, to hear a request to stop.
const SLICE: Duration = Duration::from_millis(200);

/// What tells the time and lets it pass.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Comes back after `duration`.
    fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Sleeps until `duration` is over; an error where it is asked to stop meanwhile.
pub(crate) fn sleep(clock: &dyn Clock, duration: Duration, stopped: &dyn Fn() -> bool) -> Result<()> {
    let mut left = duration;
    while !left.is_zero() {
        if stopped() {
            return Err(Error::Stopped);
        }
        let slice = left.min(SLICE);
        clock.sleep(slice);
        left -= slice;
    }
    Ok(())
}

/// At most so many requests in so long a time, as servers ask for it.
#[derive(Debug)]
pub(crate) struct Pace {
    requests: usize,
    window: Duration,
    /// The last requests, oldest first.
    times: std::collections::VecDeque<Timestamp>,
}

impl Pace {
    /// `requests` in `window`.
    pub(crate) fn new(requests: usize, window: Duration) -> Self {
        Self { requests, window, times: std::collections::VecDeque::new() }
    }

    /// How long to wait before a request that would be made at `now`; never more than the window, whatever the clock did.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        match self.times.front() {
            Some(first) if self.times.len() >= self.requests => {
                let passed_ms = now.as_millisecond().saturating_sub(first.as_millisecond()).max(0);
                self.window.saturating_sub(Duration::from_millis(passed_ms.unsigned_abs()))
            }
            _ => Duration::ZERO,
        }
    }

    /// A request was made at `now`.
    pub(crate) fn made(&mut self, now: Timestamp) {
        self.times.push_back(now);
        while self.times.len() > self.requests {
            self.times.pop_front();
        }
    }
}

/// Numbers for the spread of waiting times: splitmix64 (Steele, Lea and Flood, 2014). Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, in 0..1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_sixth_request_waits_for_the_first_to_be_half_a_minute_old() {
        let mut pace = Pace::new(5, Duration::from_secs(30));
        for second in 0..5 {
            assert_eq!(pace.wait(at(second)), Duration::ZERO);
            pace.made(at(second));
        }
        assert_eq!(pace.wait(at(5)), Duration::from_secs(25));
        assert_eq!(pace.wait(at(30)), Duration::ZERO);
        // A clock that was set back does not make it wait for hours.
        assert_eq!(pace.wait(at(-9999)), Duration::from_secs(30));
    }

    #[test]
    fn a_seed_fixes_the_numbers_and_they_lie_between_zero_and_one() {
        let draw = |seed| (0..100).scan(Chance::new(seed), |chance, _| Some(chance.next())).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|x| (0.0..1.0).contains(x)));
    }

    #[test]
    fn a_sleep_ends_early_when_asked_to_stop() {
        struct Counting(std::cell::Cell<u32>);
        impl Clock for Counting {
            fn now(&self) -> Timestamp {
                at(0)
            }
            fn sleep(&self, _: Duration) {
                self.0.set(self.0.get() + 1);
            }
        }
        let clock = Counting(std::cell::Cell::new(0));
        let result = sleep(&clock, Duration::from_secs(60), &|| clock.0.get() == 3);
        assert!(matches!(result, Err(Error::Stopped)));
        assert_eq!(clock.0.get(), 3);
    }
}
