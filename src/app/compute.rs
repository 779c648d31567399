//! Where computations of this process run, as the configuration says.

use crate::{
    compute::{Compute, ComputeSettings, Isolation, IsolationReport},
    config::{self, ComputeConfig},
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
    if report.process && report.missing.is_empty() {
        tracing::info!(isolation = report.line(), "models and data of strangers run apart");
    } else {
        tracing::warn!(isolation = report.line(), "models and data of strangers could reach what is not theirs");
    }
    compute.warm_up();
    Ok((compute, report))
}

/// The same without starting anything.
pub fn make(config: &ComputeConfig) -> Compute {
    let isolation = match config.isolation {
        config::Isolation::Auto => Isolation::Auto,
        config::Isolation::Strict => Isolation::Strict,
        config::Isolation::Off => Isolation::Off,
    };
    Compute::new(ComputeSettings { isolation, program: config.program(), library: config.engine().library, warm: WARM })
}
