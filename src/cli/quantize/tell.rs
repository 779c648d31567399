//! Says what is wrong, and whose fault it is.

use std::process::ExitCode;

use crate::{
    cli::say,
    fault::{Fault, FaultKind, Warning, chain},
    spec::Objection,
};

/// The exit code for what the user can mend.
const INVALID: u8 = 2;

/// Says what went wrong, and whose fault it is.
pub(super) fn tell(error: &(impl Fault + 'static)) -> ExitCode {
    say(&format!("error: {} [{}]", chain(error), error.code()));
    if let Some(hint) = error.hint() {
        say(&format!("  hint: {hint}"));
    }
    if error.kind() == FaultKind::Invalid { ExitCode::from(INVALID) } else { ExitCode::FAILURE }
}

/// Says what was aliased, ignored or changed, beside the result that has it too.
pub(super) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        let at = warning.pointer.as_deref().map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        say(&format!("warning: {at}{} [{}]", warning.message, &*warning.code));
    }
}

/// Says everything that is wrong with the request.
pub(super) fn refuse(objections: &[Objection]) -> ExitCode {
    for objection in objections {
        let at = if objection.pointer.is_empty() { "(document)" } else { &objection.pointer };
        say(&format!("error: {at}: {} [{}]", objection.message, objection.code.name()));
        say(&format!("  hint: {}", objection.hint));
        if !objection.allowed.is_empty() {
            say(&format!("  accepted: {}", objection.allowed.join(", ")));
        }
    }
    ExitCode::from(INVALID)
}
