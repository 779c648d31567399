//! `ptqd health`: whether a server on this machine answers, for containers that have the program and no shell.

use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Args;

use super::say;
use crate::outbound::Guard;

#[derive(Args, Debug)]
pub(super) struct HealthArgs {
    /// The address that the server listens on.
    #[arg(long, env = "PTQD_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

pub(super) fn run(args: &HealthArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut address = args.listen;
    if address.ip().is_unspecified() {
        // One that listens everywhere listens here.
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let agent = Guard { private: true }.agent(Duration::from_secs(4));
    let mut answer = agent.get(format!("http://{address}/readyz")).call()?;
    if answer.status().is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&answer.body_mut().read_to_string()?);
    Ok(ExitCode::FAILURE)
}
