//! Limits of what a process takes.

use std::fs;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::super::limits::Confinement;

/// Files that a computation has open at a time: shards, data, libraries.
const OPEN_FILES: u64 = 1024;
/// Bytes of the first thread's stack.
const STACK: u64 = 8 << 20;
/// Seconds between the signal that the time is up, which says why, and the end of a process that does not heed it.
const CPU_GRACE: u64 = 60;

/// Sets them.
pub(super) fn limit(limits: &Confinement) -> Result<(), String> {
    // Of several processes the kernel ends this one first, and never one that holds other people's work.
    fs::write("/proc/self/oom_score_adj", "1000").map_err(|error| error.to_string())?;
    // Whoever started it is a thread that lives as long as the server. The end of standard input says the same.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let base = data_bytes().ok_or("the kernel does not say what the process has")?;
    let memory = limits.memory.map(|bytes| bytes.saturating_add(base));
    let rows = [
        (Resource::Core, Some(0), Some(0)),
        (Resource::Nofile, Some(OPEN_FILES), Some(OPEN_FILES)),
        (Resource::Fsize, Some(limits.file_bytes), Some(limits.file_bytes)),
        (Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds.map(|seconds| seconds.saturating_add(CPU_GRACE))),
        // Only the first thread's grows, and none of the data counts it.
        (Resource::Stack, Some(STACK), Some(STACK)),
        // What it maps of files to read does not count.
        (Resource::Data, memory, memory),
    ];
    for (resource, soft, hard) in rows {
        let now = getrlimit(resource);
        let lower = |wanted: Option<u64>, now: Option<u64>| match (wanted, now) {
            (Some(wanted), Some(now)) => Some(wanted.min(now)),
            (wanted, now) => wanted.or(now),
        };
        let limit = Rlimit { current: lower(soft, now.maximum), maximum: lower(hard, now.maximum) };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}

/// What counts towards the limit of memory now.
fn data_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
