//! What this machine has: memory that is free for us, the processor, what this process took. From Linux's `/proc` and
//! `/sys`; elsewhere it is not known, and whoever asks goes on without.

use std::path::Path;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What a process may still take without swapping.
    pub available: u64,
    /// All there is, or all that this process's group may have.
    pub total: u64,
}

/// The machine's memory, or the control group's where that is less.
pub(crate) fn memory() -> Option<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = Memory { available: field(&text, "MemAvailable:")? << 10, total: field(&text, "MemTotal:")? << 10 };
    Some(match group() {
        Some(group) if group.available < machine.available => Memory { total: group.total.min(machine.total), ..group },
        _ => machine,
    })
}

/// What this process holds now, and the most it ever held: bytes in memory.
pub(crate) fn held() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    Some((field(&text, "VmRSS:")? << 10, field(&text, "VmHWM:")? << 10))
}

/// The processor's name.
pub(crate) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first number behind `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The limit of the control group that this process is in (version 2, else version 1), with what it leaves.
fn group() -> Option<Memory> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = |prefix: &str| groups.lines().find_map(|line| line.split_once(prefix).map(|(_, path)| path.to_owned()));
    let read = |folder: &Path, name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let limited = |root: &str, path: Option<String>, names: [&str; 2], cache: &str| {
        let path = path.unwrap_or_default();
        // Inside a container the group's own folder is mounted at the root.
        let folders = [Path::new(root).join(path.trim_start_matches('/')), Path::new(root).to_path_buf()];
        folders.iter().find_map(|folder| {
            let total: u64 = read(folder, names[0])?.trim().parse().ok()?;
            let used: u64 = read(folder, names[1])?.trim().parse().ok()?;
            let reclaimable = read(folder, "memory.stat").and_then(|text| field(&text, cache)).unwrap_or(0);
            Some(Memory { available: total.saturating_sub(used.saturating_sub(reclaimable)), total })
        })
    };
    limited("/sys/fs/cgroup", own("0::"), ["memory.max", "memory.current"], "inactive_file ").or_else(|| {
        let names = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
        limited("/sys/fs/cgroup/memory", own(":memory:"), names, "total_inactive_file ")
    })
}

/// Bytes for people: `3.1 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let scaled = |unit: u32| bytes as f64 / f64::from(unit);
    match bytes {
        large if large >= 1 << 30 => format!("{:.1} GiB", scaled(1 << 30)),
        _ => format!("{:.0} MiB", scaled(1 << 20).max(1.0)),
    }
}

/// A time for people: `40 s`, `14 minutes`, `3.5 hours`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 90.0 => format!("{:.0} s", short.max(1.0)),
        some if some < 5400.0 => format!("{:.0} minutes", some / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_for_people() {
        assert_eq!(bytes(3_328_599_654), "3.1 GiB");
        assert_eq!(bytes(47 << 20), "47 MiB");
        assert_eq!(bytes(1), "1 MiB");
        assert_eq!([0.2, 61.0, 840.0, 9000.0].map(duration), ["1 s", "61 s", "14 minutes", "2.5 hours"]);
    }

    #[test]
    fn fields_are_found_at_the_beginning_of_their_lines() {
        assert_eq!(field("MemTotal: 5 kB\nMemAvailable:   12 kB\n", "MemAvailable:"), Some(12));
        assert_eq!(field("a inactive_file 3\ninactive_file 4\n", "inactive_file "), Some(4));
        assert_eq!(field("", "VmRSS:"), None);
    }

    #[test]
    fn on_linux_the_machine_is_known() {
        if cfg!(target_os = "linux") {
            let memory = memory().unwrap();
            assert!(memory.available > 0 && memory.available <= memory.total);
            let (now, peak) = held().unwrap();
            assert!(now > 0 && now <= peak);
        }
    }
}
