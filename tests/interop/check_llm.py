"""Checkpoints quantized by ptqd, loaded by transformers with compressed-tensors and with torchao.

    python check_llm.py PTQD

A tiny Llama with random bf16 weights in several shards is quantized in every layout and scheme that these loaders take. Each
result must load with no key missing and none unexpected, and give the logits of the dense model that holds the weights
which the stored codes, scales and zero points stand for, decoded here without ptqd or the loader.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

CT, AO = "compressed-tensors", "torchao"
INT8 = [{"module_name": "*", "weights": {"dtype": "int8"}}]
INT4 = [{"module_name": "*", "weights": {"dtype": "int4"}}]
FP8 = [{"module_name": "*", "weights": {"dtype": "fp8_e4m3fn"}}]
MXFP4 = [{"module_name": "*", "weights": {"dtype": "mxfp4"}}]
MXFP8 = [{"module_name": "*", "weights": {"dtype": "mxfp8"}}]
MIXED = [*INT8, {"module_name": "*down_proj", "weights": {"dtype": "fp8_e4m3fn"}},
         {"module_name": "*up_proj", "weights": {"dtype": "int4"}}, {"module_name": "*o_proj", "weights": {"dtype": "native"}}]



def beside(weights, activations):
    """A rule for weights and for activations that the runtime rounds as it runs."""
    return [{"module_name": "*", "weights": {"dtype": weights}, "activations": {"dtype": activations, "dynamic": True}}]


W8A8, FP8_DYNAMIC = beside("int8", "int8"), beside("fp8_e4m3fn", "fp8_e4m3fn")
W4A8, W4AFP8 = beside("int4", "int8"), beside("int4", "fp8_e4m3fn")
PARTLY = [*INT8, {"module_name": "*down_proj", "activations": {"dtype": "int8", "dynamic": True}}]

# Rules, options, and the largest relative difference of logits: torchao's int8 product rounds elsewhere than a product
# with the decoded weights, which are compared for equality besides. Where the loader rounds activations, what that costs is
# measured, and must be something.
ROUNDED = 0.06
CASES = [
    (INT8, {}, 0.0),
    (INT8, {"granularity": "per_tensor"}, 0.0),
    (INT8, {"group_size": 128}, 0.0),
    (INT8, {"group_size": 32, "scale_rule": "amax/127"}, 0.0),
    (INT8, {"symmetric": False}, 0.0),
    (INT8, {"symmetric": False, "group_size": 64}, 0.0),
    (FP8, {}, 0.0),
    (FP8, {"granularity": "per_tensor"}, 0.0),
    (FP8, {"granularity": "per_block"}, 0.0),
    (FP8, {"group_size": 128}, 0.0),
    (INT4, {}, 0.0),
    (INT4, {"group_size": 32}, 0.0),
    (INT4, {"granularity": "per_row"}, 0.0),
    (MXFP4, {}, 0.0),
    (MXFP8, {}, 0.0),
    ([*MXFP8, {"module_name": "*down_proj", "weights": {"dtype": "mxfp4"}}], {}, 0.0),
    (MIXED, {}, 0.0),
    (INT8, {"layout": AO}, 0.02),
    (INT8, {"layout": AO, "granularity": "per_tensor"}, 0.02),
    (FP8, {"layout": AO}, 0.0),
    (FP8, {"layout": AO, "granularity": "per_tensor"}, 0.0),
    (FP8_DYNAMIC, {}, ROUNDED),
    (FP8_DYNAMIC, {"granularity": "per_tensor"}, ROUNDED),
    (FP8_DYNAMIC, {"granularity": "per_block"}, ROUNDED),
    (W8A8, {}, ROUNDED),
    (W4A8, {}, ROUNDED),
    (W4A8, {"group_size": 32}, ROUNDED),
    (W4A8, {"granularity": "per_row"}, ROUNDED),
    (W4AFP8, {}, ROUNDED),
    (PARTLY, {}, ROUNDED),
    (W8A8, {"layout": AO}, ROUNDED),
    (FP8_DYNAMIC, {"layout": AO}, ROUNDED),
    (FP8_DYNAMIC, {"layout": AO, "granularity": "per_tensor"}, ROUNDED),
]


def unpack(words, bits, columns):
    """Codes of compressed-tensors' words: the first in the lowest bits, offset by half the range."""
    shifts = torch.arange(0, 32, bits)
    codes = (words.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return codes.flatten(-2)[..., :columns].float() - (1 << (bits - 1))


def halves(codes):
    """The E2M1 numbers of bytes, the first in the lower half."""
    numbers = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    return numbers[torch.stack([codes & 15, codes >> 4], -1).flatten(-2).int()]


def decode(tensors, module, bits):
    """The float weight of a module, in f32, or None if it is not quantized."""
    scale = tensors.get(f"{module}.weight_scale", tensors.get(f"{module}._weight_scale"))
    if scale is None:
        return None
    # A byte is the exponent of a power of 2.
    scale = torch.exp2(scale.float() - 127) if scale.dtype == torch.uint8 else scale.float()
    packed = tensors.get(f"{module}.weight_packed")
    if packed is not None and packed.dtype == torch.uint8:
        codes = halves(packed)
        rows, columns = codes.shape
    elif packed is not None:
        rows, columns = tensors[f"{module}.weight_shape"].tolist()
        codes = unpack(packed, bits, columns)
    else:
        codes = tensors.get(f"{module}.weight", tensors.get(f"{module}._weight_qdata")).float()
        rows, columns = codes.shape
    zero = tensors.get(f"{module}.weight_zero_point")
    if scale.numel() == 1:
        return codes * scale.reshape(1, 1)
    if zero is not None:
        zero = unpack(zero.T.contiguous(), bits, rows).T if zero.dtype == torch.int32 else zero.float()
        codes = codes - zero.repeat_interleave(columns // zero.shape[1], 1)
    down, across = -(-rows // scale.shape[0]), -(-columns // scale.shape[1])
    return codes * scale.repeat_interleave(down, 0)[:rows].repeat_interleave(across, 1)[:, :columns]


def read(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def check(ptqd, model, tokens, rules, options, tolerance):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        spec, out = folder / "spec.json", folder / "out"
        spec.write_text(json.dumps({"layers": rules, "backend_kwargs": options}))
        command = [ptqd, "quantize", "--model", model, "--spec", spec, "--out", out]
        subprocess.run(command, check=True, capture_output=True)
        tensors = read(out)
        config = json.loads((out / "config.json").read_text())["quantization_config"]
        dtypes = {layer["name"]: layer["weights"] for layer in json.loads((out / "report.json").read_text())["layers"]}
        # From the file as well: a model made in memory and cast has rotary frequencies in bf16, and other logits.
        reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).eval()
        with torch.no_grad():
            original = reference(tokens).logits.float()
        decoded = 0
        for name, module in reference.named_modules():
            weights = dtypes.get(name)
            if isinstance(module, torch.nn.Linear) and weights:
                bits = 4 if weights["dtype"] == "int4" else 8
                weight = decode(tensors, name, bits)
                signal, noise = module.weight.float().square().sum(), (weight - module.weight.float()).square().sum()
                stated = weights["sqnr_db"]
                assert abs(10 * torch.log10(signal / noise) - stated) < 2e-2, (name, stated)
                module.weight.data = weight.to(torch.bfloat16)
                decoded += 1
        loaded, info = AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], info
        with torch.no_grad():
            ours, theirs = loaded.eval()(tokens).logits.float(), reference(tokens).logits.float()
        for name, module in loaded.named_modules():
            if config["quant_method"] == AO and hasattr(getattr(module, "weight", None), "dequantize") and dtypes.get(name):
                assert torch.equal(module.weight.dequantize(), reference.get_submodule(name).weight), name
        difference = ((ours - theirs).norm() / theirs.norm()).item()
        kept = 10 * torch.log10(original.square().sum() / (ours - original).square().sum()).item()
        asked = sorted({rule["weights"]["dtype"] for rule in rules if "weights" in rule})
        rounded = sorted({rule["activations"]["dtype"] for rule in rules if "activations" in rule})
        asked += [f"activations {dtype}" for dtype in rounded]
        print(f"{config['quant_method']:19} {config.get('format', '-'):16} {'+'.join(asked)} {json.dumps(options)}: "
              f"{decoded} layers, difference {difference:.2e}, {kept:.1f} dB from the original", flush=True)
        assert difference <= tolerance and (not rounded or difference > 1e-4), difference
        assert decoded >= 12


def check_packed_zero_points(ptqd, model):
    """compressed-tensors' own decompressor; transformers' loader cannot load packed zero points with version 0.20."""
    from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        spec, out = folder / "spec.json", folder / "out"
        options = {"group_size": 32, "symmetric": False}
        spec.write_text(json.dumps({"layers": INT4, "backend_kwargs": options}))
        command = [ptqd, "quantize", "--model", model, "--spec", spec, "--out", out]
        subprocess.run(command, check=True, capture_output=True)
        tensors, before = read(out), read(Path(model))
        group = json.loads((out / "config.json").read_text())["quantization_config"]["config_groups"]["group_0"]
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**group["weights"]))
        modules = [name.removesuffix(".weight_packed") for name in tensors if name.endswith(".weight_packed")]
        for module in modules:
            own = {name.removeprefix(f"{module}."): t for name, t in tensors.items() if name.startswith(f"{module}.")}
            theirs = PackedQuantizationCompressor.decompress(own, scheme)["weight"].float()
            ours = decode(tensors, module, 4)
            assert torch.equal(ours.to(torch.bfloat16).float(), theirs), module
            weight = before[f"{module}.weight"].float()
            assert (ours - weight).abs().max() <= weight.abs().max() / 7, module
        assert len(modules) == 14
        print(f"compressed-tensors  pack-quantized   int4 {json.dumps(options)}: {len(modules)} layers decompress", flush=True)


def main():
    ptqd = sys.argv[1]
    torch.manual_seed(5)
    config = LlamaConfig(hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=512, tie_word_embeddings=False)
    dense = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    tokens = torch.randint(0, 512, (2, 16))
    with tempfile.TemporaryDirectory() as folder:
        dense.save_pretrained(folder, max_shard_size="1MB")
        assert len(list(Path(folder).glob("*.safetensors"))) > 1
        for rules, options, tolerance in CASES:
            check(ptqd, folder, tokens, rules, options, tolerance)
        check_packed_zero_points(ptqd, folder)
    print(f"{len(CASES) + 1} cases passed")


main()
