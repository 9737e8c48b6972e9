#!/usr/bin/env python3
"""Makes the fixtures of Tests/Fixtures/quantized that GPTQModel and AutoAWQ write themselves, on a CPU.

    python3 -m venv venv && venv/bin/pip install torch safetensors numpy transformers datasets pillow setuptools wheel
    BUILD_CUDA_EXT=0 venv/bin/pip install --no-build-isolation --no-deps gptqmodel==4.2.5 autoawq==0.2.9 \
      logbar==0.0.4 tokenicer==0.0.5 device-smi==0.4.1 random_word threadpoolctl
    venv/bin/python Scripts/goldens/quantized_tools.py [NAME ...]

GPTQModel 4.2.5 needs transformers 4.57 (with huggingface_hub below 1), AutoAWQ runs with 5 too; neither needs a GPU here.

    gptqmodel-*   GPTQModel quantises the model (calibration, solver, packing, config.json) and saves it
    autoawq-*     AutoAWQ's own linear packs the codes; its rounding, without a search of scales, gives scales and zeros

The reference is the tool's own linear: expected.safetensors has transformers' logits with the weights that it
dequantises (in float32: on a GPU it rounds them to float16), as in quantized.py, whose layout of a fixture is kept.
"""

import importlib.util
import json
import pathlib
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
specification = importlib.util.spec_from_file_location("goldens_quantized", HERE / "quantized.py")
quantized = importlib.util.module_from_spec(specification)
specification.loader.exec_module(quantized)

import torch
from safetensors.torch import load_file, save_file

TINY = quantized.TINY | dict(vocab_size=96)


def random_model(name):
    model = quantized.build(TINY)
    quantized.randomize(model, name, torch.float16)
    return model


def calibration(name, samples=8, length=24):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 2)
    rows = torch.randint(0, TINY["vocab_size"], (samples, length), generator=generator)
    return [dict(input_ids=row.tolist(), attention_mask=[1] * length) for row in rows]


def with_gptqmodel(name, bits, group, act_order, symmetric):
    """Tensors and configuration as GPTQModel saves them, and its linears' dequantised weights [out, in]."""
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
    from gptqmodel.nn_modules.qlinear.torch import TorchQuantLinear
    # The loader wants a tokenizer beside the model, though the samples are ids.
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        random_model(name).half().save_pretrained(folder / "float")
        words = Tokenizer(WordLevel({f"w{i}": i for i in range(TINY["vocab_size"])}, unk_token="w0"))
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", pad_token="w1").save_pretrained(folder / "float")
        settings = QuantizeConfig(bits=bits, group_size=group, desc_act=act_order, sym=symmetric, device="cpu")
        wrapped = GPTQModel.load(str(folder / "float"), settings)
        wrapped.quantize(calibration(name), batch_size=1)
        wrapped.save(str(folder / "codes"))
        tensors = load_file(folder / "codes/model.safetensors")
        config = json.loads((folder / "codes/config.json").read_text())["quantization_config"]
        loaded = GPTQModel.load(str(folder / "codes"), device="cpu", backend=BACKEND.TORCH)
        weights = {
            module_name: module.float().dequantize_weight().T.contiguous()
            for module_name, module in loaded.model.named_modules() if isinstance(module, TorchQuantLinear)}
    return tensors, config, weights


def with_autoawq(name, group):
    """The same of AutoAWQ's linear; its dequantisation is code minus zero point, times the scale."""
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.utils.packing_utils import dequantize_gemm

    model = random_model(name)
    tensors, weights = {}, {}
    for module_name, (module, weight) in quantized.linears(model).items():
        rows = weight.float().reshape(-1, group)
        highest, lowest = rows.amax(1, keepdim=True), rows.amin(1, keepdim=True)
        scales = ((highest - lowest).clamp(min=1e-5) / 15).half().float()
        zeros = (-torch.round(lowest / scales)).clamp(0, 15)
        scales, zeros = (t.view(weight.shape[0], -1).t().contiguous() for t in (scales, zeros))
        held = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        groups = torch.arange(weight.shape[1]) // group
        # The packer does not clamp: it gets weights that lie on the grid.
        codes = (torch.round(weight.float().t() / scales[groups]) + zeros[groups]).clamp(0, 15)
        held.weight.data = ((codes - zeros[groups]) * scales[groups]).t().contiguous()
        packed = WQLinear_GEMM.from_linear(held, 4, group, scales=scales, zeros=zeros)
        for part in ("qweight", "qzeros", "scales"):
            tensors[f"{module_name}.{part}"] = getattr(packed, part).contiguous()
        weights[module_name] = dequantize_gemm(
            packed.qweight, packed.qzeros, packed.scales.float(), 4, group).t().contiguous()
    config = dict(
        quant_method="awq", bits=4, group_size=group, zero_point=True, version="gemm", modules_to_not_convert=None)
    return tensors, config, weights


CASES = {
    "gptqmodel-4bit": lambda name: with_gptqmodel(name, 4, 32, False, True),
    "gptqmodel-4bit-act-order": lambda name: with_gptqmodel(name, 4, 32, True, False),
    "gptqmodel-8bit": lambda name: with_gptqmodel(name, 8, 32, False, True),
    "autoawq-gemm": lambda name: with_autoawq(name, 32),
}


def make(name):
    tensors, quantization, weights = CASES[name](name)
    folder = quantized.ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    model = random_model(name)
    for key, tensor in model.named_parameters():
        if key.removesuffix(".weight") not in weights:
            tensors.setdefault(key, tensor.data.half().contiguous())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    written = TINY | dict(torch_dtype="float16", quantization_config=quantization)
    (folder / "config.json").write_text(json.dumps(written, indent=1, default=str) + "\n")
    for key, (module, _) in quantized.linears(model).items():
        quantized.put(module, weights[key])
    tokens = torch.randint(0, 96, (20,), generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))).tolist()
    expected = quantized.logits(model, tokens)
    save_file(dict(input_ids_0=torch.tensor(tokens), logits_0=expected), folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(dict(prompts=[dict(length=len(tokens))]), indent=1) + "\n")
    smallest = min(sorted(weights), key=lambda key: weights[key].numel())
    save_file({smallest: weights[smallest]}, folder / "base.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name:28} {len(weights)} linears, max |logit| {expected.abs().max():.2f}")


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        make(name)


if __name__ == "__main__":
    main()
