"""Small nets in the shapes that CPU placements are about, or what onnxruntime makes of a result.

    cpu_nets.py FOLDER           writes residual, gated, encoder, words, tied, scaled, vanished and pooled.onnx, and *.npz; prints {}
    cpu_nets.py MODEL DATA ORIGINAL  prints {operator: how often, after onnxruntime's default optimization}, and the SQNR of the
                             result to the original, in the default session ("db") and without optimization ("plain_db")
"""

import collections
import json
import os
import sys

import nets
import numpy as np
import onnx

random = np.random.default_rng(3)


def look(path, data, original):
    import onnxruntime as ort

    x = np.load(data)["x"]

    def run(model, level, optimized=None):
        options = ort.SessionOptions()
        options.graph_optimization_level, options.log_severity_level = level, 3
        if optimized:
            options.optimized_model_filepath = optimized
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]

    onnx.checker.check_model(path, full_check=True)
    levels = ort.GraphOptimizationLevel
    exact = run(original, levels.ORT_DISABLE_ALL)
    sqnr = lambda given: float(10 * np.log10((exact**2).sum() / ((exact - given) ** 2).sum()))
    optimized = path + ".optimized"
    figures = {"db": sqnr(run(path, levels.ORT_ENABLE_ALL, optimized)), "plain_db": sqnr(run(path, levels.ORT_DISABLE_ALL))}
    counts = collections.Counter(node.op_type for node in onnx.load(optimized).graph.node)
    print(json.dumps(figures | counts))


class Net(nets.Net):
    def weight(self, *dims):
        fan = np.prod(dims[1:]) if len(dims) > 2 else dims[0]
        return self.constant(random.normal(0, np.sqrt(1.5 / fan), dims).astype("f4"))

    def conv(self, x, inputs, outputs, size=3, group=1):
        bias = self.constant(random.normal(0, 0.1, outputs).astype("f4"))
        return self.node("Conv", x, self.weight(outputs, inputs // group, size, size), bias, pads=[size // 2] * 4, group=group)


def save(net, name, shape, y, given):
    net.save(os.path.join(folder, f"{name}.onnx"), ["n", *shape], y, ["n", *given])
    np.savez(os.path.join(folder, f"{name}.npz"), x=random.normal(0.3, 1, [8, *shape]).astype("f4"))


if len(sys.argv) > 2:
    look(*sys.argv[1:])
    sys.exit()
folder = sys.argv[1]

net = Net()
low, high = net.constant(np.float32(0)), net.constant(np.float32(6))
x = net.node("Relu", net.conv("x", 3, 16))
x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
for _ in range(2):
    y = net.node("Clip", net.conv(x, 16, 32, 1), low, high)
    y = net.conv(net.node("Clip", net.conv(y, 32, 32, group=32), low, high), 32, 16, 1)
    x = net.node("Relu", net.node("Add", x, y))
x = net.node("Flatten", net.node("GlobalAveragePool", x))
save(net, "residual", [3, 16, 16], net.node("Gemm", x, net.weight(10, 16), net.constant(np.zeros(10, "f4")), transB=1), [10])

net = Net()
silu = lambda y: net.node("Mul", y, net.node("Sigmoid", y))
x = silu(net.conv("x", 8, 16))
gate = net.conv(silu(net.conv(net.node("GlobalAveragePool", x), 16, 4, 1)), 4, 16, 1)
x = net.node("Mul", x, net.node("Sigmoid", gate))
x = net.node("Concat", net.conv(x, 16, 8, 1), net.conv(x, 16, 8), axis=1)
save(net, "gated", [8, 12, 12], net.node("ReduceMean", net.conv(x, 16, 16), axes=[2, 3], keepdims=0), [16])

net = Net()
linear = lambda x, inputs, outputs: net.node("Add", net.node("MatMul", x, net.weight(inputs, outputs)), net.constant(random.normal(0, 0.1, outputs).astype("f4")))
norm = lambda x: net.node("LayerNormalization", x, net.constant(random.uniform(0.5, 1.5, 32).astype("f4")), net.constant(np.zeros(32, "f4")))
x = "x"
for _ in range(2):
    y = norm(x)
    q, k, v = (linear(y, 32, 32) for _ in range(3))
    scores = net.node("Softmax", net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1])), axis=-1)
    x = net.node("Add", x, linear(net.node("MatMul", scores, v), 32, 32))
    x = net.node("Add", x, linear(net.node("Relu", linear(norm(x), 32, 64)), 64, 32))
save(net, "encoder", [12, 32], x, [12, 32])

for name in ("words", "tied"):
    net = Net()
    table = net.constant((random.normal(0, 1, [200, 32]) * np.exp(random.normal(0, 0.5, [200, 1]))).astype("f4"))
    positions = net.node("Gather", net.constant(random.normal(0, 0.3, [16, 32]).astype("f4")), net.constant(np.arange(12)))
    start = net.node("Gather", table, net.constant(np.zeros(1, "i8")))
    x = net.node("Add", net.node("Add", net.node("Gather", table, "x"), start), positions)
    x = net.node("Add", x, linear(net.node("Relu", linear(norm(x), 32, 64)), 64, 32))
    if name == "words":
        x, given = net.node("MatMul", norm(x), net.node("Transpose", table, perm=[1, 0])), ["n", 12, 200]
    else:
        x, given = net.node("Gemm", net.node("Reshape", norm(x), net.constant(np.array([-1, 32]))), table, transB=1), ["m", 200]
    net.save(os.path.join(folder, f"{name}.onnx"), ["n", 12], x, given, onnx.TensorProto.INT64)
    np.savez(os.path.join(folder, f"{name}.npz"), x=random.integers(0, 200, [8, 12]))

net = Net()
x = net.node("Relu", net.conv("x", 3, 16))
x = net.node("Mul", x, net.constant(random.uniform(0.5, 1.5, [1, 16, 1, 1]).astype("f4")))
x = net.node("Add", net.constant(random.normal(0, 0.5, [16, 1, 1]).astype("f4")), x)
y = net.node("Relu", net.conv(x, 16, 16))
for factor in (1e-6, 1e6):
    y = net.node("Mul", y, net.constant((factor * random.uniform(0.5, 1.5, [1, 16, 1, 1])).astype("f4")))
x = net.node("Add", x, net.conv(net.node("Relu", y), 16, 16))
coarse = np.full([16, 8, 8], 0.02, "f4")
coarse[0, 0, 0] = 4
x = net.conv(net.node("Add", x, net.constant(coarse)), 16, 16)
x = net.node("Flatten", net.node("GlobalAveragePool", x))
save(net, "scaled", [3, 8, 8], net.node("Gemm", x, net.weight(10, 16), net.constant(np.zeros(10, "f4")), transB=1), [10])
net = Net()
x = net.node("Relu", net.conv("x", 3, 16))
weight = random.normal(0, 0.1, [16, 16, 3, 3]).astype("f4")
weight[3] *= 1e-12
bias = np.full(16, 0.5, "f4")
x = net.node("Conv", x, net.constant(weight), net.constant(bias), kernel_shape=[3, 3], pads=[1] * 4)
x = net.conv(net.node("Relu", x), 16, 16)
x = net.node("Flatten", net.node("GlobalAveragePool", x))
save(net, "vanished", [3, 8, 8], net.node("Gemm", x, net.weight(10, 16), net.constant(np.zeros(10, "f4")), transB=1), [10])
net = Net()
# A factor for each channel before a mean that removes the axis of positions.
x = net.node("ReduceMean", net.node("Mul", "x", net.constant(random.uniform(0.2, 3, 32).astype("f4"))), axes=[1], keepdims=0)
save(net, "pooled", [12, 32], net.node("Gemm", x, net.weight(32, 10), net.constant(np.zeros(10, "f4"))), [10])
print("{}")
