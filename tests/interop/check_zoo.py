"""Quantizes every model of the onnx package's backend tests that has a Conv, Gemm or MatMul with constant weights.

    check_zoo.py PTQD [FOLDER OF MORE MODELS]

Each must pass onnx.checker and run in onnxruntime afterwards, or end in an objection that has a code. Prints a line for
each model; ends with 1 if one crashed or gave what does not run.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.backend.test
import onnxruntime
from onnx import numpy_helper

program = sys.argv[1]
DATA = os.path.join(os.path.dirname(onnx.backend.test.__file__), "data")
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}
MINIMAL = {"backend_kwargs": {"placement": "minimal"}}
INT8 = {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]}
SPECS = {
    "tensorrt": {"algorithm": "entropy", "layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]},
    **{placement: {**INT8, "backend_kwargs": {"placement": placement}} for placement in ("onnxruntime", "openvino")},
    "int8": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}], **MINIMAL},
    "half": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}], "backend_kwargs": {"placement": "minimal", "high_precision_dtype": "fp16"}},
    "fp8": {**MINIMAL, "layers": [{"module_name": "*", "weights": {"dtype": "fp8_e4m3fn"}, "activations": {"dtype": "fp8_e4m3fn"}}]},
}


LEVELS = onnxruntime.GraphOptimizationLevel
# The tolerance of the report: fused kernels that differ by more are worth a warning.
FAITHFUL_DB = 25


def run(path, level, arrays):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 3, level
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, arrays)


def sqnr(exact, given):
    """Of all float outputs together, in dB."""
    pairs = [(a.astype("f8"), b.astype("f8")) for a, b in zip(exact, given) if a.dtype.kind == "f"]
    noise = sum(np.square(a - b).sum() for a, b in pairs)
    return 10 * np.log10(sum(np.square(a).sum() for a, _ in pairs) / noise) if noise else np.inf


def has_weights(model):
    constants = {t.name for t in model.graph.initializer}
    constants |= {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    return any(n.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and n.input[1] in constants for n in model.graph.node)


def samples(model):
    """An array for each input; open dimensions are small, the batch is what the model has or 4."""
    random = np.random.default_rng(3)
    constants = {t.name for t in model.graph.initializer}
    arrays = {}
    for info in model.graph.input:
        if info.name in constants:
            continue
        kind = info.type.tensor_type
        dims = [d.dim_value or 4 for d in kind.shape.dim]
        dtype = TYPES[kind.elem_type]
        whole = np.issubdtype(dtype, np.integer) or dtype == np.bool_
        arrays[info.name] = (random.integers(0, 2, dims) if whole else random.normal(size=dims)).astype(dtype)
    return arrays


def quantize(path, spec, folder):
    model = onnx.load(path)
    data = os.path.join(folder, "data.npz")
    arrays = samples(model)
    np.savez(data, **arrays)
    rules = os.path.join(folder, "spec.json")
    with open(rules, "w") as file:
        json.dump({"backend": "modelopt", "mode": "static_ptq", **spec}, file)
    out = os.path.join(folder, "out")
    command = [program, "quantize", "--model", path, "--spec", rules, "--calibration", data, "--out", out]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if ran.returncode not in (0, 1, 2) or "panicked" in ran.stderr:
        return "CRASH", ran.stderr[-400:]
    if ran.returncode:
        last = [line for line in ran.stderr.splitlines() if line.startswith(("error", "  "))][:1] or [ran.stderr[-200:]]
        coded = "[" in ran.stderr
        return ("objection" if coded else "CRASH"), last[0]
    quantized = os.path.join(out, "model.onnx")
    onnx.checker.check_model(quantized, full_check=True)
    report = json.load(open(os.path.join(out, "report.json")))
    warned = {warning["code"] for warning in report["warnings"]}
    plain = run(quantized, LEVELS.ORT_DISABLE_ALL, arrays)
    run(quantized, LEVELS.ORT_ENABLE_BASIC, arrays)
    if "int8" in str(spec):
        db = sqnr(plain, run(quantized, LEVELS.ORT_ENABLE_ALL, arrays))
        if db < FAITHFUL_DB and "fused_kernels_inexact" not in warned:
            return "BROKEN", f"the default session is {db:.1f} dB from the plain one, and no warning says so"
    latency, for_cpu = report["latency"], spec.get("backend_kwargs", {}).get("placement") in ("onnxruntime", "openvino")
    slower = for_cpu and latency and latency["after_ms"] > 1.05 * latency["before_ms"]
    if slower and "slower_than_original" not in warned:
        return "BROKEN", f"slower than the original, and no warning says so: {latency}"
    summary = report["summary"]
    return "quantized", f"{summary['layers_quantized']} layers, {summary['output_sqnr_db'] or float('inf'):.1f} dB"


failures = 0
paths = sorted(glob.glob(os.path.join(DATA, "**", "*.onnx"), recursive=True))
paths += sorted(glob.glob(os.path.join(sys.argv[2], "*.onnx"))) if len(sys.argv) > 2 else []
counts = {}
for path in paths:
    name = os.path.relpath(path, DATA if path.startswith(DATA) else sys.argv[2])
    try:
        if not has_weights(onnx.load(path, load_external_data=False)):
            continue
    except Exception as error:
        print(f"{name:60} unreadable by onnx: {error}")
        continue
    for dtype, spec in SPECS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome, detail = quantize(path, spec, folder)
            except Exception as error:
                outcome, detail = "BROKEN", f"{type(error).__name__}: {error}"[:300]
        failures += outcome in ("CRASH", "BROKEN")
        counts[outcome] = counts.get(outcome, 0) + 1
        print(f"{name:60} {dtype:8} {outcome}: {detail}", flush=True)
print(counts)
sys.exit(failures > 0)
