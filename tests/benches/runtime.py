"""How fast static PTQ runs on this CPU, ours beside onnxruntime's own: runtime.py PTQD FOLDER [NET...]

Makes six nets with seeded weights, quantizes each with ptqd and with onnxruntime's tools, and runs all files in turns in one
process: one thread, batch 1, default session. Prints how much faster than float each is, its SQNR to float, and what was
fused. The Python that runs it has onnx and onnxruntime; OpenVINO's figures are printed where it is installed too.
"""

import collections
import json
import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import nets  # noqa: E402
from compared import cpu, session, sqnr  # noqa: E402

program, folder = sys.argv[1], sys.argv[2]
logging.disable(logging.WARNING)
CALIBRATED, MEASURED, ROUNDS = 32, 16, 60
random = np.random.default_rng(16)


class Net(nets.Net):
    def conv(self, x, inputs, outputs, size, stride=1, group=1, gain=2.0):
        w = random.normal(0, np.sqrt(gain * group / (inputs * size * size)), [outputs, inputs // group, size, size])
        b = random.normal(0, 0.05, outputs)
        w, b = self.constant(w.astype("f4")), self.constant(b.astype("f4"))
        return self.node("Conv", x, w, b, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4, group=group)

    def linear(self, x, inputs, outputs):
        w = random.normal(0, np.sqrt(1 / inputs), [inputs, outputs]).astype("f4")
        b = random.normal(0, 0.02, outputs).astype("f4")
        return self.node("Add", self.node("MatMul", x, self.constant(w)), self.constant(b))

    def norm(self, x, width):
        scale = random.uniform(0.5, 1.5, width).astype("f4")
        return self.node("LayerNormalization", x, self.constant(scale), self.constant(np.zeros(width, "f4")))

    def silu(self, x):
        return self.node("Mul", x, self.node("Sigmoid", x))

    def gelu(self, x):
        half, one, root = (self.constant(np.float32(value)) for value in (0.5, 1, 2**0.5))
        return self.node("Mul", self.node("Mul", x, half), self.node("Add", self.node("Erf", self.node("Div", x, root)), one))

    def head(self, x, width, classes=1000):
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        w = random.normal(0, np.sqrt(1 / width), [classes, width]).astype("f4")
        return self.node("Gemm", x, self.constant(w), self.constant(np.zeros(classes, "f4")), transB=1)

    def attention(self, x, width, heads):
        split = self.constant(np.int64([0, 0, heads, width // heads]))
        join, scale = self.constant(np.int64([0, 0, width])), self.constant(np.float32((width // heads) ** -0.5))
        q, k, v = (self.node("Reshape", self.linear(x, width, width), split) for _ in range(3))
        q, k = self.node("Transpose", self.node("Mul", q, scale), perm=[0, 2, 1, 3]), self.node("Transpose", k, perm=[0, 2, 3, 1])
        v = self.node("Transpose", v, perm=[0, 2, 1, 3])
        y = self.node("MatMul", self.node("Softmax", self.node("MatMul", q, k), axis=-1), v)
        return self.linear(self.node("Reshape", self.node("Transpose", y, perm=[0, 2, 1, 3]), join), width, width)

    def block(self, x, width, heads):
        x = self.node("Add", x, self.attention(self.norm(x, width), width, heads))
        y = self.gelu(self.linear(self.norm(x, width), width, 4 * width))
        return self.node("Add", x, self.linear(y, 4 * width, width))


def resnet50(net):
    x = net.node("MaxPool", net.node("Relu", net.conv("x", 3, 64, 7, 2)), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage, (blocks, middle) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.node("Relu", net.conv(x, width, middle, 1))
            y = net.node("Relu", net.conv(y, middle, middle, 3, stride))
            y = net.conv(y, middle, 4 * middle, 1, gain=0.5)
            x = net.conv(x, width, 4 * middle, 1, stride, gain=1) if not block else x
            x, width = net.node("Relu", net.node("Add", y, x)), 4 * middle
    return net.head(x, width)


def mobilenet_v2(net):
    low, high = net.constant(np.float32(0)), net.constant(np.float32(6))
    relu6 = lambda y: net.node("Clip", y, low, high)
    x, width = relu6(net.conv("x", 3, 32, 3, 2)), 32
    for expand, outputs, repeats, first in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for at in range(repeats):
            stride, middle = (first if not at else 1), expand * width
            y = relu6(net.conv(x, width, middle, 1)) if expand > 1 else x
            y = relu6(net.conv(y, middle, middle, 3, stride, group=middle))
            y = net.conv(y, middle, outputs, 1, gain=1)
            x, width = (net.node("Add", x, y) if stride == 1 and width == outputs else y), outputs
    return net.head(relu6(net.conv(x, width, 1280, 1)), 1280)


def efficientnet_b0(net):
    x, width = net.silu(net.conv("x", 3, 32, 3, 2, gain=4)), 32
    for expand, outputs, repeats, first, size in [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]:
        for at in range(repeats):
            stride, middle = (first if not at else 1), expand * width
            y = net.silu(net.conv(x, width, middle, 1, gain=4)) if expand > 1 else x
            y = net.silu(net.conv(y, middle, middle, size, stride, group=middle, gain=4))
            gate = net.silu(net.conv(net.node("GlobalAveragePool", y), middle, max(1, width // 4), 1))
            gate = net.node("Sigmoid", net.conv(gate, max(1, width // 4), middle, 1))
            y = net.conv(net.node("Mul", y, gate), middle, outputs, 1, gain=4)
            x, width = (net.node("Add", x, y) if stride == 1 and width == outputs else y), outputs
    return net.head(net.silu(net.conv(x, width, 1280, 1, gain=4)), 1280)


def encoder(net):
    x = "x"
    for _ in range(6):
        x = net.block(x, 384, 6)
    return x


def vit(net, width=192):
    w = random.normal(0, np.sqrt(1 / 768), [width, 3, 16, 16]).astype("f4")
    x = net.node("Conv", "x", net.constant(w), net.constant(np.zeros(width, "f4")), kernel_shape=[16, 16], strides=[16, 16])
    x = net.node("Transpose", net.node("Reshape", x, net.constant(np.int64([0, width, 196]))), perm=[0, 2, 1])
    x = net.node("Add", x, net.constant(random.normal(0, 0.3, [1, 196, width]).astype("f4")))
    for _ in range(6):
        x = net.block(x, width, 3)
    x = net.node("ReduceMean", net.norm(x, width), axes=[1], keepdims=0)
    w = random.normal(0, np.sqrt(1 / width), [width, 1000]).astype("f4")
    return net.node("Gemm", x, net.constant(w), net.constant(np.zeros(1000, "f4")))


def convnext(net):
    def moved(x, perm):
        return net.node("Transpose", x, perm=perm)

    x, width = None, 0
    for outputs, blocks in [(48, 2), (96, 2), (192, 4), (384, 2)]:
        size = 2 if width else 4
        w = random.normal(0, np.sqrt(1 / ((width or 3) * size * size)), [outputs, width or 3, size, size]).astype("f4")
        x = net.node("Conv", x or "x", net.constant(w), net.constant(np.zeros(outputs, "f4")), kernel_shape=[size] * 2, strides=[size] * 2)
        width = outputs
        for _ in range(blocks):
            y = moved(net.conv(x, width, width, 7, group=width, gain=1), [0, 2, 3, 1])
            y = net.linear(net.gelu(net.linear(net.norm(y, width), width, 4 * width)), 4 * width, width)
            y = net.node("Mul", y, net.constant(random.uniform(0.1, 0.5, width).astype("f4")))
            x = net.node("Add", x, moved(y, [0, 3, 1, 2]))
    return net.head(x, width)


NETS = {
    "resnet50": (resnet50, [3, 224, 224]), "mobilenet_v2": (mobilenet_v2, [3, 224, 224]),
    "efficientnet_b0": (efficientnet_b0, [3, 224, 224]), "encoder": (encoder, [128, 384]),
    "vit": (vit, [3, 224, 224]), "convnext": (convnext, [3, 224, 224]),
}  # fmt: skip
OPTIMIZED = ("QLinearConv", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QGemm", "MatMulIntegerToFloat", "QLinearMatMul", "DynamicQuantizeMatMul", "QLinearConcat", "Conv", "FusedConv", "MatMul", "Gemm", "DequantizeLinear", "QuantizeLinear")


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.samples = iter([{"x": x[at : at + 1]} for at in range(CALIBRATED)])

    def get_next(self):
        return next(self.samples, None)


def ours(name, path, placement, dynamic=False, **options):
    out = os.path.join(folder, f"{name}-{placement}{'-dynamic' if dynamic else ''}{''.join(options)}")
    data = os.path.join(folder, f"{name}.npz")
    rule = {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8", "dynamic": dynamic}}
    quantize = {"backend": "modelopt", "layers": [rule], "backend_kwargs": {"placement": placement, **options}}
    spec = os.path.join(folder, "spec.json")
    json.dump({"quantize": quantize}, open(spec, "w"))
    shutil.rmtree(out, ignore_errors=True)
    ran = subprocess.run([program, "quantize", "--model", path, "--calibration", data, "--spec", spec, "--out", out], capture_output=True, text=True)
    if ran.returncode:
        print(f"  ptqd {placement}: {ran.stderr.strip()[-300:]}")
        return None
    return os.path.join(out, "model.onnx")


def static(path, out, x, activations, types=None):
    quantize_static(path, out, Reader(x), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=activations, weight_type=QuantType.QInt8, op_types_to_quantize=types)
    return out


def files(name, path, x):
    beside = lambda label: os.path.join(folder, f"{name}-{label}.onnx")
    yield "ptqd onnxruntime", ours(name, path, "onnxruntime")
    yield "ptqd openvino", ours(name, path, "openvino")
    yield "ptqd tensorrt", ours(name, path, "tensorrt")
    yield "static U8S8", static(path, beside("u8s8"), x, QuantType.QUInt8)
    yield "static S8S8", static(path, beside("s8s8"), x, QuantType.QInt8)
    if name in ("encoder", "vit", "convnext"):
        yield "ptqd onnxruntime, dynamic", ours(name, path, "onnxruntime", dynamic=True)
        yield "static U8S8, MatMul alone", static(path, beside("matmul"), x, QuantType.QUInt8, ["MatMul"])
        for per_channel in (False, True):
            out = beside(f"dynamic{per_channel}")
            quantize_dynamic(path, out, per_channel=per_channel, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
            yield f"dynamic{', per channel' if per_channel else ''}", out


def fused(path):
    session(path, path + ".optimized")
    counts = collections.Counter(node.op_type for node in onnx.load(path + ".optimized", load_external_data=False).graph.node)
    return " ".join(f"{counts[op]} {op}" for op in OPTIMIZED if counts[op])


def measure(runs, x):
    """The median of each file's time, all in turns, and the SQNR to the first."""
    samples = [x[CALIBRATED + at : CALIBRATED + at + 1] for at in range(MEASURED)]
    outputs = {label: [run(sample) for sample in samples] for label, run in runs.items()}
    times = {label: [] for label in runs}
    for round_ in range(ROUNDS):
        for label, run in runs.items():
            began = time.perf_counter()
            run(samples[round_ % MEASURED])
            times[label].append(time.perf_counter() - began)
    first = next(iter(runs))
    return {label: (np.median(times[label]), sqnr(outputs[first], outputs[label])) for label in runs}


def table(title, figures, notes):
    (_, (base, _)), *rest = figures.items()
    print(f"{title}: float {base * 1e3:.1f} ms")
    for label, (seconds, db) in rest:
        print(f"  {label:28} {base / seconds:5.2f} x {db:6.2f} dB  {notes.get(label, '')}", flush=True)


print("CPU:", cpu(), "onnxruntime", ort.__version__)
os.makedirs(folder, exist_ok=True)
for name in sys.argv[3:] or NETS:
    make, shape = NETS[name]
    random = np.random.default_rng(16)
    net = Net()
    path = os.path.join(folder, f"{name}.onnx")
    net.save(path, ["N", *shape], make(net))
    x = random.normal(size=[CALIBRATED + MEASURED, *shape]).astype("f4")
    if len(shape) == 3:
        # Neighbouring pixels are alike, as those of photographs are.
        x = np.repeat(np.repeat(x[:, :, ::8, ::8], 8, axis=2), 8, axis=3) + 0.2 * x
    np.savez(os.path.join(folder, f"{name}.npz"), x=x[:CALIBRATED])
    made = {"float": path} | {label: file for label, file in files(name, path, x) if file}
    sessions = {label: session(file) for label, file in made.items()}
    runs = {label: (lambda value, one=one: one.run(None, {"x": value})[0]) for label, one in sessions.items()}
    table(name, measure(runs, x), {label: fused(file) for label, file in made.items()})
    try:
        import openvino
    except ImportError:
        continue
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    compiled = {label: core.compile_model(file, "CPU") for label, file in made.items() if "dynamic" not in label}
    runs = {label: (lambda value, one=one: one([value])[0]) for label, one in compiled.items()}
    table(f"{name} on OpenVINO {openvino.__version__[:10]}", measure(runs, x), {})
