#!/usr/bin/env python3
"""Makes Tests/Fixtures/quantized: tiny checkpoints in the quantised formats people download, with reference logits.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors numpy compressed-tensors bitsandbytes
    venv/bin/python Scripts/goldens/quantized.py [NAME ...]

Who wrote the tensors:

    ct-*     compressed-tensors' own compressors (compressed_tensors.compressors)
    bnb-*    bitsandbytes' own quantisers
    gptq-*, awq-*   written here from the published layouts, code by code, in another way than the reader's; what
                    GPTQModel and AutoAWQ write themselves comes from quantized_tools.py

Each directory has, beside the checkpoint, expected.safetensors: input_ids_0 int64 [T] and logits_0 float32 [T, V]
of transformers' model in float32 with the dequantised weights, and with the format's rounding of activations done in
hooks where it has any. base.safetensors holds the dequantised weight of the smallest linear, float32 [out, in], by module.
"""

import importlib.util
import json
import pathlib
import sys
import types
import zlib

HERE = pathlib.Path(__file__).resolve().parent
# tokenizers.py beside this file would be taken for the package of that name.
sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import numpy
import torch
from safetensors.torch import save_file

specification = importlib.util.spec_from_file_location("goldens_models", HERE / "models.py")
models = importlib.util.module_from_spec(specification)
specification.loader.exec_module(models)
BLOOM, GPT2, LLAMA = models.BLOOM, models.GPT2, models.LLAMA
build, logits, randomize = models.build, models.logits, models.randomize

specification = importlib.util.spec_from_file_location("goldens_compressed", HERE / "quantized_compressed.py")
compressed = importlib.util.module_from_spec(specification)
specification.loader.exec_module(compressed)

ROOT = models.ROOT.parent / "quantized"
TINY = LLAMA | dict(
    hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
    rope_theta=10000.0)


def linears(model):
    """Module name to (module, weight [out, in]); GPT-2's Conv1D keeps its weight transposed."""
    found = {}
    for name, module in model.named_modules():
        if type(module).__name__ == "Conv1D":
            found[name] = (module, module.weight.data.T.contiguous())
        elif isinstance(module, torch.nn.Linear) and name != "lm_head":
            found[name] = (module, module.weight.data.clone())
    return found


def put(module, weight):
    module.weight.data.copy_(weight.T if type(module).__name__ == "Conv1D" else weight)


# --- Integer grids -----------------------------------------------------------------------------------------------


def grid(weight, bits, group, symmetric, dtype, order=None):
    """RTN codes [N, K] (unsigned), scales and zeros [N, G]; `order` gives the group of each column."""
    rows, columns = weight.shape
    groups = columns // group
    index = torch.arange(columns) // group if order is None else order
    scales, zeros = torch.zeros(rows, groups), torch.zeros(rows, groups)
    codes = torch.zeros(rows, columns)
    top = 2**bits - 1
    for g in range(groups):
        part = weight[:, index == g]
        if symmetric:
            scale = (part.abs().amax(1) * 2 / top).to(dtype).float()
            zero = torch.full((rows,), float(2 ** (bits - 1)))
        else:
            low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
            scale = ((high - low) / top).to(dtype).float()
            zero = (-low / scale).round().clamp(0, top)
        scales[:, g], zeros[:, g] = scale, zero
        codes[:, index == g] = (part / scale[:, None] + zero[:, None]).round().clamp(0, top)
    dequantised = scales[:, index] * (codes - zeros[:, index])
    return codes.long(), scales, zeros.long(), dequantised


def pack_bits(values, bits):
    """Rows of codes to uint32 words by way of a string of bits: slow and plain."""
    values = numpy.asarray(values)
    out = []
    for row in values:
        text = "".join(format(int(v), f"0{bits}b")[::-1] for v in row)
        text += "0" * (-len(text) % 32)
        out.append([int(text[i : i + 32][::-1], 2) for i in range(0, len(text), 32)])
    return torch.from_numpy(numpy.array(out, dtype=numpy.uint32).view(numpy.int32))


# --- Writers -----------------------------------------------------------------------------------------------------


def write_gptq(model, bits, group, symmetric, v2, act_order=False, dtype=torch.float16, name=""):
    tensors = {}
    for module_name, (module, weight) in linears(model).items():
        columns = weight.shape[1]
        size = columns if group == -1 else group
        order = torch.arange(columns) // size
        if act_order:
            generator = torch.Generator().manual_seed(zlib.crc32(module_name.encode()))
            order = order[torch.randperm(columns, generator=generator)]
        codes, scales, zeros, dequantised = grid(weight, bits, size, symmetric, dtype, order)
        if not v2:  # version 1 cannot say zero 0
            keep = zeros == 0
            zeros = torch.where(keep, torch.ones_like(zeros), zeros)
            dequantised = scales[:, order] * (codes - zeros[:, order])
        put(module, dequantised)
        tensors[module_name + ".qweight"] = pack_bits(codes, bits).T.contiguous()
        tensors[module_name + ".qzeros"] = pack_bits((zeros if v2 else zeros - 1).T, bits)
        tensors[module_name + ".scales"] = scales.T.contiguous().to(dtype)
        tensors[module_name + ".g_idx"] = order.to(torch.int32)
    config = dict(
        quant_method="gptq", bits=bits, group_size=group, desc_act=act_order, sym=symmetric, static_groups=False,
        true_sequential=True, damp_percent=0.01, lm_head=False, pack_dtype="int32",
        checkpoint_format="gptq_v2" if v2 else "gptq", meta=dict(quantizer=["goldens:1"]))
    return tensors, config


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def write_awq(model, group, version):
    tensors = {}
    for name, (module, weight) in linears(model).items():
        codes, scales, zeros, dequantised = grid(weight, 4, group, False, torch.float16)
        put(module, dequantised)
        rows, columns = codes.shape
        if version == "gemm":
            def pack(values):  # [X, N] -> [X, N / 8]
                words = torch.zeros(values.shape[0], rows // 8, dtype=torch.int64)
                for column in range(rows // 8):
                    for i, place in enumerate(AWQ_ORDER):
                        words[:, column] |= values[:, column * 8 + place] << (4 * i)
                return torch.from_numpy(words.numpy().astype(numpy.uint32).view(numpy.int32))
            tensors[name + ".qweight"] = pack(codes.T.contiguous())
            tensors[name + ".qzeros"] = pack(zeros.T.contiguous())
            tensors[name + ".scales"] = scales.T.contiguous().half()
        else:
            groups = columns // group
            multiple = 1 if group >= 128 else 2 if group == 64 else 4
            words = -(-(-(-groups // 8)) // multiple) * multiple
            padded = torch.zeros(rows, words * 8, dtype=torch.int64)
            padded[:, :groups] = zeros
            padded_scales = torch.zeros(rows, words * 8)
            padded_scales[:, :groups] = scales
            tensors[name + ".qweight"] = pack_bits(codes, 4)
            tensors[name + ".qzeros"] = pack_bits(padded, 4)
            tensors[name + ".scales"] = padded_scales.half()
    return tensors, dict(
        quant_method="awq", bits=4, group_size=group, zero_point=True, version=version, modules_to_not_convert=None)


def write_bnb4(model, nested):
    from bitsandbytes import functional

    tensors = {}
    for name, (module, weight) in linears(model).items():
        codes, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=nested)
        put(module, functional.dequantize_4bit(codes, state))
        tensors[name + ".weight"] = codes
        for suffix, tensor in state.as_dict(packed=True).items():
            tensors[f"{name}.weight.{suffix}"] = tensor.clone()
    return tensors, dict(
        quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=nested, bnb_4bit_compute_dtype="float16", bnb_4bit_quant_storage="uint8")


def round_tokens(x):
    scale = x.abs().amax(-1, keepdim=True) / 127
    return torch.where(scale == 0, x, (x / torch.where(scale == 0, 1, scale)).round().clamp(-127, 127) * scale)


def write_bnb8(model, threshold):
    from bitsandbytes import functional

    tensors = {}
    for name, (module, weight) in linears(model).items():
        codes, scale, _ = functional.int8_vectorwise_quant(weight.half())
        put(module, codes.float() * (scale / 127)[:, None])
        tensors[name + ".weight"] = codes
        tensors[name + ".SCB"] = scale
        tensors[name + ".weight_format"] = torch.tensor(0, dtype=torch.uint8)

        def hook(_, inputs):
            (x,) = inputs
            outlier = x.abs() >= threshold
            return (torch.where(outlier, x, round_tokens(torch.where(outlier, 0, x))),)
        module.register_forward_pre_hook(hook)
    return tensors, dict(
        quant_method="bitsandbytes", load_in_8bit=True, load_in_4bit=False, llm_int8_threshold=threshold,
        llm_int8_skip_modules=["lm_head"], llm_int8_has_fp16_weight=False)


def write_compressed(model, groups, **options):
    tools = types.SimpleNamespace(linears=linears, put=put, round_tokens=round_tokens)
    return compressed.write_compressed(tools, model, groups, **options)


# --- Cases -------------------------------------------------------------------------------------------------------

INT8_TOKEN = dict(num_bits=8, type="int", strategy="token", symmetric=True, dynamic=True)
CASES = {
    "gptq-4bit": (TINY, lambda m: write_gptq(m, 4, 32, True, False)),
    "gptq-4bit-asym": (TINY, lambda m: write_gptq(m, 4, 16, False, False)),
    "gptq-2bit-v2": (TINY, lambda m: write_gptq(m, 2, 16, False, True)),
    "gptq-3bit-v2-act-order": (TINY, lambda m: write_gptq(m, 3, 32, False, True, act_order=True)),
    "gptq-8bit-channel": (TINY, lambda m: write_gptq(m, 8, -1, True, True, dtype=torch.bfloat16)),
    "gptq-gpt2": (
        GPT2 | dict(n_embd=64, n_head=4, n_layer=1, n_inner=96), lambda m: write_gptq(m, 4, 32, False, True)),
    "gptq-bloom": (
        BLOOM | dict(hidden_size=64, n_head=4, n_layer=1), lambda m: write_gptq(m, 4, 32, False, False, True)),
    "awq-gemm": (TINY, lambda m: write_awq(m, 32, "gemm")),
    "awq-gemv": (TINY, lambda m: write_awq(m, 32, "gemv")),
    "bnb-int8": (TINY, lambda m: write_bnb8(m, 2.0)),
    "bnb-nf4": (TINY | dict(intermediate_size=128), lambda m: write_bnb4(m, False)),
    "bnb-nf4-nested": (TINY | dict(intermediate_size=128), lambda m: write_bnb4(m, True)),
    "ct-w4a16": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=True), None,
        "pack-quantized")))),
    "ct-w4a16-asym-act-order": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False),
        None, "pack-quantized")), act_order=True)),
    "ct-w8a8": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=8, type="int", strategy="channel", symmetric=True), INT8_TOKEN,
        "int-quantized")))),
    "ct-w8a8-static": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=8, type="int", strategy="tensor", symmetric=True),
        dict(num_bits=8, type="int", strategy="tensor", symmetric=False, dynamic=False), "int-quantized")))),
    "ct-fp8-dynamic": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=8, type="float", strategy="channel", symmetric=True),
        dict(num_bits=8, type="float", strategy="token", symmetric=True, dynamic=True), "float-quantized")))),
    "ct-fp8-static": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=8, type="float", strategy="tensor", symmetric=True),
        dict(num_bits=8, type="float", strategy="tensor", symmetric=True, dynamic=False), "float-quantized")))),
    "ct-fp8-block": (TINY, lambda m: write_compressed(m, dict(group_0=(
        ["Linear"], dict(num_bits=8, type="float", strategy="block", block_structure=[16, 32], symmetric=True),
        dict(num_bits=8, type="float", strategy="group", group_size=32, symmetric=True, dynamic=True),
        "float-quantized")))),
    "ct-mixed": (TINY, lambda m: write_compressed(m, dict(
        group_0=(
            ["re:.*q_proj", "re:.*k_proj", "re:.*v_proj", "re:.*o_proj"],
            dict(num_bits=8, type="int", strategy="channel", symmetric=True), INT8_TOKEN, "int-quantized"),
        group_1=(
            ["re:.*gate_proj", "re:.*up_proj"],
            dict(num_bits=4, type="int", strategy="group", group_size=16, symmetric=True), None, "pack-quantized")),
        ignore=["lm_head", "re:.*down_proj"])),
}


def make(name):
    config, write = CASES[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    model = build(config)
    randomize(model, name, torch.float16)
    plain = {key: tensor.data.clone().half() for key, tensor in model.named_parameters()}
    with torch.no_grad():
        tensors, quantization = write(model)
    quantised = {key.rsplit(".", 1)[0] for key in tensors} | {key.rsplit(".weight", 1)[0] for key in tensors}
    for key, tensor in plain.items():
        module, _, kind = key.rpartition(".")
        if kind == "weight" and module in quantised:
            continue
        if model.config.tie_word_embeddings and key == "lm_head.weight":
            continue
        tensors.setdefault(key, tensor.contiguous())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    written = config | dict(torch_dtype="float16", quantization_config=quantization)
    (folder / "config.json").write_text(json.dumps(written, indent=1, default=str) + "\n")
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 1)
    tokens = torch.randint(0, 72, (20,), generator=generator).tolist()
    expected = dict(input_ids_0=torch.tensor(tokens), logits_0=logits(model, tokens))
    save_file(expected, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(dict(prompts=[dict(length=len(tokens))]), indent=1) + "\n")
    base = {key: weight.float().contiguous() for key, (_, weight) in linears(model).items() if key in quantised}
    smallest = min(sorted(base), key=lambda key: base[key].numel())
    save_file({smallest: base[smallest]}, folder / "base.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:28} {size:7} bytes, max |logit| {logits(model, tokens).abs().max():.2f}")
    assert size < 250_000


def main():
    torch.set_num_threads(1)
    models.transformers.logging.set_verbosity_error()
    for name in sys.argv[1:] or CASES:
        make(name)


if __name__ == "__main__":
    main()
