//! A plan carried out, with what was told on the way.

use std::{collections::BTreeMap, sync::Mutex};

use super::{PipelineError, PlannedJob, phases::PhaseClock};
use crate::{
    backend::Outcome,
    control::{Control, Notice, Phase},
    fault::WarningLimit,
    spec::Warning,
};

/// A plan that was carried out.
pub(super) struct Written<'a> {
    pub(super) planned: PlannedJob<'a>,
    pub(super) outcome: Outcome,
    /// Every warning on the way.
    pub(super) warnings: Vec<Warning>,
    /// Wall time by phase.
    pub(super) seconds: BTreeMap<String, f64>,
}

/// Carries out a plan, and notes the warnings and the time of each phase.
pub(super) fn listened<'a>(
    control: &Control<'_>,
    run: impl FnOnce(&Control<'_>) -> Result<(PlannedJob<'a>, Outcome), PipelineError>,
) -> Result<Written<'a>, PipelineError> {
    let clock = PhaseClock::default();
    let collected = Mutex::new(Vec::new());
    let limit = Mutex::new(WarningLimit::default());
    let notify = |notice: Notice| {
        clock.see(&notice);
        let Notice::Warning(warning) = notice else { return control.notify(notice) };
        let Some(warning) = limit.lock().ok().and_then(|mut limit| limit.admit(warning)) else { return };
        if let Ok(mut all) = collected.lock() {
            all.push(warning.clone());
        }
        control.notify(Notice::Warning(warning));
    };
    let listening = control.listening(&notify);
    listening.notify(Notice::Phase(Phase::Validating));
    let (planned, outcome) = run(&listening)?;
    let warnings = collected.lock().map(|all| all.clone()).unwrap_or_default();
    Ok(Written { planned, outcome, warnings, seconds: clock.finish() })
}
