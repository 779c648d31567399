"""Graphs whose weights lie where they should not: hostile_graphs.py LOCATIONS OUT. LOCATIONS is a JSON list; the graph of
location N is OUT/N.onnx."""

import json
import os
import sys

import onnx
from onnx import TensorProto, helper

locations, out = sys.argv[1:]
for number, location in enumerate(json.load(open(locations))):
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "64"}.items():
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with open(os.path.join(out, f"{number}.onnx"), "wb") as file:
        file.write(model.SerializeToString())
print("{}")
