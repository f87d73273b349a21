//! `wardsmith fetch`: public feeds → a folder of files, with a lock file.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use wardsmith_fetch::{
    ALL, Error, Feed, Fetcher, Lock, Mirror, Options, Progress, Summary, SystemClock, by_name, verify,
};

use crate::cli;
use crate::interrupt;
use crate::say::{self, Interrupted, count};

/// The key of NVD's API.
const NVD_KEY_VARIABLE: &str = "NVD_API_KEY";

/// Runs the command.
pub(crate) fn run(args: &cli::Fetch) -> Result<()> {
    let Some(into) = args.into.as_deref() else {
        list();
        return Ok(());
    };
    if args.verify {
        return check(into);
    }
    let options = options(args, into)?;
    let feeds = feeds(args, &options)?;
    let names: Vec<&str> = feeds.iter().map(|feed| feed.name()).collect();
    let from = args.mirror.as_deref().map_or(String::new(), |mirror| format!(" from {mirror}"));
    say::note(format_args!("fetching {}{from} into {}", names.join(", "), into.display()));
    interrupt::flag();
    let mut fetcher = Fetcher::new(options, &SystemClock, &interrupt::raised)?;
    let bar = say::bar(0, "asking");
    let results = fetcher.fetch_all(&feeds, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    report(results)
}

/// Every feed with its terms and addresses.
fn list() {
    for feed in ALL {
        say::result(format_args!("{:8}  {}", feed.name(), feed.what()));
        say::result(format_args!("          terms: {}", feed.licence()));
        for url in feed.urls() {
            say::result(format_args!("          {url}"));
        }
    }
}

fn check(into: &Path) -> Result<()> {
    let verified = verify(into)?;
    verified.problems.iter().for_each(say::result);
    if !verified.problems.is_empty() {
        let problems = verified.problems.len();
        bail!("{problems} files are not as the lock file says\nhint: fetch again; what is right is kept");
    }
    say::result(format_args!("{} files, {} bytes, all as the lock file says", verified.good, count(verified.bytes)));
    Ok(())
}

fn options(args: &cli::Fetch, into: &Path) -> Result<Options> {
    let mut options = Options::new(into.to_path_buf());
    options.mirror = args.mirror.as_deref().map(Mirror::parse).transpose()?;
    options.locked = args.locked.as_deref().map(Lock::read).transpose()?;
    options.ecosystems.clone_from(&args.ecosystem);
    options.providers.clone_from(&args.provider);
    options.since_year = args.since;
    options.nvd_api_key = std::env::var(NVD_KEY_VARIABLE).ok().filter(|key| !key.is_empty());
    // Only waiting times depend on it; no result does.
    options.seed = std::process::id().into();
    Ok(options)
}

/// The feeds that are named, else those of the lock file, else those that are there.
fn feeds(args: &cli::Fetch, options: &Options) -> Result<Vec<&'static dyn Feed>> {
    let names: BTreeSet<String> = match &options.locked {
        _ if !args.source.is_empty() => args.source.iter().cloned().collect(),
        Some(locked) => names_in(locked),
        None => names_in(&Lock::of_folder(&options.into)?),
    };
    if let Some(unknown) = names.iter().find(|name| by_name(name).is_err()) {
        let near = ALL.iter().map(|feed| feed.name()).max_by(|a, b| {
            let near = |name| strsim::jaro_winkler(name, unknown);
            near(a).total_cmp(&near(b))
        });
        let near = near.unwrap_or_default();
        bail!("there is no feed `{unknown}`\nhint: did you mean `{near}`? `wardsmith fetch --list` shows all feeds");
    }
    if names.is_empty() {
        bail!("no feed is named\nhint: such as `wardsmith fetch nvd cwe --into feeds`; --list shows all feeds");
    }
    Ok(ALL.iter().copied().filter(|feed| names.contains(feed.name())).collect())
}

fn names_in(lock: &Lock) -> BTreeSet<String> {
    lock.files.values().map(|file| file.feed.clone()).collect()
}

fn show(bar: &ProgressBar, progress: Progress<'_>) {
    let name = progress.file.rsplit('/').next().unwrap_or(progress.file);
    if bar.message() != name {
        bar.set_message(name.to_owned());
        bar.reset_eta();
    }
    bar.set_length(progress.total_bytes.unwrap_or(progress.done_bytes));
    bar.set_position(progress.done_bytes);
}

/// A line for each feed; an error where anything is missing.
fn report(results: Vec<(&'static str, Result<Summary, Error>)>) -> Result<()> {
    let mut missing = 0;
    let only = results.len() == 1;
    for (name, result) in results {
        match result {
            Ok(summary) => {
                say::result(line(&summary));
                missing += summary.failed.len();
                summary.failed.iter().for_each(|failure| say::note(format_args!("{name}: {}", failure.error)));
            }
            Err(Error::Stopped) => {
                let hint = "hint: the same command goes on where it stopped";
                return Err(Interrupted(format!("stopped while fetching {name}\n{hint}")).into());
            }
            Err(error) if only => return Err(error).context(format!("feed `{name}` could not be fetched")),
            Err(error) => {
                missing += 1;
                say::note(format_args!("{name}: {error}"));
            }
        }
    }
    match missing {
        0 => Ok(()),
        1 => bail!("one file or feed could not be had; see above\nhint: fetch again; what is there is kept"),
        _ => bail!("{missing} files or feeds could not be had; see above\nhint: fetch again; what is there is kept"),
    }
}

fn line(summary: &Summary) -> String {
    let Summary { feed, downloaded, unchanged, bytes, .. } = summary;
    let mut line = format!("{feed}: {downloaded} new, {unchanged} unchanged, {} bytes", count(*bytes));
    for (number, what) in
        [(summary.resumed, "resumed"), (summary.removed, "replaced"), (summary.failed.len(), "missing")]
    {
        if number > 0 {
            line.push_str(&format!(", {number} {what}"));
        }
    }
    line
}
