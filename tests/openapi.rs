//! The committed OpenAPI document is the one that the routes give.
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

#[test]
fn the_committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let current = ptqd::api::openapi().to_pretty_json().expect("JSON") + "\n";
    assert!(committed == current, "openapi/openapi.json is stale: run `make openapi`");
}
