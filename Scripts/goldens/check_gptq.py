#!/usr/bin/env python3
"""Loads GPTQ checkpoints that gpuinfer writes into GPTQModel's linear and into transformers; run by hand, in the
environment of quantized_tools.py, with optimum 1.27 and datasets 4.0 (transformers needs them for GPTQ).

    venv/bin/python Scripts/goldens/check_gptq.py PATH/TO/gpuinfer

Each fixture is converted to GPTQ; what GPTQModel dequantises of one layer must be the weight that the fixture's own
tool dequantised (base.safetensors), in float32, and transformers' logits those of the fixture. And the demo model is
compressed to GPTQ, for transformers with one setting for all layers (it knows no "dynamic"), for GPTQModel with one layer in 8
bits and one left alone: logits must be gpuinfer's. The latter as gptq_v2: GPTQModel 4.2.5 turns version 1's zeros of all
layers into version 2's with the bits that most layers have.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import torch
from gptqmodel import BACKEND, GPTQModel
from gptqmodel.nn_modules.qlinear.torch import TorchQuantLinear
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

FIXTURES = HERE.parents[1] / "Tests/Fixtures/quantized"
DEMO = HERE.parents[1] / "Tests/Fixtures/demo"


def check(binary, folder, name, kind):
    output = folder / f"{name}-{kind}"
    subprocess.run([binary, "convert", FIXTURES / name, output, "--format", kind], check=True)
    tensors = load_file(output / "model.safetensors")
    config = json.loads((output / "config.json").read_text())["quantization_config"]
    (module, weight), = load_file(FIXTURES / name / "base.safetensors").items()
    linear = TorchQuantLinear(
        bits=config["bits"], group_size=config["group_size"], desc_act=config["desc_act"], sym=config["sym"],
        in_features=weight.shape[1], out_features=weight.shape[0], bias=False, register_buffers=True)
    for part in ("qweight", "qzeros", "scales", "g_idx"):
        expected = getattr(linear, part)
        found = tensors[f"{module}.{part}"]
        assert found.shape == expected.shape and found.dtype.is_floating_point == (part == "scales"), part
        setattr(linear, part, found)
    linear.post_init()
    if config["checkpoint_format"] == "gptq":  # whose zero points are stored less one
        convert_gptq_v1_to_v2_format_module(linear, bits=config["bits"], pack_dtype=torch.int32)
    found = linear.float().dequantize_weight().t()
    error = float((found - weight).abs().max() / weight.abs().max())
    print(f"{name:28} as {kind:8} in GPTQModel: largest difference {error:.1e} of the largest weight")
    assert error < 1e-6
    expected = load_file(FIXTURES / name / "expected.safetensors")
    compare(f"{name} as {kind}", output, expected["input_ids_0"], expected["logits_0"])


def by_transformers(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").eval()


def by_gptqmodel(folder):
    loaded = GPTQModel.load(str(folder), device="cpu", backend=BACKEND.TORCH, dtype=torch.float32)
    return loaded.model.float().eval()


def compare(name, folder, tokens, expected, load=by_transformers):
    """Products are float32, codes stay codes."""
    model = load(folder)
    assert sum(isinstance(module, TorchQuantLinear) for module in model.modules()) >= 7
    with torch.no_grad():
        found = model(tokens[None]).logits[0].float()
    error = float((found - expected).abs().max() / expected.abs().max())
    print(f"{name:40} {load.__name__}: largest difference {error:.1e} of the largest logit")
    assert error < 2e-5


def compressed(binary, folder, overrides, kind, load):
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(
        {"method": "gptq", "group_size": 64, "act_order": "group", "overrides": overrides}))
    subprocess.run([
        binary, "compress", DEMO, "--recipe", recipe, "--calibration", DEMO / "calibration.safetensors", "--samples", "4",
        "--format", kind, "--no-evaluation", "--output", folder / "demo"], check=True, stdout=subprocess.DEVNULL)
    tokens = load_file(DEMO / "calibration.safetensors")["input_ids"][0, :64].long()
    save_file(dict(ids=tokens), folder / "ids.safetensors")
    subprocess.run([
        binary, "score", folder / "demo", "--device", "cpu", "--input-ids", folder / "ids.safetensors", "--output",
        folder / "logits.safetensors"], check=True)
    expected = load_file(folder / "logits.safetensors")["ids"]
    compare(f"demo, {len(overrides)} exceptions", folder / "demo", tokens, expected, load)


def main(binary):
    exceptions = [{"pattern": "1.mlp.up_proj", "bits": 8}, {"pattern": "2.mlp.down_proj", "skip": True}]
    for overrides, kind, load in [([], "gptq", by_transformers), (exceptions, "gptq_v2", by_gptqmodel)]:
        with tempfile.TemporaryDirectory() as folder:
            compressed(binary, pathlib.Path(folder), overrides, kind, load)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("gptq", "gptq_v2"):
            for name in ("ct-w4a16", "ct-w4a16-asym-act-order", "awq-gemm", "autoawq-gemm", "gptqmodel-4bit-act-order",
                         "gptq-8bit-channel"):
                check(binary, pathlib.Path(folder), name, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
