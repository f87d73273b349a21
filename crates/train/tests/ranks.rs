//! Several ranks, as threads, learn what one process learns; they stop, fail and resume together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use wardsmith_model::checkpoint::{Wanted, load};
use wardsmith_model::{Batch, Purpose, Target};
use wardsmith_tokens::Cursor;
use wardsmith_train::adamw::{AdamW, AdamWOptions};
use wardsmith_train::feed::Feed;
use wardsmith_train::progress::{Line, read_lines};
use wardsmith_train::run::{Ending, Watch};
use wardsmith_train::schedule::{Schedule, Shape};
use wardsmith_train::step::Trainer;
use wardsmith_train::world::threads::together;
use wardsmith_train::world::{Alone, World};
use wardsmith_train::{Error, Outcome, Result, RunOptions, run};

/// Five packs a step, no two of which teach equally many tokens: no number of ranks gets equal shares.
struct Patterns(u64);

impl Feed for Patterns {
    fn next_step(&mut self) -> Vec<Batch> {
        self.0 += 1;
        (0..5).map(|pack| pattern(self.0 * 5 + pack, 3 + 4 * pack as usize)).collect()
    }
    fn cursor(&self) -> Cursor {
        Cursor { epoch: 0, position: self.0 }
    }
    fn seek(&mut self, cursor: Cursor) -> Result<()> {
        self.0 = cursor.position;
        Ok(())
    }
    fn epochs_done(&self) -> f64 {
        self.0 as f64
    }
}

fn pattern(seed: u64, taught: usize) -> Batch {
    let token = |token: &u64| Some((token * 5 + 3) % 96);
    let ids: Vec<u32> = std::iter::successors(Some(seed * 7 % 96), token).take(20).map(|token| token as u32).collect();
    let targets = (0..taught).map(|i| Target { position: i as u32, token: ids[i + 1] }).collect();
    Batch { lengths: vec![ids.len()], ids, targets, ..Batch::default() }
}

fn options(total_steps: u64) -> RunOptions {
    RunOptions {
        schedule: Schedule { peak: 3e-3, shape: Shape::Cosine, warmup_steps: 3, total_steps, min_ratio: 0.1 },
        eval_every_steps: 4,
        save_every_steps: 3,
        patience: 0,
        fingerprint: "test".into(),
        show_progress: false,
        key: None,
        pause_at_step: None,
    }
}

fn trainer(world: Rc<dyn World>) -> Trainer {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/llama");
    let mut model = load(&folder, &Wanted::AsStored, Purpose::Training).unwrap();
    model.train_all();
    let optimiser = AdamW::new(&model.params, AdamWOptions::default());
    let mut trainer = Trainer::new(model, optimiser, 1.0).unwrap();
    trainer.world = world;
    trainer
}

fn validation() -> Vec<Batch> {
    (0..4).map(|i| pattern(1000 + i, 5 + 3 * i as usize)).collect()
}

/// The end of a run in `folder`, and the bits of its weights.
fn go(world: Rc<dyn World>, folder: &Path, options: &RunOptions, watch: &dyn Watch) -> Result<(Outcome, Vec<u32>)> {
    let mut trainer = trainer(world);
    let outcome = run(&mut trainer, &mut Patterns(0), &validation(), folder, options, watch)?;
    let bits = trainer.model.params.iter().flat_map(|(_, p)| p.value.iter().map(|x| x.to_bits())).collect();
    Ok((outcome, bits))
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

/// Lines of the metrics that one process leaves.
fn of_one_process(steps: u64) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    go(Rc::new(Alone), folder.path(), &options(steps), &never()).unwrap();
    read_lines(folder.path())
}

/// Largest difference of losses, relative; everything else has to be the same.
fn difference(one: &[Line], other: &[Line]) -> f64 {
    assert_eq!(one.len(), other.len());
    let losses = |line: &Line| line.loss_nats.or(line.validation_loss_nats).unwrap();
    let counted = |line: &Line| (line.step, line.tokens, line.loss_nats.is_some(), line.learning_rate);
    let pairs = one.iter().zip(other).inspect(|(one, other)| assert_eq!(counted(one), counted(other)));
    pairs.map(|(one, other)| (losses(one) / losses(other) - 1.0).abs()).fold(0.0, f64::max)
}

#[test]
fn two_and_three_ranks_have_the_losses_of_one_process_with_the_same_global_batch() {
    let one = of_one_process(10);
    for size in [2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let ends = together(size, |world| go(Rc::new(world), folder.path(), &options(10), &never()).unwrap());
        assert!(ends.iter().all(|(outcome, _)| outcome.ending == Ending::Finished));
        assert!(ends.iter().all(|(_, bits)| *bits == ends[0].1), "all ranks hold the best weights, to the bit");
        let worst = difference(&read_lines(folder.path()), &one);
        assert!(worst < 1e-6, "{size} ranks: {worst:e}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let one = of_one_process(10);
    let folder = tempfile::tempdir().unwrap();
    for (size, pause) in [(2, Some(4)), (1, Some(6)), (3, None)] {
        let options = RunOptions { pause_at_step: pause, ..options(10) };
        let ends = together(size, |world| go(Rc::new(world), folder.path(), &options, &never()).unwrap());
        assert!(ends.iter().all(|(_, bits)| *bits == ends[0].1));
    }
    let steps = |lines: &[Line]| -> Vec<Line> { lines.iter().filter(|l| l.loss_nats.is_some()).cloned().collect() };
    let worst = difference(&steps(&read_lines(folder.path())), &steps(&one));
    assert!(worst < 1e-6, "{worst:e}");
}

#[test]
fn an_interrupt_on_one_rank_saves_and_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let ends = together(3, |world| {
        let stop = AtomicBool::new(world.rank() == 2);
        go(Rc::new(world), folder.path(), &options(10), &stop).unwrap().0
    });
    assert!(ends.iter().all(|end| end.ending == Ending::Interrupted));
    assert!(folder.path().join("checkpoints/state.json").exists());
}

/// The folder of a run, or a file where one should be.
fn place(good: bool, folder: &Path) -> PathBuf {
    let file = folder.join("file");
    std::fs::write(&file, "in the way").unwrap();
    if good { folder.join("run") } else { file }
}

#[test]
fn what_fails_on_one_rank_ends_all_and_one_tells() {
    let folder = tempfile::tempdir().unwrap();
    let ends = together(2, |world| {
        let place = place(world.rank() > 0, folder.path());
        go(Rc::new(world), &place, &options(10), &never()).unwrap_err()
    });
    assert!(matches!(&ends[0], Error::Io { .. }), "{}", ends[0]);
    assert!(
        matches!(&ends[1], Error::Elsewhere { rank: 0, reason } if reason.contains("cannot create")),
        "{}",
        ends[1]
    );
    assert!(!folder.path().join("run").exists(), "only the first rank writes");
}

#[test]
fn a_pack_that_one_rank_cannot_compute_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    /// Tokens that the model lacks, in the second pack.
    struct Bad(Patterns);
    impl Feed for Bad {
        fn next_step(&mut self) -> Vec<Batch> {
            let mut packs = self.0.next_step();
            packs[1].ids[0] = u32::MAX;
            packs
        }
        fn cursor(&self) -> Cursor {
            self.0.cursor()
        }
        fn seek(&mut self, cursor: Cursor) -> Result<()> {
            self.0.seek(cursor)
        }
        fn epochs_done(&self) -> f64 {
            self.0.epochs_done()
        }
    }
    let ends = together(2, |world| {
        let mut trainer = trainer(Rc::new(world));
        run(&mut trainer, &mut Bad(Patterns(0)), &[], folder.path(), &options(3), &never()).unwrap_err()
    });
    assert!(matches!(ends[0], Error::Elsewhere { rank: 1, .. }), "{}", ends[0]);
    assert!(matches!(ends[1], Error::Model(_)), "{}", ends[1]);
}

#[test]
fn ranks_with_different_recipes_or_weights_do_not_train_together() {
    let folder = tempfile::tempdir().unwrap();
    let ends = together(2, |world| {
        let fingerprint = format!("recipe {}", world.rank());
        go(Rc::new(world), folder.path(), &RunOptions { fingerprint, ..options(3) }, &never()).unwrap_err()
    });
    assert!(ends.iter().all(|error| matches!(error, Error::Apart { .. })), "{ends:?}");
    let ends = together(2, |world| {
        let first = world.rank() == 0;
        let mut trainer = trainer(Rc::new(world));
        if first {
            let (_, param) = trainer.model.params.iter_mut().next().unwrap();
            param.value[0] += 1e-6;
        }
        run(&mut trainer, &mut Patterns(0), &[], folder.path(), &options(3), &never()).unwrap_err()
    });
    assert!(ends.iter().all(|error| matches!(error, Error::Apart { what: "weights" })), "{ends:?}");
    assert!(!folder.path().join("checkpoints/state.json").exists());
}
