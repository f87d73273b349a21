//! How often to try again, and when: exponential backoff with jitter, and whatever the server asks for.

use std::time::{Duration, SystemTime};

use crate::clock::Chance;
use crate::error::{Error, RetryAfter, Trouble};

/// What arrived may be other than promised so often before that is the error.
const MAX_WRONG: u32 = 3;
/// An attempt that brought so many bytes was worth it: the count begins again.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts for one file that bring nothing; at least 1.
    pub attempts: u32,
    /// The wait after the first failure; doubled after each further one.
    pub first_wait: Duration,
    /// No wait is longer, though a server ask for it.
    pub max_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_secs(1), max_wait: Duration::from_secs(300) }
    }
}

/// The attempts for one file.
#[derive(Debug)]
pub(crate) struct Attempts {
    patience: Patience,
    /// How many failed since the last progress.
    failed: u32,
    all: u32,
    wrong: u32,
}

impl Attempts {
    /// None yet.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, failed: 0, all: 0, wrong: 0 }
    }

    /// How long to wait after `trouble` in an attempt for `url` that brought `gained_bytes`; an error where it was the
    /// last one.
    pub(crate) fn after(
        &mut self,
        trouble: Trouble,
        url: &str,
        gained_bytes: u64,
        now: SystemTime,
        chance: &mut Chance,
    ) -> Result<Duration, Error> {
        self.all += 1;
        let (detail, asked) = match trouble {
            Trouble::Fatal(error) => return Err(error),
            Trouble::Again { detail, after } => {
                self.failed = if gained_bytes >= PROGRESS_BYTES { 1 } else { self.failed + 1 };
                (detail, after)
            }
            Trouble::Wrong(detail) => {
                self.failed += 1;
                self.wrong += 1;
                (detail, None)
            }
        };
        if self.failed >= self.patience.attempts.max(1) || self.wrong >= MAX_WRONG {
            let hint = match self.wrong {
                0 => "check the network, try again later (it goes on where it stopped), or use --mirror",
                _ => "the server or something before it sends broken files; try again later, or use --mirror",
            };
            return Err(Error::GaveUp { url: url.into(), attempts: self.all, detail, hint });
        }
        let asked = match asked {
            None => Duration::ZERO,
            Some(RetryAfter::Seconds(seconds)) => Duration::from_secs(seconds),
            Some(RetryAfter::At(time)) => time.duration_since(now).unwrap_or_default(),
        };
        Ok(self.own_wait(chance).max(asked).min(self.patience.max_wait))
    }

    fn own_wait(&self, chance: &mut Chance) -> Duration {
        // Between half and the whole of it, so that many clients do not come back together.
        let factor = 2f64.powi(self.failed.min(30) as i32 - 1) * (0.5 + chance.next() / 2.0);
        let seconds = self.patience.first_wait.as_secs_f64() * factor;
        Duration::from_secs_f64(seconds.min(self.patience.max_wait.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn waits(troubles: Vec<(Trouble, u64)>) -> Result<Vec<f64>, Error> {
        let mut attempts = Attempts::new(Patience::default());
        let mut chance = Chance::new(1);
        let wait =
            |(trouble, gained)| attempts.after(trouble, "u", gained, NOW, &mut chance).map(|wait| wait.as_secs_f64());
        troubles.into_iter().map(wait).collect()
    }

    fn again(after_s: Option<u64>) -> Trouble {
        Trouble::Again { detail: "d".into(), after: after_s.map(RetryAfter::Seconds) }
    }

    #[test]
    fn waits_double_with_jitter_and_the_sixth_failure_is_the_error() {
        let five: Vec<_> = (0..5).map(|_| (again(None), 0)).collect();
        for (i, wait) in waits(five).unwrap().into_iter().enumerate() {
            let whole = 2f64.powi(i as i32);
            assert!((whole / 2.0..=whole).contains(&wait), "{i}: {wait}");
        }
        let message = waits((0..6).map(|_| (again(None), 0)).collect()).unwrap_err().to_string();
        assert!(message.contains("`u` could not be fetched in 6 attempts; the last one: d\nhint: "), "{message}");
    }

    #[test]
    fn a_server_is_given_the_time_it_asks_for_up_to_a_cap() {
        assert_eq!(waits(vec![(again(Some(120)), 0), (again(Some(86_400)), 0)]).unwrap(), [120.0, 300.0]);
        let at = |seconds| RetryAfter::At(NOW + Duration::from_secs(seconds));
        let dated = |seconds| (Trouble::Again { detail: "d".into(), after: Some(at(seconds)) }, 0);
        assert_eq!(waits(vec![dated(90), dated(86_400)]).unwrap(), [90.0, 300.0]);
        let past = RetryAfter::At(NOW - Duration::from_secs(90));
        assert!(waits(vec![(Trouble::Again { detail: "d".into(), after: Some(past) }, 0)]).unwrap()[0] <= 1.0);
    }

    #[test]
    fn attempts_that_bring_something_do_not_count_but_broken_files_do() {
        assert_eq!(waits((0..50).map(|_| (again(None), 2 << 20)).collect()).unwrap().len(), 50);
        let wrong = || (Trouble::Wrong("w".into()), 9 << 20);
        assert!(waits(vec![wrong(), wrong()]).is_ok());
        let message = waits(vec![wrong(), wrong(), wrong()]).unwrap_err().to_string();
        assert!(message.contains("3 attempts") && message.contains("broken files"), "{message}");
    }
}
