"""onnxruntime's and ModelOpt's static PTQ of the bench's models: onnx_peers.py FOLDER

The Python that runs it has onnxruntime and nvidia-modelopt[onnx] 0.47. int8, entropy, per channel, 64 samples in batches of 8; wall time and peak RSS of a process of its own each.
"""

import os
import subprocess
import sys
import time

import numpy as np

folder = sys.argv[1]


def onnxruntime_tool(model, data, out):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import QuantFormat

    class Reader(CalibrationDataReader):
        def __init__(self):
            x = np.load(data)["x"]
            self.batches = iter([{"x": x[i : i + 8]} for i in range(0, len(x), 8)])

        def get_next(self):
            return next(self.batches, None)

    quantize_static(
        model, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.Entropy, extra_options={"ActivationSymmetric": True})  # fmt: skip


def modelopt_tool(model, data, out):
    from modelopt.onnx.quantization import quantize

    quantize(
        model, quantize_mode="int8", calibration_data=np.load(data)["x"], calibration_method="entropy",
        calibration_eps=["cpu"], output_path=out, high_precision_dtype="fp32")  # fmt: skip


TOOLS = {"onnxruntime": onnxruntime_tool, "modelopt": modelopt_tool}
if len(sys.argv) > 2:
    TOOLS[sys.argv[2]](*sys.argv[3:])
    sys.exit()
for model, data in (("resnet50.onnx", "images.npz"), ("encoder.onnx", "embeddings.npz")):
    for tool in TOOLS:
        out = os.path.join(folder, f"peer-{tool}-{model}")
        command = [sys.executable, __file__, folder, tool, os.path.join(folder, model), os.path.join(folder, data), out]
        began = time.monotonic()
        ran = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = ran.stderr.read().decode()
        _, status, usage = os.wait4(ran.pid, 0)
        wall = time.monotonic() - began
        outcome = "" if status == 0 else f"  FAILED: {errors.strip().splitlines()[-1][:200]}"
        size = f", {os.path.getsize(out) / 1e6:.1f} MB" if os.path.exists(out) else ""
        print(f"{model}: {tool} entropy {wall:.1f} s, peak RSS {usage.ru_maxrss >> 10} MiB{size}{outcome}", flush=True)
