"""Judges a weight-only ONNX model.

    check_weight_only.py ORIGINAL QUANTIZED

Prints JSON: the opset, whether data lies outside, the number of DequantizeLinear nodes, how far the model's outputs are from those of
the same graph with every DequantizeLinear computed here and put in as a float constant, and from the original's, in dB.
"""

import json
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper


def decode(node, constants):
    """DequantizeLinear as the operator's text describes it."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    codes, scale = (constants[name] for name in node.input[:2])
    kind = scale.dtype
    zero = constants[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros(1, np.float32)
    codes, scale = codes.astype(np.float32), scale.astype(np.float32)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        scale = scale.repeat(block, axis)
        zero = zero.repeat(block, axis) if zero.size > 1 else zero
    elif scale.ndim == 1:
        shape = [-1 if i == axis else 1 for i in range(codes.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape) if zero.size > 1 else zero
    return ((codes - zero) * scale).astype(kind)


def run(model, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def decibels(signal, other):
    noise = sum(float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(signal, other))
    power = sum(float((a.astype(np.float64) ** 2).sum()) for a in signal)
    return 999.0 if noise == 0 else 10 * np.log10(power / noise)


def main():
    original, quantized = sys.argv[1:]
    onnx.checker.check_model(quantized, full_check=True)
    bare = onnx.load(quantized, load_external_data=False)
    external = any(t.data_location == onnx.TensorProto.EXTERNAL for t in bare.graph.initializer)
    model = onnx.load(quantized)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    for node in nodes:
        model.graph.initializer.append(numpy_helper.from_array(decode(node, constants), node.output[0]))
        model.graph.node.remove(node)
    session = ort.InferenceSession(original, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    shapes = {i.name: [d if isinstance(d, int) else 4 for d in i.shape] for i in session.get_inputs()}
    feeds = {i.name: random.integers(0, 100, shapes[i.name]) if i.type == "tensor(int64)"
             else random.standard_normal(shapes[i.name]).astype(kinds[i.type]) for i in session.get_inputs()}
    ours = run(quantized, feeds)
    with tempfile.TemporaryDirectory() as folder:
        decoded = os.path.join(folder, "decoded.onnx")
        onnx.save(model, decoded)
        theirs = run(decoded, feeds)
    print(json.dumps({"opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
                      "external": external, "dequantize": len(nodes), "decoded_db": decibels(theirs, ours),
                      "original_db": decibels(run(original, feeds), ours)}))


main()
