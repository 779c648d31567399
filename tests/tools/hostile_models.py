"""Models that crash, hang or eat the engine that runs them, one for each operator: FOLDER.

Prints {name: what should become of a job that runs it: a list of codes, any of which will do}.
"""

import json
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(sys.argv[1])
EXPECTED = {}


def array(name, values, dtype):
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def longs(name, values):
    return array(name, values, np.int64)


def model(name, codes, nodes, tensors=(), functions=(), opset=17):
    """`nodes` take `a`, the output of a MatMul of the input, and give `y`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weights = array("w", np.linspace(-1, 1, 16).reshape(4, 4), np.float32)
    first = helper.make_node("MatMul", ["x", "w"], ["a"], name="first")
    graph = helper.make_graph([first, *nodes], name, inputs, outputs, [weights, *tensors])
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("own", 1)] if functions else [])
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    made.ir_version = 8
    (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString())
    EXPECTED[name] = codes


def added(node):
    """The sum of what a node gives, added to the layer."""
    return [node, helper.make_node("ReduceSum", node.output[:1], ["s"], keepdims=0), helper.make_node("Add", ["a", "s"], ["y"])]


def loop(node):
    """The body of a loop that goes on for as long as it may."""
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    go_on = helper.make_node("Identity", ["go"], ["goes"])
    takes = [scalar("i", TensorProto.INT64), scalar("go", TensorProto.BOOL), value("v")]
    return helper.make_graph([go_on, node], "body", takes, [scalar("goes", TensorProto.BOOL), value("next")])


def chain(depth, width, name):
    """Functions of which each calls the one before `width` times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(depth):
        inner, nodes = "X", []
        for at in range(width):
            out = "Y" if at == width - 1 else f"t{at}"
            call = helper.make_node(f"{name}{level - 1}", [inner], [out], domain="own") if level else helper.make_node("Relu", [inner], [out])
            nodes.append(call)
            inner = out
        functions.append(helper.make_function("own", f"{name}{level}", ["X"], ["Y"], nodes, opsets))
    return functions, [helper.make_node(f"{name}{depth - 1}", ["a"], ["y"], domain="own")]


RUN = ["model_run_failed", "model_rejected", "model_invalid"]
CRASH = ["model_crashes_engine"]
MEMORY = ["engine_out_of_memory", "memory_insufficient"]
TIME = ["timed_out"]

model("random_uniform", CRASH, added(helper.make_node("RandomUniform", [], ["r"], shape=[2, 2], low=1.0, high=-1.0)))
model("gather_nd", RUN + CRASH, [helper.make_node("GatherND", ["a", "at"], ["y"], batch_dims=1)], [longs("at", [[[5000000]], [[-7000000]]])])
model("split", RUN + CRASH, [helper.make_node("Split", ["a", "sizes"], ["y", "z"], axis=1)], [longs("sizes", [-3, 7])])
model("max", RUN + CRASH, [helper.make_node("Max", ["a", "e", "f"], ["y"])], [array("e", np.zeros((0, 4)), np.float32), array("f", np.zeros((3, 1, 0)), np.float32)])
model("layer_normalization", RUN + CRASH, [helper.make_node("LayerNormalization", ["a", "scale"], ["y"], axis=-1)], [array("scale", np.zeros(0), np.float32)])
model(
    "one_hot",
    RUN + CRASH + MEMORY,
    [helper.make_node("Cast", ["a"], ["n"], to=TensorProto.INT64), helper.make_node("OneHot", ["n", "depth", "values"], ["y"], axis=-1)],
    [longs("depth", [10**12]), array("values", [0, 1], np.float32)],
)
model("unique", RUN + CRASH, [helper.make_node("Unique", ["a"], ["y"], axis=7)])
model(
    "depth_to_space",
    RUN + CRASH,
    [helper.make_node("Reshape", ["a", "shape"], ["r"]), helper.make_node("DepthToSpace", ["r"], ["y"], blocksize=0)],
    [longs("shape", [-1, 4, 1, 1])],
)
functions, nodes = chain(3000, 1, "f")
model("function_chain", ["model_invalid"], nodes, functions=functions)
functions, nodes = chain(9, 10, "g")
model("nested_functions", ["model_invalid"], nodes, functions=functions)
true = array("true", True, np.bool_)
grows = loop(helper.make_node("Concat", ["v", "v"], ["next"], axis=0))
model("loop_that_eats", MEMORY, [helper.make_node("Loop", ["times", "true", "a"], ["y"], body=grows)], [longs("times", 60), true])
counts = loop(helper.make_node("Add", ["v", "one"], ["next"]))
model("endless_loop", TIME, [helper.make_node("Loop", ["", "true", "a"], ["y"], body=counts)], [true, array("one", 1, np.float32)])
model("constant_of_100_gb", MEMORY, added(helper.make_node("ConstantOfShape", ["shape"], ["c"])), [longs("shape", [25 * 10**9])])
square = helper.make_node("ConstantOfShape", ["side"], ["c"], value=array("v", [1.5], np.float32))
product = added(helper.make_node("MatMul", ["c", "c"], ["cc"]))
model("long_operator", TIME + MEMORY, [square, *product], [longs("side", [9000, 9000])])
names = [f"{'n' * 8000}{at}" for at in range(300)]
dead = [helper.make_node("MatMul", [f"z{at}", "w"], [f"z{at + 1}"], name=name) for at, name in enumerate(names)]
model("long_names", ["succeeded"], [helper.make_node("Mul", ["a", "none"], ["z0"]), *dead, helper.make_node("Add", ["a", f"z{len(dead)}"], ["y"])], [array("none", 0, np.float32)])
there = lambda at: helper.make_node("Unsqueeze", [f"u{at}" if at else "a"], [f"v{at}"], axes=[0], name=f"/encoder/layers.{at}/attention/Unsqueeze_of_some_length")
back = lambda at: helper.make_node("Squeeze", [f"v{at}"], [f"u{at + 1}"], axes=[0], name=f"/encoder/layers.{at}/attention/Squeeze_of_some_length")
model("old_opset", ["succeeded"], [node(at) for at in range(400) for node in (there, back)] + [helper.make_node("Relu", ["u400"], ["y"])], opset=11)
model("honest", ["succeeded"], [helper.make_node("Relu", ["a"], ["y"])])

np.savez(FOLDER / "data.npz", x=np.linspace(-1, 1, 64).reshape(16, 4).astype(np.float32))
print(json.dumps(EXPECTED))
