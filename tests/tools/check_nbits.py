"""Judges a weight-only ONNX model whose products are nodes of MatMulNBits.

    check_nbits.py ORIGINAL QDQ NBITS

QDQ is the same model with the same codes behind DequantizeLinear. Prints JSON: how many nodes of either kind NBITS has, their attributes,
how large the largest difference of the two models' outputs is beside the largest output, with the optimizations of onnxruntime's default
session and with none, and how far NBITS's outputs are from those of the original, in dB.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper


def run(path, level, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def difference(theirs, ours):
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(theirs, ours)]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)


def main():
    original, qdq, nbits = sys.argv[1:]
    onnx.checker.check_model(nbits, full_check=True)
    model = onnx.load(nbits)
    nodes = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    assert all(node.domain == "com.microsoft" for node in nodes)
    attributes = [{a.name: helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    random = np.random.default_rng(0)
    feeds = {i.name: random.standard_normal([d if isinstance(d, int) else 3 for d in i.shape]).astype(np.float32)
             for i in ort.InferenceSession(original, providers=["CPUExecutionProvider"]).get_inputs()}
    none, default = ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    exact = run(qdq, none, feeds)
    ours = {name: run(nbits, level, feeds) for name, level in [("unoptimized", none), ("default", default)]}
    signal = run(original, none, feeds)
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(signal, ours["unoptimized"]))
    print(json.dumps({"nodes": len(nodes), "attributes": attributes,
                      "dequantize": sum(node.op_type == "DequantizeLinear" for node in model.graph.node),
                      "domains": {o.domain: o.version for o in model.opset_import},
                      **{name: difference(exact, outputs) for name, outputs in ours.items()},
                      "original_db": 10 * np.log10(sum(float((a ** 2).sum()) for a in signal) / noise)}))


main()
