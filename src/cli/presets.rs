//! `ptqd presets`: what `preset` of a section can name.

use std::{error::Error, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::spec::PRESETS;

#[derive(Args, Debug)]
pub(super) struct PresetsArgs {
    /// As JSON, with the section that each stands for.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PresetsArgs) -> Result<ExitCode, Box<dyn Error>> {
    if args.json {
        let described = PRESETS
            .iter()
            .map(|preset| json!({"name": preset.name, "summary": preset.summary, "quantize": preset.section()}));
        print(&serde_json::to_string_pretty(&described.collect::<Vec<Value>>())?);
    } else {
        PRESETS.iter().for_each(|preset| print(&format!("{:<12} {}", preset.name, preset.summary)));
    }
    Ok(ExitCode::SUCCESS)
}
