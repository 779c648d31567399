//! `ptqd openapi`: prints the OpenAPI document of the API, as JSON.

use std::{error::Error, process::ExitCode};

use super::print;
use crate::api;

pub(super) fn run() -> Result<ExitCode, Box<dyn Error>> {
    print(&api::openapi().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}
