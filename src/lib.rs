//! Post-training quantization as a service.
//!
//! A functional core (synchronous, local paths) under an imperative shell (HTTP, SQL, object stores). The shell is behind
//! the feature `service`; without it this is a library that quantizes models.
//!
//! | core | |
//! |---|---|
//! | [`numeric`] | element formats, bit for bit |
//! | [`tensor`] | shapes and views |
//! | [`quant`] | floats → codes → floats; kernels and their slow twins |
//! | [`calibration`] | watching activations to choose ranges |
//! | [`spec`] | the `quantize` section and the plan it makes |
//! | [`model`] | files ⇄ memory |
//! | [`dataset`] | calibration and evaluation data |
//! | [`engine`] | running ONNX graphs |
//! | [`backend`] | the PTQ backends |
//! | [`report`] | what was done and what it cost |
//! | [`pipeline`] | one job, from local inputs to a folder of artifacts |
//! | [`job`] | what a job is, and the ports to where jobs and artifacts are stored |
//! | [`access`] | tenants' API keys and what they may do |
//! | [`webhook`] | which events are delivered where, and how they are signed |
//! | [`control`], [`fault`], [`digest`], [`files`] | leaves that all share: progress and cancellation; what an error says of itself; SHA-256; files that appear whole |

pub mod access;
pub mod backend;
pub mod calibration;
pub mod control;
pub mod dataset;
pub mod digest;
pub mod engine;
pub mod fault;
pub mod files;
pub mod job;
pub mod model;
pub mod numeric;
pub mod pipeline;
pub mod quant;
pub mod report;
pub mod spec;
pub mod tensor;
pub mod webhook;

#[cfg(feature = "service")]
pub mod api;
#[cfg(feature = "service")]
pub mod app;
#[cfg(feature = "service")]
pub mod cli;
#[cfg(feature = "service")]
pub mod compute;
#[cfg(feature = "service")]
pub mod config;
#[cfg(feature = "service")]
pub mod database;
#[cfg(feature = "service")]
pub mod outbound;
#[cfg(feature = "service")]
pub mod panics;
#[cfg(feature = "service")]
pub mod storage;
#[cfg(feature = "service")]
pub mod telemetry;
#[cfg(feature = "service")]
#[cfg_attr(feature = "otel", path = "traces/otlp.rs")]
#[cfg_attr(not(feature = "otel"), path = "traces/none.rs")]
pub mod traces;
#[cfg(feature = "service")]
pub mod worker;
