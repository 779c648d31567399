"""How fast static PTQ runs on trained nets, ours beside onnxruntime's own: real_nets.py PTQD FOLDER [NET...]

Quantizes each net (tests/tools/trained.py) with ptqd and with onnxruntime's tools, and runs all files in turns in one process:
one thread, batch 1, default session. Prints how much faster than float each is, its SQNR to float on inputs that calibration
did not see, how many layers with weights are fused, and its size. requirements-real.txt has the packages, for pip with --no-deps.
"""

import collections
import json
import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import trained  # noqa: E402
from compared import cpu, session, sqnr  # noqa: E402
from trained import CALIBRATED  # noqa: E402

program, folder = sys.argv[1], sys.argv[2]
logging.disable(logging.WARNING)
ROUNDS, SECONDS = 25, 30
DYNAMIC = ("ocr_rec", "captcha", "minilm", "magika", "silero")
LAYERS = ("Conv", "FusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "LSTM")
FUSED = ("QLinearConv", "QGemm", "MatMulIntegerToFloat", "QLinearMatMul", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
MOVED = ("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput")


class Reader(CalibrationDataReader):
    def __init__(self, given):
        self.samples = iter(given[:CALIBRATED])

    def get_next(self):
        return next(self.samples, None)


def ours(name, path, given, dynamic=False):
    out = os.path.join(folder, f"{name}-ptqd{'-dynamic' if dynamic else ''}")
    data, spec = os.path.join(folder, f"{name}.npz"), os.path.join(folder, "spec.json")
    np.savez(data, **{key: np.concatenate([sample[key] for sample in given[:CALIBRATED]]) for key in given[0]})
    rule = {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8", "dynamic": dynamic}}
    with open(spec, "w") as file:
        json.dump({"quantize": {"backend": "modelopt", "layers": [rule], "backend_kwargs": {"placement": "onnxruntime"}}}, file)
    shutil.rmtree(out, ignore_errors=True)
    calibration = [] if dynamic else ["--calibration", data]
    ran = subprocess.run([program, "quantize", "--model", path, *calibration, "--spec", spec, "--out", out], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip()[-600:])
    return os.path.join(out, "model.onnx")


def prepared(name, path):
    """What onnxruntime's tools ask for: opset 13 for a scale of each channel, constants and normalizations folded."""
    newer, out = os.path.join(folder, f"{name}-newer.onnx"), os.path.join(folder, f"{name}-prepared.onnx")
    model = onnx.load(path)
    if max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")) < 13:
        onnx.save(onnx.version_converter.convert_version(model, 13), newer)
        path = newer
    try:
        quant_pre_process(path, out)
    except Exception as error:
        print(f"  quant_pre_process needs skip_symbolic_shape: {str(error)[-200:]!r}")
        quant_pre_process(path, out, skip_symbolic_shape=True)
    return out


def static(path, out, given, activations, types=None):
    chosen = {"per_channel": True, "activation_type": activations, "weight_type": QuantType.QInt8, "op_types_to_quantize": types}
    try:
        quantize_static(path, out, Reader(given), quant_format=QuantFormat.QDQ, **chosen)
    except ValueError as error:
        print(f"  quantize_static needs QDQDisableWeightAdjustForInt32Bias: {error}")
        quantize_static(path, out, Reader(given), quant_format=QuantFormat.QDQ, extra_options={"QDQDisableWeightAdjustForInt32Bias": True}, **chosen)
    return out


def dynamic(path, out, per_channel):
    quantize_dynamic(path, out, per_channel=per_channel, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm", "LSTM"])
    return out


def files(name, path, given):
    """Each label with its file; what fails is told."""
    ready = prepared(name, path)
    beside = lambda label: os.path.join(folder, f"{name}-{label}.onnx")
    makers = {
        "ptqd": lambda: ours(name, path, given),
        "static U8S8": lambda: static(ready, beside("u8s8"), given, QuantType.QUInt8),
        "static S8S8": lambda: static(ready, beside("s8s8"), given, QuantType.QInt8),
    }
    if name in DYNAMIC:
        makers |= {
            "ptqd, dynamic": lambda: ours(name, path, given, dynamic=True),
            "static U8S8, MatMul alone": lambda: static(ready, beside("matmul"), given, QuantType.QUInt8, ["MatMul"]),
            "dynamic": lambda: dynamic(ready, beside("dynamic"), False),
            "dynamic, per channel": lambda: dynamic(ready, beside("channels"), True),
        }
    for label, make in makers.items():
        try:
            made = make()
            session(made).run(None, given[0])
            yield label, made
        except Exception as error:
            print(f"  {label} failed: {type(error).__name__}: {str(error).strip()[-600:]}", flush=True)


def counted(path):
    """How many nodes of each kind the session runs; layers with weights alone, of those that may have none."""
    session(path, path + ".optimized")
    graph = onnx.load(path + ".optimized").graph
    constants = {tensor.name for tensor in graph.initializer}
    return collections.Counter(node.op_type for node in graph.node if node.op_type not in LAYERS or node.input[1] in constants)


def measure(sessions, given):
    """Each file's median time on the CPU, all in turns, and its SQNR to float, where positions are no padding."""

    def output(one, sample):
        y = one.run(None, sample)[0]
        return y[sample["attention_mask"] == 1] if "attention_mask" in sample else y

    began = time.perf_counter()
    outputs = {label: [output(one, sample) for sample in given] for label, one in sessions.items()}
    rounds = max(ROUNDS, int(SECONDS * len(given) / (time.perf_counter() - began)))
    times = {label: [] for label in sessions}
    for round_ in range(rounds):
        for label, one in sessions.items():
            began = time.thread_time()
            one.run(None, given[round_ % len(given)])
            times[label].append(time.thread_time() - began)
    return {label: (np.median(times[label]), sqnr(outputs["float"], outputs[label])) for label in sessions}


def main():
    print("CPU:", cpu(), "onnxruntime", ort.__version__)
    os.makedirs(folder, exist_ok=True)
    for name in sys.argv[3:] or trained.NETS:
        path, given = trained.make(name, folder)
        print(name, flush=True)
        made = {"float": path} | dict(files(name, path, given))
        counts = {label: counted(file) for label, file in made.items()}
        layers = sum(counts["float"][op] for op in LAYERS)
        figures = measure({label: session(file) for label, file in made.items()}, given[CALIBRATED:])
        base = figures["float"][0]
        print(f"{name}: float {base * 1e3:.2f} ms, {os.path.getsize(path) / 1e6:.1f} MB, {layers} layers")
        for label, (seconds, db) in list(figures.items())[1:]:
            fused = sum(counts[label][op] for op in FUSED)
            rest = " ".join(f"{counts[label][op]} {op}" for op in MOVED if counts[label][op])
            print(f"  {label:26} {base / seconds:5.2f} x {db:6.2f} dB {fused:3}/{layers} fused {os.path.getsize(made[label]) / 1e6:6.1f} MB  {rest}", flush=True)


main()
