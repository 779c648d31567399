//! What a child gives up before it reads a stranger's file. There is no way back from any of it.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod powers;
#[cfg(target_os = "linux")]
mod resources;
#[cfg(target_os = "linux")]
mod syscalls;

use super::limits::Confinement;

/// Gives up everything that `limits` does not name. What the kernel did not let it give up, in words. Called by the only
/// thread of the process: what it gives up, threads that it starts never had.
#[cfg(target_os = "linux")]
pub(super) fn confine(limits: &Confinement) -> Vec<String> {
    let steps = [
        alone(),
        resources::limit(limits).map_err(|why| format!("limits of memory and time: {why}")),
        files::confine(limits).map_err(|why| format!("files: {why}")),
        powers::drop().map_err(|why| format!("powers of root: {why}")),
        syscalls::confine().map_err(|why| format!("system calls: {why}")),
    ];
    steps.into_iter().filter_map(Result::err).collect()
}

/// Whether no other thread runs, which would give up nothing.
#[cfg(target_os = "linux")]
fn alone() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads == 1 { Ok(()) } else { Err(format!("{threads} threads run before anything is given up")) }
}

/// Elsewhere there is the process alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn confine(_: &Confinement) -> Vec<String> {
    vec!["nothing is given up: this is not Linux".to_owned()]
}
