"""Writes ONNX models of known architectures with random weights, by both exporters of torch: export_models.py FOLDER

Its Python needs torch, torchvision, transformers, onnx and onnxscript; check_zoo.py takes the folder. Small configurations where a library offers them; the graphs are what counts, not the weights.
"""

import os
import sys
import warnings

import torch
import torchvision
import transformers

folder = sys.argv[1]
warnings.filterwarnings("ignore")
torch.manual_seed(0)
image = torch.randn(2, 3, 64, 64)
tokens = torch.randint(0, 100, (2, 16))
small = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        result = self.model(x)
        return result.logits if hasattr(result, "logits") else result[0]


def text(config, kind):
    return Logits(kind(config)), tokens


MODELS = {
    "resnet18": lambda: (torchvision.models.resnet18(), image),
    "mobilenet_v2": lambda: (torchvision.models.mobilenet_v2(), image),
    "efficientnet_b0": lambda: (torchvision.models.efficientnet_b0(), image),
    "densenet": lambda: (torchvision.models.DenseNet(16, (2, 2), 16), image),
    "unet_like": lambda: (torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.ConvTranspose2d(16, 16, 2, 2),
        torch.nn.BatchNorm2d(16), torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.Conv2d(16, 3, 1)), image),
    "convnext": lambda: (torchvision.models.convnext_tiny(), image),
    "vit": lambda: (Logits(transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=64, patch_size=16, attn_implementation="eager", **small))), image),
    "bert": lambda: text(transformers.BertConfig(vocab_size=100, attn_implementation="eager", **small), transformers.BertForSequenceClassification),
    "gpt2": lambda: text(transformers.GPT2Config(vocab_size=100, n_embd=64, n_layer=2, n_head=4, use_cache=False, attn_implementation="eager"), transformers.GPT2LMHeadModel),
    "distilbert": lambda: text(transformers.DistilBertConfig(vocab_size=100, dim=64, n_layers=2, n_heads=4, hidden_dim=128, attn_implementation="eager"), transformers.DistilBertForSequenceClassification),
    "lstm": lambda: (Logits(torch.nn.LSTM(64, 32, 2, batch_first=True)), torch.randn(2, 8, 64)),
}  # fmt: skip

for name, make in MODELS.items():
    for exporter, opset in (("script", 11), ("script", 13), ("script", 17), ("dynamo", 18), ("dynamo", 21)):
        path = os.path.join(folder, f"{name}-{exporter}-{opset}.onnx")
        try:
            model, x = make()
            model.eval()
            dynamic = {"dynamic_axes": {"x": {0: "batch"}}} if exporter == "script" else {}
            torch.onnx.export(
                model, (x,), path, opset_version=opset, dynamo=exporter == "dynamo", input_names=["x"], external_data=False,
                **dynamic)  # fmt: skip
        except Exception as error:
            if os.path.exists(path):
                os.remove(path)
            print(f"{os.path.basename(path)}: not exported: {str(error).splitlines()[0][:120]}")
