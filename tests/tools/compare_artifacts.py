"""Whether two programs make the same artifacts: compare_artifacts.py BEFORE AFTER [WORD ...]

Runs the jobs of JOBS with both programs (`ptqd quantize`; ORT_DYLIB_PATH as ever) and compares every file that they leave,
byte for byte: models, plans, calibrations. Of report.json, what depends on the clock and the machine is left out; manifest.json
holds digests of the rest. With words, only jobs whose names hold one of them run. Exits with 1 if anything differs.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
from random import Random

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(ROOT, "tests/fixtures")
#: Keys of a report that differ from run to run.
VOLATILE = {"seconds", "latency", "peak_rss_bytes", "environment", "inputs", "predicted_peak_bytes"}


def fixture(name):
    return os.path.join(FIXTURES, name)


def rules(weights, activations=None, name="*"):
    rule = {"module_name": name, "weights": {"dtype": weights}}
    if activations:
        rule["activations"] = {"dtype": activations}
    return [rule]


def torchao(name, model, dtype, **kwargs):
    spec = {"backend": "torchao", "mode": "weight_only_ptq", "layers": rules(dtype), "backend_kwargs": kwargs}
    return name, model, spec, []


def modelopt(name, model, algorithm="minmax", weights="int8", activations="int8", evaluated=True, extra=None, **kwargs):
    spec = {"backend": "modelopt", "mode": "static_ptq", "algorithm": algorithm, "layers": rules(weights, activations),
            "backend_kwargs": {"sensitivity_layers": 2, **kwargs}, **(extra or {})}
    data = ["--calibration", fixture("calibration.npz"), "--max-samples", "64", "--batch-size", "8"]
    if evaluated:
        data += ["--evaluation", fixture("evaluation.npz"), "--labels", "y"]
    return name, model, spec, data


def jobs(folder):
    """(name, model, spec, further arguments) of every job."""
    vit, net, mobile = fixture("vit.safetensors"), fixture("convnet.onnx"), fixture("mobilenet.onnx")
    checkpoint, shards = os.path.join(folder, "checkpoint"), os.path.join(folder, "shards")
    for dtype, granularity in itertools.product(["int8", "int4", "fp8_e4m3fn", "fp8_e5m2"],
                                                ["per_row", "per_tensor", "per_group", "per_block"]):
        if granularity == "per_block" and not dtype.startswith("fp8") or dtype == "int4" and granularity != "per_group":
            continue
        kwargs = {"granularity": granularity, **({"group_size": 32} if granularity == "per_group" else {})}
        yield torchao(f"checkpoint {dtype} {granularity}", vit, dtype, layout="plain", **kwargs)
        yield torchao(f"wide {dtype} {granularity}", os.path.join(folder, "wide.safetensors"), dtype, **kwargs)
        yield torchao(f"folder {dtype} {granularity}", checkpoint, dtype, **kwargs)
        if granularity != "per_block":
            yield torchao(f"graph {dtype} {granularity}", fixture("vit.onnx"), dtype, **kwargs)
    for layout in ["compressed-tensors", "torchao", "plain"]:
        for dtype in ["int8", "fp8_e4m3fn"]:
            yield torchao(f"layout {layout} {dtype}", checkpoint, dtype, layout=layout)
    yield torchao("asymmetric int8", checkpoint, "int8", symmetric=False)
    yield torchao("asymmetric int4", checkpoint, "int4", symmetric=False, group_size=32)
    yield torchao("asymmetric graph int4", fixture("vit.onnx"), "int4", symmetric=False, group_size=32)
    yield torchao("scale rule", vit, "int8", scale_rule="amax/127")
    yield torchao("state dict", fixture("state_dict.pth"), "int8")
    yield torchao("shards", shards, "fp8_e4m3fn")
    yield torchao("graph convolutions", net, "int8")
    name, model, spec, more = torchao("two dtypes", checkpoint, "int8", group_size=32)
    spec["layers"] += [{"module_name": "*attn*", "weights": {"dtype": "int4"}}, {"module_name": "*fc1*", "weights": {"dtype": "native"}}]
    spec["allow_unmatched"] = True
    yield name, model, spec, more
    for model, placement in itertools.product(["convnet", "mobilenet", "vit"], ["tensorrt", "onnxruntime", "minimal"]):
        yield modelopt(f"{model} {placement}", fixture(f"{model}.onnx"), placement=placement)
    for model, algorithm in itertools.product(["mobilenet", "vit"], ["entropy", "percentile", "mse"]):
        yield modelopt(f"{model} {algorithm}", fixture(f"{model}.onnx"), algorithm)
    for model, dtype in itertools.product(["convnet", "vit"], ["fp8_e4m3fn", "fp8_e5m2"]):
        yield modelopt(f"{model} {dtype}", fixture(f"{model}.onnx"), weights=dtype, activations=dtype)
    yield modelopt("vit int4", fixture("vit.onnx"), weights="int4", activations=None, block_size=32)
    yield modelopt("f16", mobile, high_precision_dtype="fp16")
    yield modelopt("vit f16", fixture("vit.onnx"), high_precision_dtype="fp16")
    yield modelopt("not folded", mobile, fold_batch_norm=False, fold_constants=False, duplicate_constants=False)
    yield modelopt("reduced range", net, reduce_range=True)
    yield modelopt("held out", net, evaluated=False)
    yield modelopt("percentile 99", net, "percentile", percentile=99.0)
    yield modelopt("skipped", net, extra={"skip_names": ["*linear*", "*Gemm*"], "allow_unmatched": True})
    yield modelopt("wrong", net, "awq", weights="int3", extra={"mode": "never"}, percentil=3)
    yield torchao("wrong layout", checkpoint, "fp8_e5m2", layout="torchao", granularity="per_block")
    for graph in ["external", "tied", "half", "old", "concat", "branch", "single"]:
        path = os.path.join(folder, f"{graph}.onnx")
        if os.path.exists(path):
            yield torchao(f"graph {graph}", path, "int8")
            random = {"calibration": "random", "sensitivity_layers": 0}
            name, model, spec, _ = modelopt(f"random {graph}", path, **random)
            yield name, model, spec, []


def make_inputs(folder):
    """A checkpoint with a configuration, the same in two shards and, where the package onnx is, a few graphs."""
    with open(fixture("vit.safetensors"), "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    config = json.dumps({"model_type": "vit", "architectures": ["ViT"]})
    tensors = {name: (info, data[slice(*info["data_offsets"])]) for name, info in header.items()}

    def write(path, names):
        entries, body = {}, b""
        for name in names:
            info, content = tensors[name]
            entries[name] = {**info, "data_offsets": [len(body), len(body) + len(content)]}
            body += content
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text + body)

    names = sorted(tensors)
    half = len(names) // 2
    parts = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    for kind, files in [("checkpoint", {"model.safetensors": names}), ("shards", parts)]:
        place = os.path.join(folder, kind)
        os.makedirs(place)
        for file, held in files.items():
            write(os.path.join(place, file), held)
        with open(os.path.join(place, "config.json"), "w") as out:
            out.write(config)
    wide(os.path.join(folder, "wide.safetensors"))
    index = {"metadata": {"total_size": len(data)}, "weight_map": {n: file for file, held in parts.items() for n in held}}
    with open(os.path.join(folder, "shards", "model.safetensors.index.json"), "w") as out:
        json.dump(index, out)
    maker = os.path.join(ROOT, "tests/tools/make_graphs.py")
    subprocess.run([sys.executable, maker, folder, fixture("convnet.onnx")], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)


def wide(path):
    """A weight of two by two blocks and one with a row beside them, in f32 and bf16."""
    random = Random(1)
    entries, body = {}, b""
    for name, rows, columns, dtype in [("a.weight", 256, 256, "F32"), ("b.weight", 129, 384, "BF16")]:
        values = struct.pack(f"<{rows * columns}f", *(random.gauss(0, 0.1) for _ in range(rows * columns)))
        if dtype == "BF16":
            values = b"".join(values[at + 2:at + 4] for at in range(0, len(values), 4))
        entries[name] = {"dtype": dtype, "shape": [rows, columns], "data_offsets": [len(body), len(body) + len(values)]}
        body += values
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + body)


def calm(value):
    """A report without what differs from run to run."""
    if isinstance(value, dict):
        return {key: calm(inner) for key, inner in value.items() if key not in VOLATILE}
    return [calm(inner) for inner in value] if isinstance(value, list) else value


def artifacts(program, number, model, spec, more, folder):
    out = os.path.join(folder, f"{os.path.basename(program)}-{number}")
    path = out + ".json"
    with open(path, "w") as file:
        json.dump(spec, file)
    command = [program, "quantize", "--model", model, "--spec", path, "--out", out, *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PTQD_LOG": "error"}, check=False)
    found = {"exit code": done.returncode}
    if done.returncode == 2:
        found["objections"] = done.stderr
    for place, _, files in os.walk(out):
        for file in files:
            path = os.path.join(place, file)
            name = os.path.relpath(path, out)
            if name == "manifest.json":
                continue
            with open(path, "rb") as opened:
                content = opened.read()
            if name == "report.json":
                content = json.dumps(calm(json.loads(content)), indent=1).encode()
            found[name] = (hashlib.sha256(content).hexdigest(), path)
    return found


def main():
    before, after, *words = sys.argv[1:]
    programs = [os.path.abspath(before), os.path.abspath(after)]
    with tempfile.TemporaryDirectory() as folder:
        for side in "ab":
            os.makedirs(os.path.join(folder, side))
        make_inputs(folder)
        chosen = [job for job in jobs(folder) if not words or any(word in job[0] for word in words)]
        differ = 0

        def both(numbered):
            number, (name, model, spec, more) = numbered
            return name, [artifacts(program, number, model, spec, more, os.path.join(folder, side))
                          for side, program in zip("ab", programs)]

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, (old, new) in pool.map(both, enumerate(chosen)):
                digest = lambda found, key: found[key][0] if key in found and isinstance(found[key], tuple) else found.get(key)
                wrong = [key for key in sorted(old.keys() | new.keys()) if digest(old, key) != digest(new, key)]
                print(f"{'DIFFERS' if wrong else 'same':8}{name} (exit {old['exit code']}, {len(old) - 1} files)", flush=True)
                for key in wrong:
                    print(f"        {key}: {digest(old, key)} | {digest(new, key)}")
                    if key in ("report.json", "plan.json") and key in old and key in new:
                        show(old[key][1], new[key][1])
                differ += bool(wrong)
        print(f"{len(chosen)} jobs, {differ} differ")
        sys.exit(1 if differ else 0)


def show(old, new):
    """The first places where two JSON files differ."""
    def walk(a, b, at):
        if isinstance(a, dict) and isinstance(b, dict):
            for key in list(a) + [k for k in b if k not in a]:
                yield from walk(a.get(key), b.get(key), f"{at}/{key}")
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for i, (x, y) in enumerate(zip(a, b)):
                yield from walk(x, y, f"{at}/{i}")
        elif a != b:
            yield f"{at}: {json.dumps(a)[:160]} | {json.dumps(b)[:160]}"
    with open(old) as a, open(new) as b:
        for line in itertools.islice(walk(calm(json.load(a)), calm(json.load(b)), ""), 6):
            print("          " + line)


if __name__ == "__main__":
    main()
