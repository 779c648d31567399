"""Judges a quantized ONNX model: check_static_ptq.py FLOAT QUANTIZED EVALUATION.npz

Prints JSON: the checker's verdict is an exception. Accuracies are those of plain onnxruntime with its default session.
"""

import json
import os
import sys

import numpy as np
import onnx
import onnxruntime

float_path, quantized_path, data_path = sys.argv[1:4]
data = np.load(data_path)
everything = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
basic = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def accuracy(path, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its optimizer breaks graphs with fp8
        if level != everything:
            raise
        return str(error)
    logits = session.run(None, {session.get_inputs()[0].name: data["input"]})[0]
    return float((logits.argmax(1) == data["y"]).mean())


model = onnx.load(quantized_path)
onnx.checker.check_model(model, full_check=True)
initializers = {tensor.name: tensor for tensor in model.graph.initializer}
read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
weights = [t for t in model.graph.initializer if len(t.dims) >= 2]
zero_points = [
    initializers[node.input[2]]
    for node in model.graph.node
    if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2
]
json.dump(
    {
        "accuracy_float": accuracy(float_path, everything),
        "accuracy": accuracy(quantized_path, everything),
        "accuracy_unfused": accuracy(quantized_path, basic),
        "size_ratio": os.path.getsize(float_path) / os.path.getsize(quantized_path),
        "quantize_nodes": sum(node.op_type == "QuantizeLinear" for node in model.graph.node),
        "int8_weights": sum(t.data_type == onnx.TensorProto.INT8 for t in weights),
        "zero_points_are_zero": all(not onnx.numpy_helper.to_array(t).any() for t in zero_points),
        "unread_initializers": sorted(set(initializers) - read),
    },
    sys.stdout,
)
