//! The integration tests: one binary, a module for each subject.
//!
//! They need what `make test` sets: ORT_DYLIB_PATH, DATABASE_URL and PTQD_TEST_PYTHON. Without one of them the tests that
//! use it fail and say so.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and is no library"
)]

mod access;
mod api;
mod bounds;
mod calibration_data;
mod checkpoint;
mod clouds;
mod cluster;
mod command_line;
mod connections;
mod cpu_placements;
mod deploy;
mod engine;
mod faults;
mod files;
mod full_disks;
mod golden_calibration;
mod golden_casts;
mod golden_formats;
mod golden_onnx;
mod golden_weights;
mod graph_weights;
mod hostile;
mod isolation;
mod old_databases;
mod padding;
mod page;
mod presets;
mod restart;
mod s3;
mod service;
mod spec_table;
mod state_dict;
mod static_graphs;
mod static_ptq;
mod store;
mod study;
mod support;
mod tenants;
mod upgrade;
mod webs;
mod weights_only;
