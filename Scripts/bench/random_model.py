"""Writes a Llama of a given size with random bf16 weights, as a Hugging Face folder: speed needs a shape, not sense.

    random_model.py SHAPE FOLDER [int4]      SHAPE: 8b (Llama 3), 1.1b (TinyLlama), 125m, tiny

With int4, linear layers are compressed-tensors' pack-quantized, symmetric in groups of 128, and the output
projection has 8 bits (llama.cpp's Q4_0 gives it 6.6).
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy as np

SHAPES = {
    "8b": dict(hidden=4096, layers=32, heads=32, kv_heads=8, intermediate=14336, vocabulary=128256),
    "1.1b": dict(hidden=2048, layers=22, heads=32, kv_heads=4, intermediate=5632, vocabulary=32000),
    "125m": dict(hidden=768, layers=12, heads=12, kv_heads=12, intermediate=2048, vocabulary=32000),
    "tiny": dict(hidden=64, layers=2, heads=4, kv_heads=2, intermediate=160, vocabulary=4096),
}
TOKENIZER_IDS = 4096
HERE = pathlib.Path(__file__).resolve()
# In a checkout, and in the package.
DEMOS = [HERE.parents[2] / "Tests" / "Fixtures" / "demo", HERE.parents[1] / "demo"]
# Values are cut from a table whose length is a prime, so that no row repeats another: drawing 8 billion takes minutes.
TABLE = 16_777_213


def tensors(shape):
    hidden, intermediate = shape["hidden"], shape["intermediate"]
    head = hidden // shape["heads"]
    yield "model.embed_tokens.weight", (shape["vocabulary"], hidden)
    for layer in range(shape["layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (hidden,)
        yield prefix + "self_attn.q_proj.weight", (hidden, hidden)
        yield prefix + "self_attn.k_proj.weight", (shape["kv_heads"] * head, hidden)
        yield prefix + "self_attn.v_proj.weight", (shape["kv_heads"] * head, hidden)
        yield prefix + "self_attn.o_proj.weight", (hidden, hidden)
        yield prefix + "post_attention_layernorm.weight", (hidden,)
        yield prefix + "mlp.gate_proj.weight", (intermediate, hidden)
        yield prefix + "mlp.up_proj.weight", (intermediate, hidden)
        yield prefix + "mlp.down_proj.weight", (hidden, intermediate)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (shape["vocabulary"], hidden)


def parts(name, dimensions, quantised):
    """What is stored for a tensor: name, type, shape."""
    if not quantised or len(dimensions) == 1 or "embed" in name:
        return [(name, "BF16", dimensions)]
    module = name.removesuffix(".weight")
    words = dimensions[1] * (8 if module == "lm_head" else 4) // 32
    return [
        (module + ".weight_packed", "I32", (dimensions[0], words)),
        (module + ".weight_scale", "BF16", (dimensions[0], dimensions[1] // 128)),
        (module + ".weight_shape", "I64", (2,)),
    ]


def group(targets, bits):
    weights = dict(num_bits=bits, type="int", strategy="group", group_size=128, symmetric=True, dynamic=False)
    return dict(targets=targets, weights=weights, input_activations=None, output_activations=None)


def main(name, folder, kind="bf16"):
    shape = SHAPES[name]
    quantised = kind == "int4"
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": shape["hidden"], "intermediate_size": shape["intermediate"],
        "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"], "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "vocab_size": shape["vocabulary"], "bos_token_id": 0, "eos_token_id": 1,
    }
    if quantised:
        config["quantization_config"] = dict(
            quant_method="compressed-tensors", format="pack-quantized", quantization_status="compressed", ignore=[],
            config_groups=dict(group_0=group(["Linear"], 4), group_1=group(["lm_head"], 8)))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    # The demo's tokenizer: its ids are valid here, and timing does not read the text.
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(next(demo for demo in DEMOS if demo.is_dir()) / file, folder / file)
    header, offset = {}, 0
    sizes = {"BF16": 2, "I32": 4, "I64": 8}
    for tensor, dimensions in tensors(shape):
        for part, type_, extents in parts(tensor, dimensions, quantised):
            size = sizes[type_] * int(np.prod(extents))
            header[part] = {"dtype": type_, "shape": list(extents), "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(1)
    normal = random.standard_normal(TABLE, np.float32) * np.float32(0.02)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor, dimensions in tensors(shape):
            stored = parts(tensor, dimensions, quantised)
            if len(stored) > 1:
                for (_, _, extents), integers in zip(stored, [True, False, None]):
                    count = int(np.prod(extents))
                    if integers is None:
                        file.write(np.array(dimensions, np.int64).tobytes())
                    elif integers:
                        file.write(random.integers(0, 2**32, count, np.uint32).tobytes())
                    else:
                        # Codes of 4 bits spread over ±7.5 scales, of 8 over ±127.
                        scale = np.float32(0.0004 if tensor == "lm_head.weight" else 0.005)
                        rows = np.full(extents, scale, np.float32)
                        if tensor == "lm_head.weight":
                            rows[TOKENIZER_IDS:] = 0
                        file.write((rows.view(np.uint32) >> 16).astype(np.uint16).tobytes())
                continue
            count = int(np.prod(dimensions))
            values = np.ones(count, np.float32) if len(dimensions) == 1 else np.resize(normal, count)
            if tensor == "lm_head.weight":
                # Only ids that the tokenizer has win the argmax, so that streams carry text.
                values.reshape(dimensions)[TOKENIZER_IDS:] = 0
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    print(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
