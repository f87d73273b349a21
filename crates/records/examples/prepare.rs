//! Prepares a dataset from the command line, with times: for measuring this crate alone.
//!
//! `cargo run -p wardsmith-records --example prepare -- OUT TASK,TASK NAME=PATH…`

use std::error::Error;
use std::time::Instant;

use wardsmith_records::prepare::{PrepareOptions, prepare};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("OUT is missing")?;
    let tasks = arguments.next().ok_or("TASK is missing")?;
    let sources = arguments.map(|one| {
        let (name, path) = one.split_once('=').ok_or("a source is NAME=PATH")?;
        Ok((name.to_owned(), path.into()))
    });
    let sources = sources.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let tasks = tasks.split(',').map(str::to_owned).collect();
    let options = PrepareOptions::new(sources, tasks, "2023-07-01".parse()?, "2024-01-01".parse()?);
    let start = Instant::now();
    let told = std::sync::Mutex::new(String::new());
    let prepared = prepare(&options, &|progress| {
        let line = format!("{:6.2} s {progress:?}", start.elapsed().as_secs_f64());
        told.lock().expect("no thread panics with it").push_str(&(line + "\n"));
    })?;
    let made = start.elapsed().as_secs_f64();
    let dataset = prepared.write(std::path::Path::new(&out), true)?;
    let log = told.into_inner()?;
    std::fs::write(
        dataset.path.join("times.log"),
        format!("{log}{made:6.2} s made\n{:6.2} s written\n", start.elapsed().as_secs_f64()),
    )?;
    Ok(())
}
