"""Static int8 by ptqd beside onnxruntime's and ModelOpt's tools: check_peers.py PTQD

The fixtures' nets, the same calibration data, the same layers (those that ModelOpt takes; input and weight, symmetric,
weights per channel), the same evaluation: SQNR of the outputs over 899 images, every graph run node by node in onnxruntime. Prints a line for each tool and algorithm; ends with 1 where the best of ptqd's is more than
0.5 dB below the best of the others'.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
SLACK_DB = 0.5


def fixture(name):
    return os.path.join(FIXTURES, name)


def run(model, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[i : i + 64]})[0] for i in range(0, len(images), 64)])


def sqnr(before, after):
    before, after = before.astype(np.float64), after.astype(np.float64)
    return 10 * np.log10((before**2).sum() / ((before - after) ** 2).sum())


def folded(model, folder):
    """The model with its constants folded by onnxruntime, which the other tools need to see weights behind a Transpose."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = os.path.join(folder, "folded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return options.optimized_model_filepath


def layers(model):
    """The nodes that read both an activation and a constant through a DequantizeLinear."""
    graph = onnx.load(model).graph
    producer = {o: n.op_type for n in graph.node for o in n.output}
    constants = {t.name for t in graph.initializer}

    def dequantized(name):
        return producer.get(name) == "DequantizeLinear"

    return [n.name for n in graph.node if n.op_type in ("Conv", "Gemm", "MatMul")
            and dequantized(n.input[0]) and (dequantized(n.input[1]) or n.input[1] in constants)]  # fmt: skip


def ptqd(program, model, algorithm, nodes, folder):
    spec = os.path.join(folder, "spec.json")
    int8 = {"dtype": "int8"}
    rules = {"backend": "modelopt", "mode": "static_ptq", "algorithm": algorithm, "backend_kwargs": {"placement": "minimal"},
             "layers": [{"module_name": node, "weights": int8, "activations": int8} for node in nodes]}  # fmt: skip
    json.dump(rules, open(spec, "w"))
    out = os.path.join(folder, f"ptqd-{algorithm}")
    subprocess.run([program, "quantize", "--model", model, "--spec", spec, "--calibration", fixture("calibration.npz"),
                    "--evaluation", fixture("evaluation.npz"), "--labels", "y", "--out", out],
                   check=True, capture_output=True)  # fmt: skip
    return os.path.join(out, "model.onnx")


def onnxruntime_tool(model, method, nodes, folder):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            images = np.load(fixture("calibration.npz"))["input"]
            self.batches = iter([{"input": images[i : i + 64]} for i in range(0, len(images), 64)])

        def get_next(self):
            return next(self.batches, None)

    out = os.path.join(folder, f"onnxruntime-{method}.onnx")
    # Inputs and weights alone, as TensorRT wants them: no pair behind a layer, biases in float.
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
               "OpTypesToExcludeOutputQuantization": ["Conv", "Gemm", "MatMul"]}  # fmt: skip
    quantize_static(model, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, nodes_to_quantize=nodes,
                    activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    calibrate_method=getattr(CalibrationMethod, method), extra_options=options)  # fmt: skip
    return out


def modelopt_tool(model, method, _, folder):
    from modelopt.onnx.quantization import quantize

    out = os.path.join(folder, f"modelopt-{method}.onnx")
    quantize(model, quantize_mode="int8", calibration_data=np.load(fixture("calibration.npz"))["input"],
             calibration_method=method, calibration_eps=["cpu"], output_path=out, high_precision_dtype="fp32",
             op_types_to_quantize=["Conv", "Gemm", "MatMul"])  # fmt: skip
    return out


def peer(tool, model, method, nodes, folder):
    """The file that a tool makes, in a process of its own: ModelOpt changes onnxruntime's tool where it is imported."""
    arguments = json.dumps([model, method, nodes, folder])
    # There: the tools leave files of their own where they run.
    command = [sys.executable, os.path.abspath(__file__), "--tool", tool, arguments]
    made = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if made.returncode != 0:
        sys.exit(f"{tool} {method} failed on {model}:\n{made.stderr[-2000:]}")
    return made.stdout.strip().splitlines()[-1]


def main(program):
    images = np.load(fixture("evaluation.npz"))["input"]
    passed = failed = 0
    for name in ("convnet", "mobilenet", "vit"):
        ours, theirs = {}, {}
        with tempfile.TemporaryDirectory() as folder:
            model = folded(fixture(f"{name}.onnx"), folder)
            before = run(model, images)
            made = {method: peer("modelopt", model, method, None, folder) for method in ("max", "entropy")}
            # ModelOpt leaves some layers out whatever it is told; what it takes is what all are compared on.
            nodes = layers(made["max"])
            for method, path in made.items():
                theirs[f"modelopt {method}"] = sqnr(before, run(path, images))
            for algorithm in ("minmax", "entropy", "percentile", "mse"):
                path = ptqd(program, model, algorithm, nodes, folder)
                assert layers(path) == nodes, (layers(path), nodes)
                ours[algorithm] = sqnr(before, run(path, images))
            for method in ("MinMax", "Entropy", "Percentile"):
                path = peer("onnxruntime", model, method, nodes, folder)
                assert layers(path) == nodes, (layers(path), nodes)
                theirs[f"onnxruntime {method}"] = sqnr(before, run(path, images))
        for tool, db in [*((f"ptqd {a}", db) for a, db in ours.items()), *theirs.items()]:
            print(f"{name}: {tool} {db:.2f} dB")
        best, other = max(ours, key=ours.get), max(theirs, key=theirs.get)
        ahead = ours[best] - theirs[other]
        print(f"{name}: algorithm {best} is {ahead:+.2f} dB from the best of the others, {other}")
        if ahead >= -SLACK_DB:
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if sys.argv[1] == "--tool":
    print({"onnxruntime": onnxruntime_tool, "modelopt": modelopt_tool}[sys.argv[2]](*json.loads(sys.argv[3])))
else:
    main(sys.argv[1])
