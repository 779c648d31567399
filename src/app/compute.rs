//! Where computations of this process run, as the configuration says.

use crate::{
    compute::{Compute, ComputeSettings, IsolationReport},
    config::{ComputeConfig, Isolation},
};

use super::error::AppError;

/// Children that wait, beside those that work: a job whose model is elsewhere needs one to read what the model refers to,
/// and one for itself.
const WARM: usize = 2;

/// Starts what computations run in, and says in the log how far it is apart.
pub(super) async fn start(config: &ComputeConfig) -> Result<(Compute, IsolationReport), AppError> {
    let compute = make(config);
    let report = compute.report().await;
    if report.isolation == Isolation::Strict && !report.missing.is_empty() {
        return Err(AppError::Isolation { missing: report.missing.join("; ") });
    }
    if report.is_whole() {
        tracing::info!(isolation = report.line(), "models and data of strangers run apart");
    } else {
        tracing::warn!(isolation = report.line(), "models and data of strangers could reach what is not theirs");
    }
    compute.warm_up();
    Ok((compute, report))
}

/// The same without starting anything.
pub fn make(config: &ComputeConfig) -> Compute {
    Compute::new(ComputeSettings {
        isolation: config.isolation,
        program: config.program(),
        library: config.library(),
        warm: WARM,
    })
}
