"""Small ONNX models for the tests of weight-only PTQ.

    make_graphs.py FOLDER FIXTURE

external.onnx: FIXTURE with its data in another file. hostile-*.onnx: external data that points where it must not.
tied.onnx: one constant read by two MatMuls, and one read by a MatMul and a Gather. half.onnx: f16 weights. old.onnx: opset 17 with
ReduceMean's axes as an attribute. concat.onnx: a Concat of two quantized tensors. branch.onnx: a MatMul in a branch. single.onnx:
operators that have no f16 form, and one that takes an f32 input beside f16 ones. named-domain.onnx: FIXTURE with ONNX's own
domain spelled out. products.onnx: MatMul and Gemm in their forms, the last two of one constant, and one Gemm with a factor. ragged.onnx:
a product that sums over 80. tables.onnx: tables whose rows are picked, one twice, one of f16, and a narrow one. loud.onnx: convolutions
and pooling of which some give values beyond f16's range. bare-*.onnx: a node without inputs and one without outputs. Prints nothing but {}.
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder, fixture = sys.argv[1:]
random = np.random.default_rng(1)


def save(name, nodes, constants, inputs, outputs, opset=18):
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, os.path.join(folder, name))


def value(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


model = onnx.load(fixture)
onnx.save(model, os.path.join(folder, "external.onnx"), save_as_external_data=True, location="external.bin", size_threshold=256)
locations = ["/etc/passwd", "../external.bin", "sub/../../external.bin", "", "link.bin", "missing.bin", "external.bin"]
os.symlink("external.bin", os.path.join(folder, "link.bin"))
for number, location in enumerate(locations):
    bare = onnx.load(os.path.join(folder, "external.onnx"), load_external_data=False)
    tensor = next(t for t in bare.graph.initializer if t.data_location == TensorProto.EXTERNAL)
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = location
        if entry.key == "offset" and location == "external.bin":
            entry.value = "18446744073709551000"
    with open(os.path.join(folder, f"hostile-{number}.onnx"), "wb") as out:
        out.write(bare.SerializeToString())

model = onnx.load(fixture)
for node in model.graph.node:
    node.domain = "ai.onnx"
onnx.save(model, os.path.join(folder, "named-domain.onnx"))
for op, inputs, outputs in [("MaxPool", [], ["y"]), ("BatchNormalization", ["x"] * 5, [])]:
    nodes = [helper.make_node(op, inputs, outputs, f"bare {op}"), helper.make_node("Relu", ["x"], ["z"])]
    graph = helper.make_graph(nodes, "bare", [value("x", "n", 8)], [value("z", "n", 8)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), os.path.join(folder, f"bare-{op}.onnx"))

weights = lambda *shape: (random.standard_normal(shape) * 0.1).astype(np.float32)
save("tied.onnx", [
    helper.make_node("MatMul", ["x", "both"], ["a"], "first"), helper.make_node("MatMul", ["a", "both"], ["b"], "second"),
    helper.make_node("MatMul", ["b", "table"], ["c"], "head"), helper.make_node("Gather", ["table", "one"], ["row"], "embed"),
    helper.make_node("Add", ["c", "row"], ["y"], "add"),
], {"both": weights(64, 64), "table": weights(64, 64), "one": np.array(1, np.int64)}, [value("x", "n", 64)], [value("y", "n", 64)])
save("half.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"], "fc")], {"w": weights(64, 32).astype(np.float16)},
     [value("x", "n", 64, kind=TensorProto.FLOAT16)], [value("y", "n", 32, kind=TensorProto.FLOAT16)])
save("old.onnx", [
    helper.make_node("Gemm", ["x", "w", "bias"], ["a"], "fc", transB=1), helper.make_node("ReduceMean", ["a"], ["m"], "mean", axes=[1], keepdims=1),
    helper.make_node("Sub", ["a", "m"], ["s"], "sub"), helper.make_node("Split", ["s"], ["l", "r"], "split", axis=1),
    helper.make_node("Mul", ["l", "r"], ["y"], "mul"),
], {"w": weights(64, 32), "bias": weights(64)}, [value("x", "n", 32)], [value("y", "n", 32)], opset=17)
conv = lambda x, w, y: helper.make_node("Conv", [x, w], [y], f"conv_{y}", pads=[1, 1, 1, 1])
save("concat.onnx", [
    conv("x", "w1", "a"), conv("x", "w2", "b"), helper.make_node("Concat", ["a", "b"], ["c"], "join", axis=1),
    conv("c", "w3", "y"), conv("a", "w4", "z"),
], {"w1": weights(16, 16, 3, 3), "w2": weights(16, 16, 3, 3) * 4, "w3": weights(16, 32, 3, 3), "w4": weights(16, 16, 3, 3)},
     [value("x", "n", 16, 8, 8)], [value("y", "n", 16, 8, 8), value("z", "n", 16, 8, 8)])
save("loud.onnx", [
    conv("x", "w1", "big"), helper.make_node("Relu", ["big"], ["loud"], "act"),
    helper.make_node("MaxPool", ["loud"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]), conv("p", "w2", "t"),
    helper.make_node("Mul", ["t", "down"], ["s"], "lower"), conv("s", "w3", "y"),
], {"w1": weights(16, 16, 3, 3) * 40000, "w2": weights(16, 16, 3, 3), "w3": weights(16, 16, 3, 3), "down": np.array(2e-5, np.float32)},
     [value("x", "n", 16, 8, 8)], [value("y", "n", 16, 4, 4), value("loud", "n", 16, 8, 8)])
branch = lambda name, w: helper.make_graph(
    [helper.make_node("MatMul", ["h", w], [f"{name}_out"], f"{name}_fc")], name, [], [value(f"{name}_out", "n", 32)])
save("branch.onnx", [
    helper.make_node("MatMul", ["x", "w"], ["h"], "fc"),
    helper.make_node("ReduceMax", ["h"], ["top"], "top", keepdims=0), helper.make_node("Greater", ["top", "zero"], ["high"], "high"),
    helper.make_node("If", ["high"], ["y"], "choose", then_branch=branch("yes", "w1"), else_branch=branch("no", "w2")),
], {"w": weights(32, 32), "w1": weights(32, 32), "w2": weights(32, 32), "zero": np.array(0, np.float32)},
     [value("x", "n", 32)], [value("y", "n", 32)])
save("single.onnx", [
    helper.make_node("MatMul", ["x", "w"], ["h"], "fc"), helper.make_node("Range", ["zero", "limit", "one"], ["steps"], "steps"),
    helper.make_node("Mul", ["h", "steps"], ["m"], "mul"), helper.make_node("Add", ["m", "one"], ["a"], "add"),
    helper.make_node("Unsqueeze", ["a", "axes"], ["u"], "unsqueeze"), helper.make_node("Resize", ["u", "", "scales"], ["y"], "resize", mode="nearest"),
    helper.make_node("Cast", ["count"], ["f"], "cast", to=TensorProto.FLOAT), helper.make_node("ConstantOfShape", ["dims"], ["blank"], "blank"),
    helper.make_node("Add", ["f", "blank"], ["z"], "sum"),
], {"w": weights(32, 32), "zero": np.array(0, np.float32), "limit": np.array(32, np.float32), "one": np.array(1, np.float32),
    "axes": np.array([1], np.int64), "scales": np.array([1, 1, 2], np.float32), "dims": np.array([1], np.int64)},
     [value("x", "n", 32), value("count", "n", kind=TensorProto.INT64)], [value("y", "n", 1, 64), value("z", "n")])
save("products.onnx", [
    helper.make_node("MatMul", ["x", "w"], ["a"], "plain"), helper.make_node("Relu", ["a"], ["r"], "relu"),
    helper.make_node("Gemm", ["r", "linear", "bias"], ["b"], "linear", transB=1), helper.make_node("Gemm", ["b", "gemm", "row"], ["c"], "gemm"),
    helper.make_node("Transpose", ["turned"], ["t"], "turn", perm=[1, 0]), helper.make_node("MatMul", ["c", "t"], ["d"], "turned"),
    helper.make_node("Gemm", ["d", "half"], ["e"], "half", alpha=0.5), helper.make_node("MatMul", ["e", "again"], ["f"], "first"),
    helper.make_node("MatMul", ["f", "again"], ["y"], "second"),
], {"w": weights(96, 64), "linear": weights(32, 64), "bias": weights(32), "gemm": weights(32, 128), "row": weights(1, 128),
    "turned": weights(64, 128), "half": weights(64, 64), "again": weights(64, 64)}, [value("x", "n", 96)], [value("y", "n", 64)])
save("ragged.onnx", [helper.make_node("MatMul", ["x", "w"], ["a"], "ragged"), helper.make_node("MatMul", ["a", "v"], ["y"], "even")],
     {"w": weights(80, 64), "v": weights(64, 6)}, [value("x", "n", 80)], [value("y", "n", 6)])
scaled = lambda rows, width: weights(rows, width) * np.exp(random.standard_normal((rows, 1))).astype(np.float32)
save("tables.onnx", [
    helper.make_node("Gather", ["words", "ids"], ["a"], "words"), helper.make_node("Gather", ["words", "others"], ["b"], "more_words", axis=0),
    helper.make_node("Gather", ["half", "ids"], ["h"], "half"), helper.make_node("Cast", ["h"], ["c"], "cast", to=TensorProto.FLOAT),
    helper.make_node("Gather", ["narrow", "ids"], ["n"], "narrow"), helper.make_node("Sub", ["a", "b"], ["d"], "sub"),
    helper.make_node("Add", ["d", "c"], ["e"], "add"), helper.make_node("MatMul", ["e", "w"], ["f"], "fc"), helper.make_node("Add", ["f", "n"], ["y"], "sum"),
], {"words": scaled(100, 64), "half": scaled(100, 64).astype(np.float16), "narrow": weights(100, 8), "w": weights(64, 8)},
     [value(name, "n", 5, kind=TensorProto.INT64) for name in ("ids", "others")], [value("y", "n", 5, 8)])
print("{}")
