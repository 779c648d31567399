.PHONY: demo test quick test-interop bench fuzz check setup openapi

# Quantizes two small trained models through a real server and shows the reports.
demo:
	@tests/tools/setup demo
	@. .tools/env && cargo run --release --quiet -- demo

# All tests. A missing piece is fetched, or fails with a line that says what to do.
test:
	@tests/tools/setup test
	@. .tools/env && export PG_PROGRAMS && tests/tools/with-postgres tests/tools/run-tests

# In seconds once built: the unit tests, and those integration tests that together reach nine in ten lines of
# src/model/onnx and src/backend.
QUICK = spec_table:: static_graphs:: checkpoint:: state_dict:: golden_ calibration_data::random calibration_data::what_is \
	calibration_data::folders weights_only::zeros graph_weights::external static_ptq::weights_alone study::memory hostile::nodes
quick:
	@tests/tools/setup test
	@. .tools/env && cargo test --quiet --lib && cargo test --quiet --test it -- $(QUICK)

# The runtimes that must load what we write, and the tools that we must not be worse than: transformers with
# compressed-tensors and with torchao, every model of the onnx package, onnxruntime's and ModelOpt's static PTQ, OpenVINO, and generated clients of the API. Fetches torch.
test-interop:
	@tests/tools/setup interop
	cargo build --quiet
	@. .tools/env && "$$PTQD_INTEROP_PYTHON" tests/interop/check_llm.py target/debug/ptqd
	@. .tools/env && "$$PTQD_TEST_PYTHON" tests/interop/check_zoo.py target/debug/ptqd
	@. .tools/env && "$$PTQD_PEERS_PYTHON" tests/interop/check_peers.py target/debug/ptqd
	@. .tools/env && "$$PTQD_OPENVINO_PYTHON" tests/interop/check_openvino.py target/debug/ptqd
	@. .tools/env && "$$PTQD_CLIENTS_PYTHON" tests/interop/check_api.py target/debug/ptqd .tools/typescript/node_modules

# A 4 GB checkpoint beside cp, a loop in torch, and torchao; the kernels beside memcpy. Needs 20 GB of disk.
bench:
	@tests/tools/setup interop
	@. .tools/env && cargo bench --bench checkpoint -- --peers "$$PTQD_INTEROP_PYTHON"
	cargo bench --bench kernels

# Mutated inputs for every parser, SECONDS of each. A finding is saved in target/fuzz.
SECONDS ?= 5
fuzz:
	cargo bench --quiet --bench fuzz -- --seconds $(SECONDS)

# What CI checks besides: formatting, lints, documentation, links, the core without the service, licences.
check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --lib --no-default-features -- -D warnings
	cargo clippy --lib --features otel -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	python3 tests/tools/check_links.py .
	tests/tools/deny

setup:
	@tests/tools/setup test

# After a change of the API, of a setting, or of an error.
openapi:
	cargo run --quiet -- openapi >openapi/openapi.json
	cargo run --quiet -- config example >ptqd.example.toml
	cargo run --quiet -- errors >docs/errors.md
