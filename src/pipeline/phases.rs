//! [`PhaseClock`]: how long each phase takes.

use std::{collections::BTreeMap, sync::Mutex, time::Instant};

use crate::control::{Notice, Phase};

/// Wall time by phase, told by the notices that begin them.
#[derive(Default)]
pub(super) struct PhaseClock(Mutex<PhaseTimes>);

#[derive(Default)]
struct PhaseTimes {
    current: Option<(Phase, Instant)>,
    seconds: BTreeMap<String, f64>,
}

impl PhaseClock {
    pub(super) fn see(&self, notice: &Notice) {
        if let Notice::Phase(phase) = notice {
            self.turn(Some(*phase));
        }
    }

    fn turn(&self, next: Option<Phase>) {
        let Ok(mut state) = self.0.lock() else { return };
        if let Some((phase, began)) = state.current.take() {
            *state.seconds.entry(phase.name().to_owned()).or_default() += began.elapsed().as_secs_f64();
        }
        state.current = next.map(|phase| (phase, Instant::now()));
    }

    pub(super) fn finish(&self) -> BTreeMap<String, f64> {
        self.turn(None);
        self.0.lock().map(|mut state| std::mem::take(&mut state.seconds)).unwrap_or_default()
    }
}
