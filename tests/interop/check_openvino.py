"""Results for OpenVINO in OpenVINO: check_openvino.py PTQD

A convolutional net, a gated one, an encoder and a mean of positions (tests/tools/cpu_nets.py) are quantized for placement `openvino`, by the command and by a
server whose jobs run confined, with the library of this Python's package and, by the command, with a file that is none.
Reports must say that the latency was measured in this version; in what OpenVINO compiles of the results, fake quantization
may stand beside the graph's inputs alone, and layers must compute in codes; what it gives must be what onnxruntime gives.
Ends with 1 where one of that is not so.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import onnxruntime
import openvino

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = pathlib.Path(openvino.__file__).parent / "libs"
VERSION = openvino.get_version().split("-")[0]
INT8 = {"dtype": "int8"}
RULES = {"backend": "modelopt", "mode": "static_ptq", "backend_kwargs": {"placement": "openvino"},
         "layers": [{"module_name": "*", "weights": INT8, "activations": INT8}]}  # fmt: skip
ptqd, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(tempfile.mkdtemp())


def by_command(net, library, *data):
    out = work / f"{net}-{len(data)}-{library.name}"
    subprocess.run([ptqd, "quantize", "--model", work / f"{net}.onnx", "--spec", work / "rules.json", "--out", out,
                    "--openvino", library, "--threads", "2", *data], check=True, capture_output=True)  # fmt: skip
    return json.loads((out / "report.json").read_text()), out / "model.onnx"


def by_service(net):
    log = work / "server.log"
    server = subprocess.Popen([ptqd, "serve", "--listen", "127.0.0.1:0", "--data-dir", work / "data", "--threads", "2",
                               "--file-root", work, "--openvino", LIBRARY], stderr=log.open("w"))  # fmt: skip
    try:
        while not (found := re.search(r"listening on (\S+)", log.read_text())):
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)

        def ask(path, body=None):
            data = body and json.dumps(body).encode()
            request = urllib.request.Request(found[1] + path, data, {"content-type": "application/json"})
            return json.loads(urllib.request.urlopen(request).read())

        uris = {role: {"uri": (work / f"{net}{end}").as_uri()} for role, end in (("model", ".onnx"), ("calibration", ".npz"))}
        path = f"/v1/jobs/{ask('/v1/jobs', {**uris, 'quantize': RULES})['id']}"
        while (job := ask(path))["status"] in ("queued", "running"):
            time.sleep(0.1)
        assert job["status"] == "succeeded", job
        return ask(f"{path}/report")
    finally:
        server.terminate()
        server.wait()


def measured(report):
    codes = {warning["code"] for warning in report["warnings"]}
    assert f"OpenVINO {VERSION} " in report["latency"]["measured_on"], (report["latency"], report["warnings"])
    assert not codes & {"openvino_not_measured", "openvino_differs", "not_fused"}, report["warnings"]
    return f"{report['latency']['before_ms']:.3f} ms -> {report['latency']['after_ms']:.3f} ms"


def layers(path):
    """How many layers OpenVINO computes in codes; none may have its quantization left beside it."""
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    of = lambda node, key: node.get_rt_info()[key].astype(str)
    nodes = compiled.get_runtime_model().get_ordered_ops()
    left = [node.get_friendly_name() for node in nodes if of(node, "layerType") == "FakeQuantize"
            and of(node.input_value(0).get_node(), "layerType") != "Input"]  # fmt: skip
    assert not left, f"{path}: quantization that is left: {left}"
    found = [node for node in nodes if of(node, "layerType") in ("Convolution", "FullyConnected")]
    floats = [node.get_friendly_name() for node in found if of(node, "runtimePrecision") not in ("u8", "i8")]
    assert found and not floats, f"{path}: layers in floats: {floats}"
    return len(found)


def agrees(net, path):
    """What OpenVINO gives is as near to the original as what onnxruntime gives; their kernels round otherwise."""
    x = np.load(work / f"{net}.npz")["x"]
    exact, given = (onnxruntime.InferenceSession(file).run(None, {"x": x})[0] for file in (work / f"{net}.onnx", path))
    sqnr = lambda values: 10 * np.log10((exact**2).sum() / ((exact - values) ** 2).sum())
    db, expected = sqnr(openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]), sqnr(given)
    assert db > expected - 3, f"{net}: {db:.1f} dB in OpenVINO, {expected:.1f} dB in onnxruntime"
    return f"{db:.1f} dB, {expected:.1f} dB in onnxruntime"


subprocess.run([sys.executable, ROOT / "tests/tools/cpu_nets.py", work], check=True, capture_output=True)
(work / "rules.json").write_text(json.dumps(RULES))
for net in ("residual", "gated", "encoder", "pooled"):
    given = ("--calibration", work / f"{net}.npz")
    report, model = by_command(net, LIBRARY, *given)
    print(f"{net}: {measured(report)}, {agrees(net, model)}")
for net in ("residual", "encoder"):
    given = ("--calibration", work / f"{net}.npz")
    print(f"{net}: {layers(work / f'{net}-2-{LIBRARY.name}' / 'model.onnx')} layers in codes")
    print(f"{net}: {measured(by_service(net))} in a confined process")
    # What is no OpenVINO is a warning, and the job goes on in onnxruntime.
    report, _ = by_command(net, pathlib.Path(sys.executable).resolve(), *given)
    assert "onnxruntime" in report["latency"]["measured_on"], report["latency"]
    assert "openvino_not_measured" in {warning["code"] for warning in report["warnings"]}, report["warnings"]
print(f"OpenVINO {VERSION}: all as it should be")
