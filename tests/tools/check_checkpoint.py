"""Judges a quantized checkpoint: check_checkpoint.py FLOAT QUANTIZED REPORT.json

Both are safetensors files, or folders of them. Loads the codes with the safetensors package, decodes them with numpy and
prints, as JSON, the SQNR and the largest error of each quantized tensor beside the report's figures.
"""

import json
import pathlib
import sys

import numpy as np
from safetensors import safe_open

E4M3 = [((-1) ** (c >> 7)) * ((c & 7) / 8 * 2.0**-6 if not c >> 3 & 15 else (1 + (c & 7) / 8) * 2.0 ** ((c >> 3 & 15) - 7)) for c in range(256)]
E4M3 = np.array([np.nan if c & 127 == 127 else v for c, v in enumerate(E4M3)])


def load(path):
    path = pathlib.Path(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    tensors = {}
    for file in files:
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        with safe_open(file, "np") as handle:
            for name in handle.keys():
                dtype = header[name]["dtype"]
                if dtype == "F8_E4M3":  # numpy has no such type
                    start, end = header[name]["data_offsets"]
                    codes = np.frombuffer(raw[8 + length + start : 8 + length + end], np.uint8)
                    tensors[name] = E4M3[codes].reshape(header[name]["shape"])
                else:
                    tensors[name] = handle.get_tensor(name)
    return tensors


before, after = load(sys.argv[1]), load(sys.argv[2])
report = json.load(open(sys.argv[3]))
rows = []
for layer in report["layers"]:
    if layer["decision"] != "quantize":
        continue
    stated = layer["weights"]
    name = stated["tensor"]
    original = before.pop(name).astype(np.float64)
    decoded = after.pop(name).astype(np.float64) * after.pop(name + "_scale")
    error = original - decoded
    rows.append(
        {
            "tensor": name,
            "sqnr_db": 10 * np.log10((original**2).sum() / (error**2).sum()),
            "max_abs_error": np.abs(error).max(),
            "stated_sqnr_db": stated["sqnr_db"],
            "stated_max_abs_error": stated["max_abs_error"],
        }
    )
untouched = set(before) == set(after) and all(np.array_equal(before[k], after[k]) for k in before)
json.dump({"tensors": rows, "others_untouched": untouched}, sys.stdout)
