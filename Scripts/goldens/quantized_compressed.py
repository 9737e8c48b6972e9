"""compressed-tensors' part of quantized.py: its own compressors write the tensors."""

import json
import zlib

import torch


def write_compressed(tools, model, groups, ignore=("lm_head",), act_order=False, name=""):
    """`tools`: functions of quantized.py. `groups`: name to (targets, weights, input_activations, format), arguments as
    the library names them."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    tensors = {}
    config_groups = {}
    for key, (targets, weights, activations, format_) in groups.items():
        arguments = QuantizationArgs(**weights)
        inputs = QuantizationArgs(**activations) if activations else None
        scheme = QuantizationScheme(targets=targets, weights=arguments, input_activations=inputs, format=format_)
        config_groups[key] = json.loads(scheme.model_dump_json())
        if act_order:
            config_groups[key]["weights"]["actorder"] = "group"
        for module_name, (module, weight) in tools.linears(model).items():
            named = [t for t in targets if t != "Linear"]
            if named and not any(module_name.endswith(t.removeprefix("re:.*")) for t in named):
                continue
            state, dequantised = compress_one(
                BaseCompressor, scheme, arguments, weight, format_, calculate_qparams, act_order, module_name)
            tools.put(module, dequantised)
            if inputs is not None and not inputs.dynamic:
                add_static(state, module, inputs)
            elif inputs is not None:
                module.register_forward_pre_hook(
                    lambda _, x, float_=inputs.type == "float", group=inputs.group_size: (
                        round_floats(x[0], group) if float_ else tools.round_tokens(x[0]),))
            for suffix, tensor in state.items():
                tensors[f"{module_name}.{suffix}"] = tensor.contiguous()
    formats = {g[3] for g in groups.values()}
    return tensors, dict(
        quant_method="compressed-tensors", format=formats.pop() if len(formats) == 1 else "mixed-precision",
        quantization_status="compressed", global_compression_ratio=None, ignore=list(ignore), kv_cache_scheme=None,
        config_groups=config_groups)


def add_static(state, module, inputs):
    scale, zero = 0.03, 0 if inputs.symmetric else 11
    if inputs.type == "float":
        state["input_scale"] = torch.tensor([scale])
        rule = lambda x: (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale
    else:
        state["input_scale"] = torch.tensor([scale])
        if zero:
            state["input_zero_point"] = torch.tensor([zero], dtype=torch.int8)
        rule = lambda x: (((x / scale).round() + zero).clamp(-128, 127) - zero) * scale
    module.register_forward_pre_hook(lambda _, x: (rule(x[0]),))


def round_floats(x, group):
    shape = x.shape
    x = x.reshape(*shape[:-1], -1, group or shape[-1])
    scale = x.abs().amax(-1, keepdim=True) / 448
    return ((x / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale).reshape(shape)


def grouped(state, rows, columns, bits, index):
    """`actorder` "group", which the library has dropped: its packing, with the index beside it."""
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    scale, zero = state["weight_scale"][:, index], state["weight_zero_point"].float()[:, index]
    half = 2 ** (bits - 1)
    codes = (state["weight"] / scale + zero).round().clamp(-half, half - 1)
    return dict(
        weight_packed=pack_to_int32(codes.to(torch.int8), bits), weight_shape=torch.tensor([rows, columns]),
        weight_scale=state["weight_scale"].to(torch.bfloat16), weight_g_idx=state["weight_g_idx"],
        weight_zero_point=pack_to_int32(state["weight_zero_point"].to(torch.int8), bits, packed_dim=0),
    ), scale * (codes - zero)


def compress_one(base, scheme, arguments, weight, format_, calculate_qparams, act_order, module_name):
    rows, columns = weight.shape
    strategy = str(arguments.strategy.value if hasattr(arguments.strategy, "value") else arguments.strategy)
    size = arguments.group_size or columns
    g_idx = None
    if strategy == "group":
        index = torch.arange(columns) // size
        if act_order:
            generator = torch.Generator().manual_seed(zlib.crc32(module_name.encode()))
            index = index[torch.randperm(columns, generator=generator)]
            g_idx = index.to(torch.int32)
        low = torch.stack([weight[:, index == g].amin(1) for g in range(columns // size)], 1)
        high = torch.stack([weight[:, index == g].amax(1) for g in range(columns // size)], 1)
    elif strategy == "block":
        r, c = arguments.block_structure
        blocks = weight.reshape(rows // r, r, columns // c, c)
        low, high = blocks.amin((1, 3)), blocks.amax((1, 3))
    elif strategy == "channel":
        low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    else:
        low, high = weight.amin().reshape(1), weight.amax().reshape(1)
    scale, zero = calculate_qparams(low, high, arguments)
    scale = scale.to(torch.bfloat16).float()
    state = dict(weight=weight, weight_scale=scale, weight_zero_point=zero)
    if g_idx is not None:
        state["weight_g_idx"] = g_idx
    if arguments.symmetric:
        state.pop("weight_zero_point")
    if g_idx is not None:
        return grouped(state, rows, columns, arguments.num_bits, index)
    compressor = base.load_from_registry(format_)
    compressed = compressor.compress({k: v.clone() for k, v in state.items()}, scheme)
    back = compressor.decompress({k: v.clone() for k, v in compressed.items()}, scheme)
    compressed["weight_scale"] = compressed["weight_scale"].to(torch.bfloat16)
    return compressed, back["weight"].float()
