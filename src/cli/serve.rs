//! `ptqd serve` and `ptqd worker`.

use std::{error::Error, process::ExitCode};

use clap::Args;

use super::{block_on, say};
use crate::{
    app::App,
    config::{ServeConfig, WorkerConfig},
};

#[derive(Args, Debug)]
pub(super) struct WorkerArgs {
    /// How many jobs to work on at a time.
    #[arg(long, env = "PTQD_WORKERS", value_name = "N", default_value_t = 1)]
    workers: usize,

    #[command(flatten)]
    worker: WorkerConfig,
}

pub(super) fn serve(config: &ServeConfig) -> Result<ExitCode, Box<dyn Error>> {
    block_on(async {
        let app = App::serve(config).await?;
        say(&format!("ptqd: listening on http://{0} (API documentation at http://{0}/docs)", app.address));
        if app.needs_key {
            say("ptqd: requests need an API key; `ptqd keys create` makes one");
        }
        app.run().await
    })??;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn work(args: &WorkerArgs) -> Result<ExitCode, Box<dyn Error>> {
    block_on(async { App::work(&args.worker, args.workers.max(1)).await?.run().await })??;
    Ok(ExitCode::SUCCESS)
}
