"""The arrays of a .npz as a safetensors file: to_safetensors.py IN OUT"""

import json
import sys

import numpy as np
from safetensors.numpy import save_file

with np.load(sys.argv[1]) as arrays:
    save_file({name: np.ascontiguousarray(arrays[name]) for name in arrays.files}, sys.argv[2])
json.dump({}, sys.stdout)
