#!/usr/bin/env python3
"""Loads what gpuinfer writes with other people's programs; run by hand, needs the environment of quantized.py and gguf.

    venv/bin/python Scripts/goldens/check_quantized.py PATH/TO/gpuinfer

compressed-tensors: `gpuinfer convert` of the GPTQ and AWQ fixtures, loaded by transformers, whose logits must be those
of the fixture. GGUF: the demo in each type, read by the gguf package, whose dequantised tensors must be near the
demo's, and for Q8_0 and Q4_0 the bytes its own quantisers give.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import gguf
import numpy
import torch
import transformers
from safetensors.torch import load_file

FIXTURES = HERE.parents[1] / "Tests/Fixtures"


def compressed(binary, folder, name):
    output = folder / name
    subprocess.run(
        [binary, "convert", FIXTURES / "quantized" / name, output, "--format", "compressed-tensors"], check=True)
    expected = load_file(FIXTURES / "quantized" / name / "expected.safetensors")
    model = transformers.AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(expected["input_ids_0"][None]).logits[0].float()
    error = float((logits - expected["logits_0"]).abs().max() / expected["logits_0"].abs().max())
    print(f"{name:28} in transformers: largest difference {error:.2e} of the largest logit")
    assert error < 2e-3, "the fixture is in float16, transformers' dequantised weights too"


def blocks(binary, folder, kind):
    output = folder / f"demo-{kind}.gguf"
    subprocess.run([binary, "convert", FIXTURES / "demo", output, "--format", "gguf", "--type", kind], check=True)
    demo = load_file(FIXTURES / "demo/model.safetensors")
    reader = gguf.GGUFReader(output)
    worst, same = 0.0, 0
    for tensor in reader.tensors:
        if not tensor.name.endswith(("ffn_up.weight", "ffn_down.weight", "attn_v.weight")):
            continue
        part = tensor.name.split(".")
        module = dict(ffn_up="mlp.up_proj", ffn_down="mlp.down_proj", attn_v="self_attn.v_proj")[part[2]]
        weight = demo[f"model.layers.{part[1]}.{module}.weight"].float().numpy()
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        worst = max(worst, float(numpy.sqrt(((found - weight) ** 2).mean() / (weight**2).mean())))
        if tensor.tensor_type in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
            own = gguf.quants.quantize(weight, tensor.tensor_type)
            assert (own == tensor.data).all(), f"{tensor.name} is not what gguf.quants gives"
            same += 1
    tokens = len(reader.fields["tokenizer.ggml.tokens"].data)
    print(f"{kind:5} in gguf: {len(reader.tensors)} tensors, {tokens} tokens, relative error at most {worst:.4f}, "
          f"{same} tensors byte for byte as gguf.quants")


def main(binary):
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ["gptq-4bit", "gptq-4bit-asym", "gptq-8bit-channel", "awq-gemm", "ct-w8a8", "ct-mixed"]:
            compressed(binary, folder, name)
        for kind in ["Q8_0", "Q4_0", "Q4_K", "Q6_K"]:
            blocks(binary, folder, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
