//! A run that is killed in the middle and resumed leaves the same bytes of weights as one that was left alone, and so
//! does a run on another number of threads.
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{aloud, run, tiny, wardsmith};

fn steps(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn killed_and_resumed_equals_uninterrupted_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "max_steps = 60\n");
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "whole"]);
    assert!(good, "{text}");

    let mut child = wardsmith(at, &["tune", "tiny.toml", "--out", "cut"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while steps(&at.join("cut")) < 25 && patience.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = steps(&at.join("cut"));
    assert!(done >= 25 && !at.join("cut/model").exists(), "killed at {done} lines, in the middle");

    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "cut"]);
    assert!(!good && text.contains("--resume cut"), "a run is not overwritten: {text}");
    let (good, text) = run(at, &["tune", "--resume", "cut"]);
    assert!(good, "{text}");
    let (good, text) = run(at, &["--threads", "1", "tune", "tiny.toml", "--out", "alone"]);
    assert!(good, "{text}");
    let weights = |run: &str| fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("whole") == weights("cut"), "the weights differ");
    assert!(weights("whole") == weights("alone"), "the number of threads changes the weights");
}

/// Random moments, the same in each run of the test: xorshift (Marsaglia 2003).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(20 + self.0 % 700)
    }
}

/// Steps of the checkpoint that is there; its tensors are there too.
fn saved(run: &Path) -> u64 {
    let Ok(text) = fs::read_to_string(run.join("checkpoints/state.json")) else { return 0 };
    let state: Value = serde_json::from_str(&text).unwrap();
    let step = state["step"].as_u64().unwrap();
    assert!(run.join(format!("checkpoints/state-{step}.safetensors")).is_file(), "the checkpoint has its tensors");
    step
}

/// The last step that `metrics.jsonl` tells of.
fn told(run: &Path) -> u64 {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
    text.lines().filter_map(step).max().unwrap_or(0)
}

/// The tuning of `out` for a while, then SIGKILL; whether it was done before.
fn killed(at: &Path, out: &str, after: Duration) -> bool {
    let resume = at.join(out).join("recipe.toml").exists();
    let args = if resume { vec!["tune", "--resume", out] } else { vec!["tune", "tiny.toml", "--out", out] };
    let mut child = wardsmith(at, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let done = child.try_wait().unwrap().is_some();
    // One that is done already cannot be killed, which is no failure.
    let _ = child.kill();
    child.wait().unwrap();
    done
}

#[test]
fn twenty_kills_at_random_moments_lose_no_checkpoint_and_change_no_byte() {
    const SAVE_EVERY: u64 = 7;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "max_steps = 300\n");
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "whole"]);
    assert!(good, "{text}");
    let weights = |run: &str| fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    let (mut moments, mut kills, mut lost, mut runs) = (Moments(20_250_101), 0, 0, 0);
    while kills < 20 {
        let out = format!("cut{runs}");
        let run_folder = at.join(&out);
        let before = saved(&run_folder);
        if killed(at, &out, moments.next()) {
            // It came to its end before the moment did; the next one begins anew.
            assert!(weights("whole") == weights(&out), "the weights of {out} differ");
            runs += 1;
            continue;
        }
        kills += 1;
        let after = saved(&run_folder);
        assert!(after >= before, "kill {kills}: the checkpoint of step {before} is gone, {after} is there");
        let steps_lost = told(&run_folder).saturating_sub(after);
        assert!(steps_lost <= SAVE_EVERY, "kill {kills}: {steps_lost} steps are lost");
        lost += steps_lost;
    }
    let out = format!("cut{runs}");
    let resumed = if at.join(&out).join("recipe.toml").exists() {
        run(at, &["tune", "--resume", &out])
    } else {
        run(at, &["tune", "tiny.toml", "--out", &out])
    };
    assert!(resumed.0, "{}", resumed.1);
    assert!(weights("whole") == weights(&out), "the weights differ");
    let losses = |run: &str| -> Vec<(Value, Value, Value)> {
        let text = fs::read_to_string(at.join(run).join("metrics.jsonl")).unwrap();
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.lines()
            .map(line)
            .map(|l| (l["step"].clone(), l["loss_nats"].clone(), l["validation_loss_nats"].clone()))
            .collect()
    };
    assert_eq!(losses("whole"), losses(&out), "the metrics are those of one run");
    aloud(&format!("ran: {kills} kills over {} runs lost {lost} steps and no checkpoint", runs + 1));
}

#[test]
fn an_epoch_is_one_pass_and_the_run_leaves_its_curves() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tiny(at, "epochs = 2\npacks_per_step = 3\n");
    let (good, text) = run(at, &["tune", "tiny.toml", "--out", "whole"]);
    assert!(good, "{text}");
    let metrics = fs::read_to_string(at.join("whole/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["epoch"].as_f64(), Some(2.0), "{last}");
    assert!(text.contains("needs ") && text.contains(" MiB of "), "{text}");
    let page = fs::read_to_string(at.join("whole/report.html")).unwrap();
    assert!(page.contains("curve-title") && page.contains("Memory at most"));
    let events = fs::read_dir(at.join("whole")).unwrap().flatten();
    assert_eq!(events.filter(|e| e.file_name().to_string_lossy().starts_with("events.out.tfevents.")).count(), 1);
}
