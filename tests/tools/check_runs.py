"""Whether a model passes onnx.checker and runs on the first samples of a file: check_runs.py MODEL DATA"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

model, data = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with np.load(data) as arrays:
    outputs = session.run(None, {i.name: arrays[i.name][:2] for i in session.get_inputs()})
json.dump({"runs": all(np.isfinite(o).all() for o in outputs)}, sys.stdout)
