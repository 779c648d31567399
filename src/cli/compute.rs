//! `ptqd compute`: the child that a server computes in. Not for people.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Args;

use crate::compute::child;

#[derive(Args, Debug)]
pub(super) struct ComputeArgs {
    /// The engine's library.
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
}

pub(super) fn run(args: &ComputeArgs) -> Result<ExitCode, Box<dyn Error>> {
    child::serve(&args.library)?;
    Ok(ExitCode::SUCCESS)
}
