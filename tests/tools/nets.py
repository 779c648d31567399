"""Building a net node by node, each named after its operator and its place."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    def __init__(self):
        self.nodes, self.tensors = [], []

    def constant(self, value):
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, *inputs, **attributes):
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def save(self, path, shape, y, given=None, kind=TensorProto.FLOAT):
        """Writes the net from an input `x` of this shape and kind to an output `y`, which is the tensor `y`."""
        self.nodes.append(helper.make_node("Identity", [y], ["y"], name="last"))
        inputs = [helper.make_tensor_value_info("x", kind, shape)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
