//! `ptqd doctor`: what this machine gives, found by trying it.

use std::{error::Error, process::ExitCode};

use clap::Args;

use super::{block_on, print, version};
use crate::{app::make_compute, config::ComputeConfig};

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    compute: ComputeConfig,
}

/// Exit code 0 where a job's process is refused everything that it tries, 1 where it is not.
pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode, Box<dyn Error>> {
    print(&format!("ptqd {}", version::long()));
    let compute = make_compute(&args.compute);
    print(&format!("isolation: {} (asked for)", compute.isolation().name()));
    let report = block_on(compute.report())?;
    print(&format!("isolation: {}", report.line()));
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
