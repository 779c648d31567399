//! `ptqd migrate`: creates the tables of the database, or brings them up to date.

use std::{error::Error, process::ExitCode};

use super::{block_on, say};
use crate::{config::StorageConfig, database};

pub(super) fn run(config: &StorageConfig) -> Result<ExitCode, Box<dyn Error>> {
    let (url, embedded) = config.database();
    if embedded {
        std::fs::create_dir_all(&config.data_dir)?;
    }
    block_on(database::open(&url, 2))??;
    say("ptqd: the tables are up to date");
    Ok(ExitCode::SUCCESS)
}
