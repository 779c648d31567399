//! The HTTP interface: one file per resource, each with its DTOs, handlers and `routes()`.
//!
//! Talks to ports only ([`JobStore`](crate::job::JobStore), [`InputPolicy`], …); which database or store is behind them is
//! not known here. What every request passes through is in `middleware`; the routes are put together in `routes`.

mod access;
mod admission;
mod artifacts;
mod backends;
mod conditional;
mod connections;
mod create;
mod error;
mod events;
mod extract;
mod failures;
mod health;
mod job_actions;
mod job_schema;
mod jobs;
mod keys;
mod limits;
mod middleware;
mod network;
mod openapi;
mod page;
mod path_job;
mod plain_words;
mod plans;
mod ports;
mod preprocess;
mod presets;
mod problem;
mod reports;
mod request;
mod routes;
mod shares;
mod state;
mod uploads;
mod views;
mod wait;
mod webhooks;

pub use access::Access;
pub use connections::{ConnectionLimits, Taking, serve};
pub use error::problem_codes;
pub use failures::Failures;
pub use limits::Limits;
pub use middleware::{CorsOrigins, HttpSettings, OriginError, Pace};
pub use ports::{Answered, DiskProbe, InputPolicy, Telemetry, WebhookPolicy};
pub use routes::{openapi, router};
pub use shares::Shares;
pub use state::ApiState;
