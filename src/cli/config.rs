//! `ptqd config`: an example of the configuration file, and a check of one.

use std::{error::Error, ffi::OsString, path::Path, process::ExitCode};

use clap::{ArgMatches, Args, Command, Subcommand};

use super::{print, say};
use crate::{config, fault::chain};

#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a configuration file with every setting.
    Example,
    /// Say which settings `ptqd serve` would have with the file, variables and flags as they are.
    Check {
        /// Flags of `ptqd serve`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
        flags: Vec<String>,
    },
}

pub(super) fn run(args: &ConfigArgs, file: Option<&Path>, program: &Command) -> Result<ExitCode, Box<dyn Error>> {
    match &args.command {
        ConfigCommand::Example => print(config::example(program, "serve").trim_end()),
        ConfigCommand::Check { flags } => {
            let mut line: Vec<OsString> = vec!["ptqd".into()];
            line.extend(file.into_iter().flat_map(|file| ["--config".into(), file.into()]));
            line.push("serve".into());
            line.extend(flags.iter().map(OsString::from));
            let expanded = match config::arguments_of(program, line) {
                Ok(expanded) => expanded,
                Err(error) => {
                    say(&format!("ptqd: {}", chain(&error)));
                    return Ok(ExitCode::from(2));
                }
            };
            match program.clone().try_get_matches_from(expanded) {
                Ok(matches) => {
                    let serve = matches.subcommand_matches("serve").ok_or("no settings")?;
                    summary(program, "serve", serve).iter().for_each(|line| print(line));
                    say("ptqd: the configuration is fine");
                }
                Err(error) => {
                    say(error.render().to_string().trim_end());
                    return Ok(ExitCode::from(2));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings of a command, one a line; secrets are not printed.
pub(super) fn summary(program: &Command, command: &str, matches: &ArgMatches) -> Vec<String> {
    let arguments = program.find_subcommand(command).into_iter().flat_map(Command::get_arguments);
    let line = |argument: &clap::Arg| {
        let key = config::key(argument)?;
        let values: Vec<String> =
            matches.get_raw(argument.get_id().as_str())?.map(|value| value.to_string_lossy().into_owned()).collect();
        let shown = values.iter().map(|value| config::redacted(value)).collect::<Vec<_>>().join(", ");
        Some(format!("{key} = {shown}"))
    };
    arguments.filter_map(line).collect()
}
