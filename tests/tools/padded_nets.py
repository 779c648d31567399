"""Nets over padded sequences: padded_nets.py FOLDER writes int64, float and bool.onnx, by the type of their mask, and *.npz.

All numbers are small multiples of powers of 2, so that every product is exact whatever the batch. What stands on padding is
far beyond what stands on real positions. Prints how many positions are real.
"""

import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = sys.argv[1]
random = np.random.default_rng(5)
samples, positions, width = 12, 10, 32
mask = (np.arange(positions) < random.integers(3, positions, samples)[:, None]).astype("i8")
x = np.where(mask[:, :, None] > 0, random.integers(-32, 33, [samples, positions, width]) / 8, 1000).astype("f4")
weights = [numpy_helper.from_array((random.integers(-8, 9, [width, width]) / 32).astype("f4"), name) for name in ("w1", "w2")]
axis = numpy_helper.from_array(np.array([1]), "axis")
nodes = [
    helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
    helper.make_node("Relu", ["a"], ["b"], name="relu"),
    helper.make_node("MatMul", ["b", "w2"], ["c"], name="second"),
    helper.make_node("Cast", ["attention_mask"], ["m"], name="cast", to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["m", "axis"], ["mm"], name="unsqueeze"),
    helper.make_node("MatMul", ["mm", "c"], ["y"], name="sum"),
]
for name, element, array in (("int64", TensorProto.INT64, "i8"), ("float", TensorProto.FLOAT, "f4"), ("bool", TensorProto.BOOL, "i8")):
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", positions, width]),
        helper.make_tensor_value_info("attention_mask", element, ["n", positions]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, width])]
    graph = helper.make_graph(nodes, name, inputs, outputs, [*weights, axis])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), os.path.join(folder, f"{name}.onnx"))
    np.savez(os.path.join(folder, f"{name}.npz"), x=x, attention_mask=mask.astype(array))
print(json.dumps({"real": int(mask.sum())}))
