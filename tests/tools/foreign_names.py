"""Graphs that say of themselves what they should not: foreign_names.py OUT.

`forged.onnx` has a node whose name is a line of a log, and fails when it runs; `samples.npz` is data for it. `nested.onnx`
stands for 10^9 nodes; `sparse.onnx` and `function.onnx` have a tensor outside the model's folder, in a sparse initializer and
in a function."""

import os
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

out = sys.argv[1]


def save(name, nodes, initializers=(), functions=(), sparse=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        list(initializers),
    )
    graph.sparse_initializer.extend(sparse)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)
    with open(os.path.join(out, name), "wb") as file:
        file.write(model.SerializeToString())


def outside(dims):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    return tensor


weight = numpy_helper.from_array(numpy.eye(4, dtype=numpy.float32), "w")
forged = 'x\n{"level":"ERROR","message":"forged"}\n'
save(
    "forged.onnx",
    [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="m"),
        helper.make_node("Gather", ["y", "far"], ["z"], name=forged, axis=1),
    ],
    [weight, numpy_helper.from_array(numpy.array([9], dtype=numpy.int64), "far")],
)
numpy.savez(os.path.join(out, "samples.npz"), x=numpy.ones((8, 4), dtype=numpy.float32))

identity = helper.make_node("Identity", ["a"], ["b"])
imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]


def function(n):
    if n == 9:
        return helper.make_function("f", "f9", ["a"], ["b"], [identity], imports)
    calls = [helper.make_node(f"f{n + 1}", ["a"], ["b" if i == 9 else f"b{i}"], domain="f") for i in range(10)]
    return helper.make_function("f", f"f{n}", ["a"], ["b"], calls, imports)


call = helper.make_node("f0", ["x"], ["z"], domain="f")
save("nested.onnx", [call], functions=[function(n) for n in range(10)])

constant = helper.make_node("Constant", [], ["b"])
constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=outside([4]))
save("function.onnx", [call], functions=[helper.make_function("f", "f0", ["a"], ["b"], [constant], imports)])

sparse = onnx.SparseTensorProto(values=outside([1]), indices=numpy_helper.from_array(numpy.array([0])), dims=[4, 4])
save("sparse.onnx", [helper.make_node("MatMul", ["x", "w"], ["z"], name="m")], sparse=[sparse])
print("{}")
