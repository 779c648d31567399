//! Showing a job's progress: a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::control::{Notice, Phase, Progress};

/// The least time between two plain lines of one phase.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows notices on stderr.
#[derive(Debug)]
pub(super) struct Watcher(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg:12} [{bar:32}] {pos}/{len} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Watcher(Mutex::new(Shown { bar, last_line: Instant::now() }))
    }

    /// Shows a notice: on the bar where there is one, as a line where there is none.
    pub(super) fn show(&self, notice: &Notice) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (notice, &shown.bar) {
            (Notice::Phase(phase), Some(bar)) => {
                bar.set_message(phase.name());
                bar.set_position(0);
            }
            (Notice::Phase(phase), None) => {
                say(phase.name());
                shown.last_line = Instant::now();
            }
            (Notice::Progress(_, progress), Some(bar)) => {
                bar.set_length(progress.units_total);
                bar.set_position(progress.units_done);
            }
            (Notice::Progress(phase, progress), None) if shown.last_line.elapsed() >= LINE_INTERVAL => {
                shown.last_line = Instant::now();
                say(&line(*phase, progress));
            }
            (Notice::Warning(warning), bar) => {
                let text = format!("warning: {}{}", warning.message, at(warning.pointer.as_deref()));
                match bar {
                    Some(bar) => bar.suspend(|| say(&text)),
                    None => say(&text),
                }
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0.lock().unwrap_or_else(PoisonError::into_inner).bar {
            bar.finish_and_clear();
        }
    }
}

fn line(phase: Phase, progress: &Progress) -> String {
    let eta = progress.eta_seconds.map(|s| format!(", {s:.0} s left")).unwrap_or_default();
    format!("{}: {} of {} {}{eta}", phase.name(), progress.units_done, progress.units_total, progress.unit)
}

fn at(pointer: Option<&str>) -> String {
    pointer.filter(|p| !p.is_empty()).map(|p| format!(" (at {p})")).unwrap_or_default()
}
