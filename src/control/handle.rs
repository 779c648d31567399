//! [`Control`]: what a long computation is handed, and [`PhaseMeter`], which counts for it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use super::{
    canceller::{Cancelled, Canceller},
    notice::{Notice, Progress},
    phase::Phase,
};
use crate::fault::{Code, Warning};

/// Handed down to whatever takes time.
pub struct Control<'a> {
    notify: &'a (dyn Fn(Notice) + Sync),
    canceller: &'a Canceller,
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("canceller", &self.canceller).finish_non_exhaustive()
    }
}

impl<'a> Control<'a> {
    /// `notify` is called from whichever thread works, and must be quick.
    pub fn new(notify: &'a (dyn Fn(Notice) + Sync), canceller: &'a Canceller) -> Self {
        Control { notify, canceller }
    }

    /// The same cancellation, another listener.
    pub fn listening<'b>(&self, notify: &'b (dyn Fn(Notice) + Sync)) -> Control<'b>
    where
        'a: 'b,
    {
        Control { notify, canceller: self.canceller }
    }

    /// What stops the work.
    pub fn canceller(&self) -> &'a Canceller {
        self.canceller
    }

    /// An error if the work should stop. Called between units, and within those that take long.
    pub fn checkpoint(&self) -> Result<(), Cancelled> {
        self.canceller.check()
    }

    /// Sends a notice to the watcher.
    pub fn notify(&self, notice: Notice) {
        (self.notify)(notice);
    }

    /// Sends a warning to the watcher.
    pub fn warn(&self, code: impl Into<Code>, message: impl Into<String>) {
        self.notify(Notice::Warning(Warning::new(code, message)));
    }

    /// Begins a phase of `total` units.
    pub fn phase(&self, phase: Phase, total: u64, unit: &'static str) -> PhaseMeter<'_> {
        self.notify(Notice::Phase(phase));
        PhaseMeter {
            control: self,
            phase,
            total,
            unit,
            done: AtomicU64::new(0),
            notified: AtomicU64::new(0),
            began: Instant::now(),
        }
    }
}

/// Counts the units of one phase, from any number of threads.
#[derive(Debug)]
pub struct PhaseMeter<'a> {
    control: &'a Control<'a>,
    phase: Phase,
    total: u64,
    unit: &'static str,
    done: AtomicU64,
    /// The count of the last notice.
    notified: AtomicU64,
    began: Instant,
}

impl PhaseMeter<'_> {
    /// `units` more are done. An error if the work should stop. There is a notice for every half percent.
    pub fn advance(&self, units: u64) -> Result<(), Cancelled> {
        const STEPS: u64 = 200;
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        let notified = self.notified.load(Ordering::Relaxed);
        let due = done >= notified + (self.total / STEPS).max(1) || done >= self.total;
        if due && self.notified.compare_exchange(notified, done, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let pace = self.began.elapsed().as_secs_f64() / done.max(1) as f64;
            self.control.notify(Notice::Progress(
                self.phase,
                Progress {
                    units_done: done,
                    units_total: self.total,
                    unit: self.unit.to_owned(),
                    eta_seconds: (done > 0).then(|| pace * self.total.saturating_sub(done) as f64),
                },
            ));
        }
        self.control.checkpoint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_phase_counts_its_units_and_stops_when_asked() {
        let (seen, canceller) = (Mutex::new(Vec::new()), Canceller::default());
        let notify = |notice| seen.lock().unwrap().push(notice);
        let control = Control::new(&notify, &canceller);
        let meter = control.phase(Phase::Quantizing, 3, "tensors");
        assert_eq!(meter.advance(2), Ok(()));
        canceller.cancel();
        assert_eq!(meter.advance(1), Err(Cancelled));
        let seen = seen.into_inner().unwrap();
        assert!(matches!(&seen[..], [Notice::Phase(Phase::Quantizing), Notice::Progress(_, a), Notice::Progress(_, b)]
            if (a.units_done, b.units_done, b.eta_seconds) == (2, 3, Some(0.0))));
    }
}
