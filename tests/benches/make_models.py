"""Models in the shape of ResNet-50 and of a 6-layer encoder, with seeded weights: make_models.py FOLDER

Writes resnet50.onnx with images.npz (64 samples) and encoder.onnx with embeddings.npz (64 samples); images-16.npz and
images-1024.npz are the same images fewer and repeated.
"""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = sys.argv[1]
random = np.random.default_rng(50)


class Graph:
    def __init__(self):
        self.nodes, self.tensors = [], []

    def constant(self, name, value):
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op, *inputs, **attributes):
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x, inputs, outputs, size, stride=1):
        n = len(self.nodes)
        w = random.normal(0, np.sqrt(2 / (inputs * size * size)), [outputs, inputs, size, size]).astype("f4")
        b = random.normal(0, 0.01, outputs).astype("f4")
        pads = [size // 2] * 4
        w, b = self.constant(f"w{n}", w), self.constant(f"b{n}", b)
        return self.node("Conv", x, w, b, kernel_shape=[size, size], strides=[stride, stride], pads=pads)

    def linear(self, x, inputs, outputs):
        n = len(self.nodes)
        w = random.normal(0, np.sqrt(1 / inputs), [inputs, outputs]).astype("f4")
        b = self.constant(f"b{n}", random.normal(0, 0.01, outputs).astype("f4"))
        return self.node("Add", self.node("MatMul", x, self.constant(f"w{n}", w)), b)

    def norm(self, x, width):
        n = len(self.nodes)
        scale, bias = np.ones(width, "f4"), np.zeros(width, "f4")
        return self.node("LayerNormalization", x, self.constant(f"s{n}", scale), self.constant(f"t{n}", bias))

    def save(self, path, shape, y, outputs):
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        graph = helper.make_graph(
            self.nodes, "bench", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *outputs])], self.tensors)  # fmt: skip
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def resnet50():
    g = Graph()
    x = g.node("Relu", g.conv("x", 3, 64, 7, 2))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, (blocks, middle) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = g.node("Relu", g.conv(x, width, middle, 1))
            y = g.node("Relu", g.conv(y, middle, middle, 3, stride))
            y = g.conv(y, middle, 4 * middle, 1)
            x = g.conv(x, width, 4 * middle, 1, stride) if not block else x
            # Half of each branch, so that the sum keeps its size.
            half = g.constant(f"h{len(g.nodes)}", np.float32(0.5))
            x = g.node("Relu", g.node("Mul", g.node("Add", y, x), half))
            width = 4 * middle
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    n = g.constant("fc", random.normal(0, 0.02, [2048, 1000]).astype("f4"))
    g.save(os.path.join(folder, "resnet50.onnx"), [3, 224, 224], g.node("Gemm", x, n, g.constant("fb", np.zeros(1000, "f4"))), [1000])


def encoder(layers=6, width=384, heads=6, length=128):
    g = Graph()
    x = "x"
    split = g.constant("split", np.int64([0, 0, heads, width // heads]))
    join = g.constant("join", np.int64([0, 0, width]))
    scale = g.constant("scale", np.float32((width // heads) ** -0.5))
    half, one, root = (g.constant(k, np.float32(v)) for k, v in (("half", 0.5), ("one", 1), ("root", 2**0.5)))
    for _ in range(layers):
        y = g.norm(x, width)
        q, k, v = (g.node("Reshape", g.linear(y, width, width), split) for _ in range(3))
        q = g.node("Transpose", g.node("Mul", q, scale), perm=[0, 2, 1, 3])
        k, v = g.node("Transpose", k, perm=[0, 2, 3, 1]), g.node("Transpose", v, perm=[0, 2, 1, 3])
        y = g.node("MatMul", g.node("Softmax", g.node("MatMul", q, k), axis=-1), v)
        y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 1, 3]), join)
        x = g.node("Add", x, g.linear(y, width, width))
        y = g.linear(g.norm(x, width), width, 4 * width)
        y = g.node("Mul", g.node("Mul", y, half), g.node("Add", g.node("Erf", g.node("Div", y, root)), one))
        x = g.node("Add", x, g.linear(y, 4 * width, width))
    g.save(os.path.join(folder, "encoder.onnx"), [length, width], x, [length, width])


resnet50()
encoder()
images = random.normal(size=[64, 3, 224, 224]).astype("f4")
np.savez(os.path.join(folder, "images.npz"), x=images)
np.savez(os.path.join(folder, "images-16.npz"), x=images[:16])
np.savez(os.path.join(folder, "images-1024.npz"), x=np.tile(images, [16, 1, 1, 1]))
np.savez(os.path.join(folder, "embeddings.npz"), x=random.normal(size=[64, 128, 384]).astype("f4"))
