"""A .npz with an array `count` of integers more: with_count.py IN OUT"""

import json
import sys

import numpy as np

with np.load(sys.argv[1]) as arrays:
    x = arrays["x"]
np.savez(sys.argv[2], x=x, count=np.arange(len(x), dtype=np.int64))
json.dump({}, sys.stdout)
