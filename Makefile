.PHONY: demo test check setup openapi

# Quantizes two small trained models through a real server and shows the reports.
demo:
	@tests/tools/setup demo
	@. .tools/env && cargo run --release --quiet -- demo

# All tests. A missing piece is fetched, or fails with a line that says what to do.
test:
	@tests/tools/setup test
	@. .tools/env && export PG_PROGRAMS && tests/tools/with-postgres tests/tools/run-tests

# What CI checks besides: formatting, lints, documentation, the core without the service, licences.
check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	tests/tools/deny

setup:
	@tests/tools/setup test

# After a change of the API.
openapi:
	cargo run --quiet -- openapi >openapi/openapi.json
