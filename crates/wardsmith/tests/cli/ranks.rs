//! Several processes from outside. With the feature `mpi` two real ones share runs, evaluations and searches; without it the
//! program refuses to be one of several.
use crate::common::{told, wardsmith};

#[test]
fn one_of_several_processes_without_mpi_is_refused() {
    if cfg!(feature = "mpi") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = wardsmith(folder.path(), &["tune", "tiny.toml", "--out", "run"]);
    let (good, text) = told(&command.env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap());
    assert!(!good && text.contains("one of 2 processes") && text.contains("--features mpi"), "{text}");
}

#[cfg(feature = "mpi")]
mod together {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use crate::common::{aloud, run, tiny, told};

    /// `wardsmith` as two processes on one thread each, where there is an `mpirun`.
    fn two(folder: &Path, args: &[&str]) -> Option<Command> {
        let there = Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
        if !there {
            aloud("skipped: two processes; needs `mpirun`");
            return None;
        }
        let mut command = Command::new("mpirun");
        command.args(["-np", "2", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
        // The seconds between an interrupt and SIGTERM, and between that and SIGKILL.
        command.args(["--mca", "odls_base_sigkill_timeout", "3"]);
        command.arg(env!("CARGO_BIN_EXE_wardsmith")).args(["--threads", "1"]).args(args).current_dir(folder);
        Some(command)
    }

    fn lines(run: &Path) -> Vec<Value> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Largest relative difference of the losses of two runs, which are about the same steps and tokens.
    fn difference(one: &Path, other: &Path) -> f64 {
        let (one, other) = (lines(one), lines(other));
        assert_eq!(one.len(), other.len());
        let mut worst = 0.0_f64;
        for (one, other) in one.iter().zip(&other) {
            assert_eq!([&one["step"], &one["tokens"]], [&other["step"], &other["tokens"]]);
            let loss = |line: &Value| line["loss_nats"].as_f64().or(line["validation_loss_nats"].as_f64()).unwrap();
            worst = worst.max((loss(one) / loss(other) - 1.0).abs());
        }
        worst
    }

    #[test]
    fn two_processes_train_and_evaluate_as_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        tiny(at, "max_steps = 30\npacks_per_step = 3\n");
        let Some(mut command) = two(at, &["tune", "tiny.toml", "--out", "two"]) else { return };
        let (good, text) = told(&command.output().unwrap());
        assert!(good, "{text}");
        assert_eq!(text.matches("best validation loss").count(), 1, "one of them speaks: {text}");
        let (good, text) = run(at, &["tune", "tiny.toml", "--out", "one"]);
        assert!(good, "{text}");
        let worst = difference(&at.join("two"), &at.join("one"));
        aloud(&format!("ran: two processes against one, largest relative difference of 33 losses {worst:.1e}"));
        assert!(worst < 1e-5, "{worst:e}");
        assert!(at.join("two/model/model.safetensors").is_file());
    }

    #[test]
    fn two_processes_answer_as_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        tiny(at, "max_steps = 6\n");
        let source = ["--source", "cvelist=feed.jsonl", "--source", "cwe=cwe.xml"];
        let dates = ["--set", "prepare.min_train_examples=5"];
        let prepare = [&["prepare"][..], &source, &["--task", "cwe_classify", "--out", "cwe"][..], &dates].concat();
        for args in [&prepare[..], &["tune", "tiny.toml", "--out", "run"]] {
            let (good, text) = run(at, args);
            assert!(good, "{text}");
        }
        let eval = ["eval", "--model", "run/model", "--data", "cwe", "--no-baselines", "--max-examples", "7", "--out"];
        let Some(mut command) = two(at, &[&eval[..], &["two"]].concat()) else { return };
        let (good, text) = told(&command.output().unwrap());
        assert!(good, "{text}");
        let (good, text) = run(at, &[&eval[..], &["one"]].concat());
        assert!(good, "{text}");
        let answers = |out: &str| fs::read_to_string(at.join(out).join("answers-model.jsonl")).unwrap();
        assert_eq!(answers("two").lines().count(), 7);
        assert_eq!(answers("two"), answers("one"));
    }

    #[test]
    fn a_stopped_or_failing_process_takes_the_other_with_it_and_the_run_goes_on_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        tiny(at, "max_steps = 20000\npacks_per_step = 2\n");
        let Some(mut command) = two(at, &["tune", "tiny.toml", "--out", "cut"]) else { return };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Instant::now();
        while lines(&at.join("cut")).len() < 20 && patience.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // As Ctrl-C does: mpirun passes it on as SIGTERM, and waits.
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(!child.wait().unwrap().success());
        let state: Value =
            serde_json::from_str(&fs::read_to_string(at.join("cut/checkpoints/state.json")).unwrap()).unwrap();
        let last = lines(&at.join("cut")).last().unwrap()["step"].clone();
        assert_eq!(state["step"], last, "both saved before they ended");
        assert!(last.as_u64().unwrap() < 20000);
        // What one of them refuses ends both, at once.
        let Some(mut command) = two(at, &["tune", "tiny.toml", "--out", "cut"]) else { return };
        let (good, text) = told(&command.output().unwrap());
        assert!(!good && text.matches("already holds a run").count() == 1, "{text}");
        let Some(mut command) = two(at, &["tune", "tiny.toml", "--set", "train.packs_per_step=1", "--out", "few"])
        else {
            return;
        };
        let (good, text) = told(&command.output().unwrap());
        assert!(!good && text.contains("--set train.packs_per_step=2"), "{text}");
    }

    #[test]
    fn two_processes_search_together() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let sweep = "max_steps = 6\n[sweep]\nmethod = \"random\"\ntrials = 6\n[sweep.parameters]\n\"train.learning_rate\" = { kind = \"log_uniform\", low = 1e-4, high = 1e-2 }\n";
        tiny(at, sweep);
        let Some(mut command) = two(at, &["sweep", "tiny.toml", "--out", "two"]) else { return };
        let (good, text) = told(&command.output().unwrap());
        assert!(good && text.matches("best: trial").count() == 1, "{text}");
        let (good, text) = run(at, &["sweep", "tiny.toml", "--out", "one"]);
        assert!(good, "{text}");
        let best = |out: &str| fs::read_to_string(at.join(out).join("best.toml")).unwrap();
        assert_eq!(best("two"), best("one"));
    }
}
