//! A study: every trial of a search in one SQLite file, which any number of processes work on at the same time.
//!
//! Whoever is free claims a job in one immediate transaction, so that no two get the same. While it runs, its owner beats
//! now and then; a job whose owner has fallen silent is given to the next who asks, and goes on from its own checkpoint.
//! The clock is the database's. Write-ahead logging needs a local disk, or a file system with shared memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::asha::{self, Rung};
use super::sampler::Sampler;
use super::space::{Point, Space};
use super::tpe::{Observation, STARTUP_TRIALS};
use crate::error::{Error, Result};

/// Version of the tables.
const FORMAT: i64 = 1;
/// How long a process waits for another one's transaction.
const BUSY: Duration = Duration::from_secs(30);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS study (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    format INTEGER NOT NULL,
    fingerprint TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS trial (
    number INTEGER PRIMARY KEY,
    point TEXT NOT NULL,
    rung INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'resting')),
    owner TEXT,
    beat REAL
) STRICT;
CREATE TABLE IF NOT EXISTS result (
    trial INTEGER NOT NULL REFERENCES trial (number),
    rung INTEGER NOT NULL,
    step INTEGER NOT NULL,
    loss_nats REAL,
    elapsed_s REAL NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (trial, rung)
) STRICT;";

/// What is searched, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Identifies recipe and space; a study with another one is not gone on with.
    pub fingerprint: String,
    /// What can be chosen.
    pub space: Space,
    /// How points are chosen.
    pub sampler: Sampler,
    /// Fixes every draw.
    pub seed: u64,
    /// Trials in all.
    pub trials: u64,
    /// Optimiser steps at each rung, at least one; see [`asha::Halving::rungs`].
    pub rungs: Vec<u64>,
    /// One of so many goes on from a rung.
    pub factor: u64,
    /// A running trial whose owner was silent for so long is given to another.
    pub stale_after: Duration,
}

/// A trial to run up to a rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The trial, from 0.
    pub trial: u64,
    /// What was chosen.
    pub point: Point,
    /// The rung to reach, from 0.
    pub rung: usize,
    /// It was begun by another owner, who fell silent or stopped.
    pub taken_over: bool,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// This; it is the caller's until it reports, releases or falls silent.
    Job(Job),
    /// Nothing now; others' jobs may lead to more.
    Wait,
    /// Nothing any more.
    Finished,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Steps made.
    pub step: u64,
    /// The lowest validation loss so far, nats; `None` where it diverged.
    pub loss_nats: Option<f64>,
    /// Seconds of training so far.
    pub elapsed_s: f64,
    /// What there is to say, such as why it diverged.
    pub note: String,
}

/// A trial with its results.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// From 0.
    pub number: u64,
    /// What was chosen.
    pub point: Point,
    /// The rung it runs to or rests at.
    pub rung: usize,
    /// Whether somebody runs it.
    pub running: bool,
    /// One a rung that was reached, with the rung.
    pub results: Vec<(usize, Report)>,
}

impl Trial {
    /// The result at the highest rung.
    #[must_use]
    pub fn last(&self) -> Option<&Report> {
        self.results.last().map(|(_, report)| report)
    }

    /// The loss at a rung, if it was reached; infinite where it diverged.
    #[must_use]
    pub fn loss_at(&self, rung: usize) -> Option<f64> {
        let (_, report) = self.results.iter().find(|(at, _)| *at == rung)?;
        Some(report.loss_nats.unwrap_or(f64::INFINITY))
    }
}

/// The file.
pub struct Study {
    path: PathBuf,
    connection: Connection,
}

/// Turns on the write-ahead log. SQLite does not wait for a process that is doing the same, whatever its time-out says.
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

impl Study {
    /// Opens the study, or begins it.
    ///
    /// # Errors
    /// The file is no study, is one of another recipe or version, or cannot be opened.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Self> {
        let mut study = Self::connect(path)?;
        let begun = study.write(|transaction| {
            transaction.execute_batch(TABLES)?;
            let insert = "INSERT OR IGNORE INTO study (only, format, fingerprint) VALUES (1, ?1, ?2)";
            transaction.execute(insert, params![FORMAT, fingerprint])?;
            transaction.query_row("SELECT format, fingerprint FROM study", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
        })?;
        let refuse = |reason: &str| Err(Error::Study { path: path.to_path_buf(), reason: reason.to_owned() });
        match begun {
            (format, _) if format != FORMAT => refuse("it comes from another version of this program"),
            (_, other) if other != fingerprint => refuse("it was begun with another recipe, space or dataset"),
            _ => Ok(study),
        }
    }

    /// One more connection to the study of `path`, which exists; for the thread that beats.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn connect(path: &Path) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            log_ahead(&connection)?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            Ok(connection)
        };
        let connection = open().map_err(|e| Error::sqlite(path, &e))?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next job for `owner`: what others left behind, else a promotion, else a new trial.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn claim(&mut self, plan: &Plan, owner: &str) -> Result<Claim> {
        self.claim_with(plan, owner, |_| ())
    }

    /// As [`Self::claim`]; `taken` hears of the job while no other process can claim or [`Self::abandon`].
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn claim_with(&mut self, plan: &Plan, owner: &str, taken: impl FnOnce(&Job)) -> Result<Claim> {
        self.write(|transaction| {
            let claim = claim(transaction, plan, owner)?;
            if let Claim::Job(job) = &claim {
                taken(job);
            }
            Ok(claim)
        })
    }

    /// Says that `owner` is still at it; false where the trial is no longer the owner's.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn beat(&mut self, trial: u64, owner: &str) -> Result<bool> {
        self.owned("UPDATE trial SET beat = unixepoch('subsec')", trial, owner)
    }

    /// Gives a trial back that was not finished: the next who asks goes on with it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn release(&mut self, trial: u64, owner: &str) -> Result<bool> {
        self.owned("UPDATE trial SET state = 'waiting', owner = NULL", trial, owner)
    }

    /// Takes running trials from owners that are `gone`: the next who asks goes on with them at once, and not only when the
    /// silence was long enough. `gone` is asked while no other process can claim.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn abandon(&mut self, gone: impl Fn(u64) -> bool) -> Result<()> {
        self.write(|transaction| {
            for trial in trials(transaction)?.iter().filter(|trial| trial.running && gone(trial.number)) {
                let update = "UPDATE trial SET state = 'waiting', owner = NULL WHERE number = ?1";
                transaction.execute(update, [trial.number as i64])?;
            }
            Ok(())
        })
    }

    fn owned(&mut self, update: &str, trial: u64, owner: &str) -> Result<bool> {
        let update = format!("{update} WHERE number = ?1 AND owner = ?2 AND state = 'running'");
        self.write(|transaction| Ok(transaction.execute(&update, params![trial as i64, owner])? == 1))
    }

    /// Writes down what a job came to; false where the trial is no longer the owner's, and nothing is written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn report(&mut self, job: &Job, owner: &str, report: &Report) -> Result<bool> {
        self.write(|transaction| {
            let update = "UPDATE trial SET state = 'resting', owner = NULL \
                          WHERE number = ?1 AND owner = ?2 AND state = 'running' AND rung = ?3";
            if transaction.execute(update, params![job.trial as i64, owner, job.rung as i64])? != 1 {
                return Ok(false);
            }
            let insert = "INSERT INTO result (trial, rung, step, loss_nats, elapsed_s, note) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (trial, rung, step) = (job.trial as i64, job.rung as i64, report.step as i64);
            transaction.execute(insert, params![trial, rung, step, report.loss_nats, report.elapsed_s, report.note])?;
            Ok(true)
        })
    }

    /// Every trial, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trials(&mut self) -> Result<Vec<Trial>> {
        self.write(trials)
    }

    /// Runs `work` while no other process can claim or report.
    ///
    /// # Errors
    /// The file cannot be locked.
    pub fn alone<T>(&mut self, work: impl FnOnce() -> T) -> Result<T> {
        self.write(|_| Ok(work()))
    }

    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run(&mut self.connection).map_err(|e| Error::sqlite(&self.path, &e))
    }
}

/// The next job for `owner`, see [`Study::claim`].
fn claim(transaction: &Transaction<'_>, plan: &Plan, owner: &str) -> rusqlite::Result<Claim> {
    if let Some(job) = left_behind(transaction, plan)? {
        return Ok(Claim::Job(take(transaction, job, owner)?));
    }
    let trials = trials(transaction)?;
    if let Some((trial, rung)) = asha::next(&rungs(&trials, plan.rungs.len()), plan.factor) {
        let point = trials.iter().find(|t| t.number == trial).map(|t| t.point.clone()).unwrap_or_default();
        let job = Job { trial, point, rung: rung + 1, taken_over: false };
        return Ok(Claim::Job(take(transaction, job, owner)?));
    }
    let begun = trials.len() as u64;
    if begun < plan.trials {
        let seen = observations(&trials, plan.rungs.len());
        let point = plan.sampler.propose(&plan.space, &seen, (plan.seed, begun));
        let text = serde_json::to_string(&point).expect("numbers");
        let insert = "INSERT INTO trial (number, point, rung, state) VALUES (?1, ?2, 0, 'waiting')";
        transaction.execute(insert, params![begun as i64, text])?;
        let job = Job { trial: begun, point, rung: 0, taken_over: false };
        return Ok(Claim::Job(take(transaction, job, owner)?));
    }
    Ok(if trials.iter().any(|trial| trial.running) { Claim::Wait } else { Claim::Finished })
}

/// A trial that was released, or whose owner fell silent.
fn left_behind(transaction: &Transaction<'_>, plan: &Plan) -> rusqlite::Result<Option<Job>> {
    let select = "SELECT number, point, rung FROM trial \
                  WHERE state = 'waiting' OR (state = 'running' AND beat < unixepoch('subsec') - ?1) \
                  ORDER BY rung DESC, number LIMIT 1";
    let job = |row: &rusqlite::Row<'_>| {
        let (trial, rung): (i64, i64) = (row.get(0)?, row.get(2)?);
        Ok(Job { trial: trial as u64, point: point(row, 1)?, rung: rung as usize, taken_over: true })
    };
    transaction.query_row(select, [plan.stale_after.as_secs_f64()], job).optional()
}

fn take(transaction: &Transaction<'_>, job: Job, owner: &str) -> rusqlite::Result<Job> {
    let update =
        "UPDATE trial SET state = 'running', owner = ?2, rung = ?3, beat = unixepoch('subsec') WHERE number = ?1";
    transaction.execute(update, params![job.trial as i64, owner, job.rung as i64])?;
    Ok(job)
}

fn point(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Point> {
    let text: String = row.get(column)?;
    let bad = |e: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
    };
    serde_json::from_str(&text).map_err(bad)
}

fn trials(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Trial>> {
    let mut select = transaction.prepare("SELECT number, point, rung, state FROM trial ORDER BY number")?;
    let trial = |row: &rusqlite::Row<'_>| {
        let (number, rung, state): (i64, i64, String) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let (number, rung, running) = (number as u64, rung as usize, state == "running");
        Ok(Trial { number, point: point(row, 1)?, rung, running, results: Vec::new() })
    };
    let mut trials: Vec<Trial> = select.query_map([], trial)?.collect::<rusqlite::Result<_>>()?;
    let all = "SELECT trial, rung, step, loss_nats, elapsed_s, note FROM result ORDER BY trial, rung";
    let mut select = transaction.prepare(all)?;
    let result = |row: &rusqlite::Row<'_>| {
        let (trial, rung, step): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let report = Report { step: step as u64, loss_nats: row.get(3)?, elapsed_s: row.get(4)?, note: row.get(5)? };
        Ok((trial as u64, rung as usize, report))
    };
    for result in select.query_map([], result)? {
        let (number, rung, report) = result?;
        if let Ok(place) = trials.binary_search_by_key(&number, |trial| trial.number) {
            trials[place].results.push((rung, report));
        }
    }
    Ok(trials)
}

/// What is known of each rung. A trial that runs to rung r was promoted from all rungs below r.
fn rungs(trials: &[Trial], count: usize) -> Vec<Rung> {
    let mut rungs = vec![Rung::default(); count];
    for trial in trials {
        for (at, rung) in rungs.iter_mut().enumerate() {
            rung.reached.extend(trial.loss_at(at).map(|loss| (trial.number, loss)));
            if trial.rung > at {
                rung.promoted.insert(trial.number);
            }
        }
    }
    rungs
}

/// What a sampler learns from: losses of the highest rung that enough trials reached, as BOHB does it (Falkner, Klein &
/// Hutter 2018), so that losses after different numbers of steps are never held against one another.
#[must_use]
pub fn observations(trials: &[Trial], rungs: usize) -> Vec<Observation<'_>> {
    let at_rung = |rung: usize| -> Vec<Observation<'_>> {
        trials.iter().filter_map(|trial| Some((&trial.point, trial.loss_at(rung)?))).collect()
    };
    let enough = (0..rungs).rev().map(at_rung).find(|seen| seen.len() >= STARTUP_TRIALS);
    enough.unwrap_or_else(|| at_rung(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Dimension;

    fn plan(trials: u64, rungs: &[u64]) -> Plan {
        Plan {
            fingerprint: "a".into(),
            space: Space { dimensions: vec![Dimension::Float { low: 0.0, high: 1.0, log: false }] },
            sampler: Sampler::Random,
            seed: 3,
            trials,
            rungs: rungs.to_vec(),
            factor: 2,
            stale_after: Duration::from_millis(80),
        }
    }

    fn report(loss: f64) -> Report {
        Report { step: 1, loss_nats: loss.is_finite().then_some(loss), elapsed_s: 0.5, note: String::new() }
    }

    fn job(claim: Claim) -> Job {
        let Claim::Job(job) = claim else { panic!("{claim:?}") };
        job
    }

    #[test]
    fn many_may_begin_one_study_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(format!("{round}.sqlite3"));
            let all: Vec<Result<()>> = std::thread::scope(|scope| {
                let one = || Study::open(&path, "a").map(|_| ());
                let threads: Vec<_> = (0..6).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(all.iter().all(Result::is_ok), "round {round}: {all:?}");
        }
    }

    #[test]
    fn trials_are_promoted_to_the_end_and_a_study_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.sqlite3");
        let plan = plan(4, &[1, 2]);
        let mut finished = Vec::new();
        loop {
            // A new connection each time: nothing is kept in memory.
            let mut study = Study::open(&path, "a").unwrap();
            let job = match study.claim(&plan, "me").unwrap() {
                Claim::Job(job) => job,
                Claim::Finished => break,
                Claim::Wait => panic!("nobody else is here"),
            };
            assert!(study.report(&job, "me", &report(job.point[0])).unwrap());
            finished.push((job.trial, job.rung));
        }
        let at = |rung| finished.iter().filter(|(_, at)| *at == rung).count();
        assert!(at(0) == 4 && (2..=3).contains(&at(1)), "{finished:?}");
        let trials = Study::open(&path, "a").unwrap().trials().unwrap();
        let mut losses: Vec<f64> = trials.iter().map(|trial| trial.point[0]).collect();
        losses.sort_by(f64::total_cmp);
        assert!(trials.iter().any(|trial| trial.rung == 1 && trial.point[0] == losses[0]), "the best went on");
        let error = Study::open(&path, "b").err().unwrap().to_string();
        assert!(error.contains("another recipe"), "{error}");
    }

    #[test]
    fn no_two_owners_get_one_trial_and_a_silent_one_loses_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.sqlite3");
        let plan = plan(2, &[9]);
        let (mut left, mut right) = (Study::open(&path, "a").unwrap(), Study::open(&path, "a").unwrap());
        let first = job(left.claim(&plan, "left").unwrap());
        let second = job(right.claim(&plan, "right").unwrap());
        assert_ne!(first.trial, second.trial);
        std::thread::sleep(Duration::from_millis(120));
        assert!(right.beat(second.trial, "right").unwrap());
        let again = job(right.claim(&plan, "third").unwrap());
        assert_eq!((again.trial, again.taken_over), (first.trial, true));
        assert_eq!(again.point, first.point);
        assert!(!left.beat(first.trial, "left").unwrap(), "the silent owner learns that it lost the trial");
        assert!(!left.report(&first, "left", &report(0.1)).unwrap(), "and its result does not count");
        assert!(right.report(&again, "third", &report(0.2)).unwrap());
        assert_eq!(left.claim(&plan, "left").unwrap(), Claim::Wait);
        assert!(right.release(second.trial, "right").unwrap());
        let released = job(left.claim(&plan, "left").unwrap());
        assert_eq!(released.trial, second.trial);
        right.abandon(|trial| trial == released.trial).unwrap();
        assert!(!left.beat(released.trial, "left").unwrap());
        assert_eq!(job(left.claim(&plan, "left").unwrap()).trial, released.trial);
        assert!(left.report(&released, "left", &report(f64::INFINITY)).unwrap());
        assert_eq!(left.claim(&plan, "left").unwrap(), Claim::Finished);
        assert_eq!(left.trials().unwrap()[1].loss_at(0), Some(f64::INFINITY));
    }

    #[test]
    fn many_threads_finish_every_trial_exactly_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.sqlite3");
        let plan = Plan { stale_after: Duration::from_secs(60), ..plan(24, &[1, 2, 4]) };
        let work = |owner: String| {
            let mut study = Study::open(&path, "a").unwrap();
            let mut done = 0;
            loop {
                match study.claim(&plan, &owner).unwrap() {
                    Claim::Job(job) => {
                        assert!(study.report(&job, &owner, &report(job.point[0])).unwrap());
                        done += 1;
                    }
                    Claim::Wait => std::thread::sleep(Duration::from_millis(2)),
                    Claim::Finished => return done,
                }
            }
        };
        let done: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|i| scope.spawn(move || work(format!("w{i}")))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        let trials = Study::open(&path, "a").unwrap().trials().unwrap();
        assert_eq!(trials.len(), 24);
        assert_eq!(trials.iter().map(|trial| trial.results.len()).sum::<usize>(), done);
        let promoted = trials.iter().filter(|trial| trial.rung > 0).count();
        assert!((12..24).contains(&promoted), "{promoted} of 24 went on from the first rung");
    }

    #[test]
    fn what_is_no_study_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.sqlite3");
        std::fs::write(&path, "not a database, but long enough to be looked at as one".repeat(20)).unwrap();
        let error = Study::open(&path, "a").err().unwrap().to_string();
        assert!(error.contains("study.sqlite3"), "{error}");
    }
}
