#!/usr/bin/env python3
"""Loads what gpuinfer writes with other people's programs; run by hand, needs the environment of quantized.py and gguf.

    venv/bin/python Scripts/goldens/check_quantized.py PATH/TO/gpuinfer

compressed-tensors: `gpuinfer convert` of the GPTQ and AWQ fixtures, loaded by transformers, whose logits must be those
of the fixture; and its own fixtures, written again. GGUF: the demo in each type, read by the gguf package, whose dequantised tensors must be near the
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
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

FIXTURES = HERE.parents[1] / "Tests/Fixtures"


def logits(folder, tokens):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(tokens[None]).logits[0].float()


def unpacked(folder, tokens):
    """The same through compressed-tensors' own decompressor, layer by layer, into a plain model.

    transformers 5.24 with compressed-tensors 0.20 expects zero points of another shape than that version's compressor
    writes, [out, groups] for [out / 8, groups], and so loads no packed asymmetric checkpoint, its own neither.
    """
    config = transformers.AutoConfig.from_pretrained(folder)
    settings = QuantizationConfig.model_validate(config.quantization_config)
    scheme = settings.config_groups["group_0"]
    del config.quantization_config
    tensors, plain = load_file(folder / "model.safetensors"), {}
    for key, tensor in tensors.items():
        module, _, kind = key.rpartition(".")
        if kind == "weight_packed":
            parts = {
                name.removeprefix(f"{module}."): part for name, part in tensors.items() if name.startswith(f"{module}.")}
            parts["weight_scale"] = parts["weight_scale"].float()  # else the product is rounded to float16
            plain[f"{module}.weight"] = PackedQuantizationCompressor.decompress(parts, scheme)["weight"].float()
        elif kind in ("weight", "bias"):
            plain[key] = tensor.float()
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    model.load_state_dict(plain)
    with torch.no_grad():
        return model(tokens[None]).logits[0].float()


def compressed(binary, folder, name):
    """Codes of another format, written as compressed-tensors: the logits are the fixture's."""
    output = folder / name
    subprocess.run(
        [binary, "convert", FIXTURES / "quantized" / name, output, "--format", "compressed-tensors"], check=True)
    expected = load_file(FIXTURES / "quantized" / name / "expected.safetensors")
    config = json.loads((output / "config.json").read_text())["quantization_config"]
    symmetric = all(group["weights"]["symmetric"] for group in config["config_groups"].values())
    found = (logits if symmetric else unpacked)(output, expected["input_ids_0"])
    report(name, found, expected["logits_0"], "transformers" if symmetric else "compressed-tensors")


def again(binary, folder, name):
    """compressed-tensors' own checkpoint, read and written again: transformers makes the same of both."""
    output = folder / name
    subprocess.run(
        [binary, "convert", FIXTURES / "quantized" / name, output, "--format", "compressed-tensors"], check=True)
    tokens = load_file(FIXTURES / "quantized" / name / "expected.safetensors")["input_ids_0"]
    report(name, logits(output, tokens), logits(FIXTURES / "quantized" / name, tokens), "transformers")


def report(name, found, expected, reader):
    error = float((found - expected).abs().max() / expected.abs().max())
    print(f"{name:28} in {reader}: largest difference {error:.2e} of the largest")
    assert error < 2e-5


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
        for name in ["gptq-4bit", "gptq-4bit-asym", "gptq-8bit-channel", "awq-gemm", "gptqmodel-4bit"]:
            compressed(binary, folder, name)
        for name in ["ct-w4a16", "ct-w8a8", "ct-w8a8-static", "ct-fp8-dynamic", "ct-mixed"]:
            again(binary, folder, name)
        for kind in ["Q8_0", "Q4_0", "Q4_K", "Q6_K"]:
            blocks(binary, folder, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
