"""Models of old versions of ONNX's operator set, and whether what they were carried to computes the same.

    old_graphs.py make FOLDER     writes NAME.onnx for each operator whose form or meaning changed
    old_graphs.py compare FOLDER  runs NAME.onnx and NAME.new.onnx on the same numbers; prints the largest difference of each
"""

import glob
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

command, folder = sys.argv[1:]
random = np.random.default_rng(7)
CASES = {
    "add6": (6, ["Add"], dict(broadcast=1), [("c", [4])], [2, 4]),
    "batch_norm6": (6, ["BatchNormalization"], dict(is_test=1), [("s", [4]), ("b", [4]), ("m", [4]), ("v", [4])], [2, 4, 3, 3]),
    "batch_norm": (7, ["BatchNormalization"], dict(spatial=1), [("s", [4]), ("b", [4]), ("m", [4]), ("v", [4])], [2, 4, 3, 3]),
    "upsample7": (7, ["Upsample"], dict(scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"), [], [1, 2, 3, 3]),
    "upsample9": (9, ["Upsample"], dict(mode="linear"), [("scales", np.float32([1, 1, 2, 2]))], [1, 2, 3, 3]),
    "resize10": (10, ["Resize"], dict(mode="nearest"), [("scales", np.float32([1, 1, 1.5, 2]))], [1, 2, 4, 3]),
    "resize11": (11, ["Resize"], dict(mode="linear"), [("roi", np.float32([])), ("scales", np.float32([1, 1, 2, 3]))], [1, 2, 4, 3]),
    "dropout7": (7, ["Dropout"], dict(ratio=0.3), [], [2, 3]),
    "dropout10": (10, ["Dropout"], dict(ratio=0.3), [], [2, 3]),
    "slice": (9, ["Slice"], dict(starts=[1, 0], ends=[3, -1], axes=[1, 2]), [], [2, 4, 5]),
    "slice_no_axes": (9, ["Slice"], dict(starts=[1, 0], ends=[2, 3]), [], [2, 4]),
    "topk": (9, ["TopK"], dict(k=2, axis=1), [], [3, 5]),
    "clip": (10, ["Clip"], dict(min=-0.5, max=0.25), [], [2, 8]),
    "clip_min": (10, ["Clip"], dict(min=0.0), [], [2, 8]),
    "clip_none": (10, ["Clip"], dict(), [], [2, 8]),
    "pad": (10, ["Pad"], dict(pads=[0, 1, 2, 0], value=1.5), [], [2, 3]),
    "pad_zero": (10, ["Pad"], dict(pads=[0, 1, 2, 0], mode="reflect"), [], [4, 4]),
    "scatter": (10, ["Scatter"], dict(axis=1), [("i", np.int64([[1, 2]])), ("u", np.float32([[7, 8]]))], [1, 4]),
    "softmax_flat": (12, ["Softmax"], dict(axis=1), [], [2, 3, 4]),
    "softmax_default": (9, ["Softmax"], dict(), [], [2, 3, 4, 2]),
    "softmax_last": (11, ["Softmax"], dict(axis=-1), [], [2, 3, 4]),
    "logsoftmax": (12, ["LogSoftmax"], dict(axis=2), [], [2, 3, 4, 2]),
    "hardmax": (12, ["Hardmax"], dict(axis=1), [], [2, 3, 4]),
    "reduce_sum": (12, ["ReduceSum"], dict(axes=[1], keepdims=0), [], [2, 3, 4]),
    "reduce_mean": (12, ["ReduceMean"], dict(axes=[-1]), [], [2, 3, 4]),
    "reduce_max_all": (11, ["ReduceMax"], dict(), [], [2, 3]),
    "split": (12, ["Split"], dict(axis=1, split=[1, 3]), [], [2, 4]),
    "split_even": (12, ["Split"], dict(axis=1), [], [2, 4]),
    "squeeze": (12, ["Squeeze"], dict(axes=[1]), [], [2, 1, 4]),
    "squeeze_all": (12, ["Squeeze"], dict(), [], [2, 1, 4]),
    "unsqueeze": (12, ["Unsqueeze"], dict(axes=[0, 2]), [], [2, 4]),
    "average_pool": (12, ["AveragePool"], dict(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), [], [1, 2, 5, 5]),
    "grid_sample": (16, ["GridSample"], dict(mode="bilinear"), [("g", random.uniform(-1, 1, [1, 3, 3, 2]).astype("f4"))], [1, 2, 4, 4]),
    "roi_align": (
        15, ["RoiAlign"], dict(output_height=2, output_width=2),
        [("r", np.float32([[0, 0, 3, 3]])), ("n", np.int64([0]))], [1, 2, 5, 5],
    ),
}  # fmt: skip
OUTPUTS = {"split": 2, "split_even": 2, "topk": 2}


def make():
    for name, (opset, (op,), attributes, constants, shape) in CASES.items():
        inputs, tensors = ["x"], []
        for key, value in constants:
            value = random.uniform(0.5, 1.5, value).astype("f4") if isinstance(value, list) else value
            tensors.append(numpy_helper.from_array(value, key))
            inputs.append(key)
        outputs = [f"y{i}" for i in range(OUTPUTS.get(name, 1))]
        node = helper.make_node(op, inputs, outputs, name="n", **attributes)
        kinds = [TensorProto.INT64 if name == "topk" and i == 1 else TensorProto.FLOAT for i in range(len(outputs))]
        results = [helper.make_tensor_value_info(o, kind, None) for o, kind in zip(outputs, kinds)]
        graph = helper.make_graph([node], name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], results, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
        # The checker wants a shape for each output; what it is, a run tells.
        values = run(model.SerializeToString(), np.zeros(shape, "f4"))
        for info, value in zip(model.graph.output, values):
            info.CopyFrom(helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, value.shape))
        onnx.save(model, os.path.join(folder, f"{name}.onnx"))
    return {"cases": len(CASES)}


def run(path, x):
    model = onnx.load(path) if isinstance(path, str) else onnx.load_from_string(path)
    if model.opset_import[0].version < 7:  # onnxruntime has forgotten how
        return ReferenceEvaluator(model).run(None, {"x": x})
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def compare():
    differences = {}
    for name, (_, _, _, _, shape) in CASES.items():
        path = os.path.join(folder, f"{name}.onnx")
        new = path.replace(".onnx", ".new.onnx")
        onnx.checker.check_model(onnx.load(new), full_check=True)
        x = random.normal(size=shape).astype("f4")
        before, after = run(path, x), run(new, x)
        assert [b.shape for b in before] == [a.shape for a in after], name
        differences[name] = max(float(np.abs(b - a).max()) for b, a in zip(before, after))
    return differences


json.dump(make() if command == "make" else compare(), sys.stdout)
