"""What the benches that compare files of one net in onnxruntime share: sessions of one thread, fidelity, and the CPU's name."""

import numpy as np
import onnxruntime as ort


def session(path, optimized=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if optimized:
        options.optimized_model_filepath = optimized
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def sqnr(exact, given):
    """Of all arrays together, in dB."""
    noise = sum(float(((a - b).astype("f8") ** 2).sum()) for a, b in zip(exact, given))
    return 10 * np.log10(sum(float((a.astype("f8") ** 2).sum()) for a in exact) / noise) if noise else np.inf


def cpu():
    known = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "avx512_bf16")
    with open("/proc/cpuinfo") as file:
        told = {key.strip(): value.split() for key, _, value in (line.partition(":") for line in file)}
    return " ".join(told["model name"] + [flag for flag in known if flag in told["flags"]])
