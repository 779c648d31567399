"""Writes a model with its weights in a file of a folder beside it: externalize.py MODEL OUT."""

import os
import sys

import onnx

model, out = sys.argv[1:]
os.makedirs(os.path.join(os.path.dirname(out), "weights"), exist_ok=True)
onnx.save(onnx.load(model), out, save_as_external_data=True, location="weights/all.bin", size_threshold=0)
print("{}")
