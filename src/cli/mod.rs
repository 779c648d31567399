//! The command line: one file for each subcommand.

mod compute;
mod config;
mod demo;
mod doctor;
mod errors;
mod health;
mod keys;
mod migrate;
mod openapi;
mod presets;
mod quantize;
mod serve;
mod table;
mod tenants;
mod version;
mod watch;

use std::{error::Error, io::Write, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{
    config::arguments,
    fault::chain,
    telemetry::{self, LogFormat},
    traces,
};

/// Post-training quantization as a service.
#[derive(Debug, Parser)]
#[command(name = "ptqd", version = version::SHORT, about, propagate_version = true)]
struct Cli {
    /// What to log, e.g. `info` or `ptqd=debug`.
    #[arg(long, env = "PTQD_LOG", global = true, value_name = "FILTER")]
    log: Option<String>,

    /// A configuration file, see `ptqd config example`.
    #[arg(long, env = "PTQD_CONFIG", global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,

    /// How lines of the log look.
    #[arg(long, env = "PTQD_LOG_FORMAT", global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormatArg,

    /// An OpenTelemetry collector that spans are sent to (OTLP over HTTP); needs a program built with the feature `otel`.
    #[arg(long, env = "PTQD_OTLP_ENDPOINT", global = true, value_name = "URL")]
    otlp_endpoint: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormatArg {
    /// Lines of text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, with workers in the same process.
    Serve(Box<crate::config::ServeConfig>),
    /// Run workers alone, on the same database and store as a server.
    Worker(serve::WorkerArgs),
    /// Quantize one model here and now, without a server.
    Quantize(quantize::QuantizeArgs),
    /// Start a server, run real jobs on a small trained model, and show the reports.
    Demo(demo::DemoArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Print every code of an error, an objection, a reason and a warning, with what to do about it.
    Errors(errors::ErrorsArgs),
    /// Print the presets: schemes by name, and who loads each.
    Presets(presets::PresetsArgs),
    /// Bring the database's tables up to date.
    Migrate(crate::config::StorageConfig),
    /// Print an example of the configuration file, or check one.
    Config(config::ConfigArgs),
    /// Ask the server on this machine whether it is ready; the exit code says.
    Health(health::HealthArgs),
    /// Make, list and revoke API keys.
    Keys(keys::KeysArgs),
    /// Say what this machine gives: the engine, its instruction set, and what a process of a job can still do.
    Doctor(doctor::DoctorArgs),
    /// Compute one request of a parent process.
    #[command(hide = true)]
    Compute(compute::ComputeArgs),
    /// Show what each tenant holds, and what it may hold.
    Tenants(tenants::TenantsArgs),
}

/// Runs the command that the arguments name. Exit code 0: done; 2: the input is invalid; 1: anything else.
pub fn main() -> ExitCode {
    let program = Cli::command();
    let arguments = match arguments(&program) {
        Ok(arguments) => arguments,
        Err(error) => {
            say(&format!("ptqd: {}", chain(&error)));
            return ExitCode::from(2);
        }
    };
    let full = arguments.iter().any(|argument| argument == "--version");
    let program = if full { program.long_version(version::long()) } else { program };
    let matches = program.clone().get_matches_from(arguments);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let quiet = matches!(cli.command, Command::Quantize(_) | Command::Demo(_));
    let traces = match cli.otlp_endpoint.as_deref().map(traces::layer).transpose() {
        Ok(traces) => traces,
        Err(why) => {
            say(&format!("ptqd: no traces are sent: {why}"));
            return ExitCode::FAILURE;
        }
    };
    telemetry::start(cli.log.as_deref().unwrap_or(if quiet { "warn" } else { "info" }), cli.log_format.into(), traces);
    if let Some((name @ ("serve" | "worker"), matches)) = matches.subcommand() {
        tracing::info!(settings = config::summary(&program, name, matches).join("; "), "starting");
    }
    let result: Result<ExitCode, Box<dyn Error>> = match cli.command {
        Command::Serve(config) => serve::serve(&config),
        Command::Worker(args) => serve::work(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Openapi => openapi::run(),
        Command::Errors(args) => errors::run(&args),
        Command::Presets(args) => presets::run(&args),
        Command::Migrate(config) => migrate::run(&config),
        Command::Config(args) => config::run(&args, cli.config.as_deref(), &program),
        Command::Health(args) => health::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Compute(args) => compute::run(&args),
        Command::Tenants(args) => tenants::run(&args),
    };
    traces::flush();
    result.unwrap_or_else(|error| {
        say(&format!("ptqd: {}", chain(error.as_ref())));
        ExitCode::FAILURE
    })
}

/// A line on stderr. A closed stderr is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line on stdout.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs a future on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future))
}
