#!/usr/bin/env python3
"""Loads GPTQ checkpoints that gpuinfer writes into GPTQModel's linear; run by hand, in the environment of quantized_tools.py.

    venv/bin/python Scripts/goldens/check_gptq.py PATH/TO/gpuinfer

Each fixture is converted to GPTQ; what GPTQModel dequantises of one layer must be the weight that the fixture's own
tool dequantised (base.safetensors), in float32.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import torch
from gptqmodel.nn_modules.qlinear.torch import TorchQuantLinear
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
from safetensors.torch import load_file

FIXTURES = HERE.parents[1] / "Tests/Fixtures/quantized"


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


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("gptq", "gptq_v2"):
            for name in ("ct-w4a16", "ct-w4a16-asym-act-order", "awq-gemm", "autoawq-gemm", "gptqmodel-4bit-act-order",
                         "gptq-8bit-channel"):
                check(binary, pathlib.Path(folder), name, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
