//! How long bringing inputs may take.

use std::time::Duration;

use clap::Args;

/// How long bringing inputs may take.
#[derive(Args, Clone, Debug)]
pub struct StagingConfig {
    /// The most seconds that bringing a job's inputs may take before it computes.
    #[arg(long, env = "PTQD_STAGING_SECONDS", value_name = "N", default_value_t = Self::STAGING_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub staging_seconds: u32,

    /// The most seconds that a plan may wait for its model's headers or graph to be brought.
    #[arg(long, env = "PTQD_PLAN_SECONDS", value_name = "N", default_value_t = Self::PLAN_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub plan_seconds: u32,

    /// The least bytes of a second that a place must send while we wait for it.
    #[arg(long, env = "PTQD_INPUT_RATE", value_name = "N", default_value_t = Self::INPUT_RATE)]
    pub input_rate: u64,

    /// Over how many seconds of waiting that is measured.
    #[arg(long, env = "PTQD_INPUT_RATE_SECONDS", value_name = "N", default_value_t = Self::INPUT_RATE_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    pub input_rate_seconds: u32,
}

impl StagingConfig {
    const STAGING_SECONDS: u32 = 6 * 3600;
    const PLAN_SECONDS: u32 = 120;
    const INPUT_RATE: u64 = 1024;
    const INPUT_RATE_SECONDS: u32 = 30;

    /// How long a job's inputs may take.
    pub fn job(&self) -> Duration {
        Duration::from_secs(u64::from(self.staging_seconds))
    }

    /// How long a plan's may.
    pub fn plan(&self) -> Duration {
        Duration::from_secs(u64::from(self.plan_seconds))
    }

    /// Over how long the rate is measured.
    pub fn window(&self) -> Duration {
        Duration::from_secs(u64::from(self.input_rate_seconds))
    }
}

impl Default for StagingConfig {
    fn default() -> Self {
        StagingConfig {
            staging_seconds: Self::STAGING_SECONDS,
            plan_seconds: Self::PLAN_SECONDS,
            input_rate: Self::INPUT_RATE,
            input_rate_seconds: Self::INPUT_RATE_SECONDS,
        }
    }
}
