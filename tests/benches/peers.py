"""Python's ways to quantize the same shards, for tests/benches/checkpoint.rs.

    python peers.py CHECKPOINT OUT

Needs torch, safetensors and torchao (pip install torch safetensors torchao). Each way runs in a process of its own; its
wall time is taken without the start of the interpreter and the imports, which favours it.
"""

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path


def names(handle):
    """Linear weights as ptqd tells them: rank 2, and neither embedding nor head."""
    skipped = ("embed_tokens", "lm_head")
    return {k for k in handle.keys() if len(handle.get_slice(k).get_shape()) == 2 and not any(s in k for s in skipped)}


def convert(source, out, quantize):
    """Each shard read, its Linear weights given to `quantize` for codes and scale, and saved."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(source.glob("*.safetensors")):
        tensors = {}
        with safe_open(path, "pt") as handle:
            linear = names(handle)
            for name in handle.keys():
                weight = handle.get_tensor(name)
                if name in linear:
                    tensors[name], tensors[name + "_scale"] = quantize(weight)
                else:
                    tensors[name] = weight
        save_file(tensors, out / path.name)


def loop(source, out, dtype):
    """The loop that one writes by hand: row by row, in torch."""
    import torch

    def quantize(weight):
        amax = weight.abs().amax(dim=1, keepdim=True).float()
        if dtype == "int8":
            scale = (amax / 127.5).clamp(min=2**-23)
            return (weight.float() / scale).round().clamp(-128, 127).to(torch.int8), scale
        scale = amax / 448
        return (weight.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale

    convert(source, out, quantize)


def quantize_with_torchao(source, out, dtype):
    """torchao's own quantize_ on each weight as a Linear module."""
    import torch
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, PerRow, quantize_

    config = Int8WeightOnlyConfig(version=2) if dtype == "int8" else Float8WeightOnlyConfig()
    if hasattr(config, "granularity"):
        config.granularity = PerRow()

    def quantize(weight):
        module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        module.weight = torch.nn.Parameter(weight, requires_grad=False)
        holder = torch.nn.Sequential(module)
        quantize_(holder, config)
        return holder[0].weight.qdata, holder[0].weight.scale

    convert(source, out, quantize)


def main():
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) == 3:
        for way in ("loop", "torchao"):
            for dtype in ("int8", "fp8"):
                subprocess.run([sys.executable, __file__, source, out, way, dtype], check=True)
        return
    way, dtype = sys.argv[3:]
    import safetensors.torch  # noqa: F401
    import torch  # noqa: F401

    if way == "torchao":
        import torchao.quantization  # noqa: F401
    out.mkdir()
    began = time.monotonic()
    {"loop": loop, "torchao": quantize_with_torchao}[way](source, out, dtype)
    wall = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    shutil.rmtree(out)
    subprocess.run(["sync"], check=True)
    print(f"{'torch loop' if way == 'loop' else way} {dtype} {wall:.2f} s, {peak} MiB resident at most", flush=True)


main()
