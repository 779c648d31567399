"""How far a result is from its original where f16 is computed in f16: check_float16.py ORIGINAL RESULT DATA

onnxruntime computes most f16 operators in f32 on a CPU, and so does not notice what f16 cannot hold. ONNX's reference evaluator
does. Prints the decibels of the error of each output, or null where one is not finite.
"""

import json
import sys

import numpy as np
from onnx.reference import ReferenceEvaluator

original, result, data = sys.argv[1:]
with np.load(data) as arrays, np.errstate(all="ignore"):
    inputs = {name: arrays[name][:2] for name in ReferenceEvaluator(original).input_names}
    before, after = (ReferenceEvaluator(model).run(None, inputs) for model in (original, result))
    decibels = [10 * np.log10(np.square(x).sum() / np.square(y - x.astype(np.float64)).sum()) for x, y in zip(before, after)]
json.dump({"sqnr_db": [float(value) if np.isfinite(value) else None for value in decibels]}, sys.stdout)
