"""Writes a Llama of a given size with random bf16 weights, as a Hugging Face folder: speed needs a shape, not sense.

    random_model.py SHAPE FOLDER      SHAPE: 8b (Llama 3), 1.1b (TinyLlama), 125m, tiny
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


def main(name, folder):
    shape = SHAPES[name]
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
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    # The demo's tokenizer: its ids are valid here, and timing does not read the text.
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(next(demo for demo in DEMOS if demo.is_dir()) / file, folder / file)
    header, offset = {}, 0
    for tensor, dimensions in tensors(shape):
        size = 2 * int(np.prod(dimensions))
        header[tensor] = {"dtype": "BF16", "shape": list(dimensions), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    normal = np.random.default_rng(1).standard_normal(TABLE, np.float32) * np.float32(0.02)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor, dimensions in tensors(shape):
            count = int(np.prod(dimensions))
            values = np.ones(count, np.float32) if len(dimensions) == 1 else np.resize(normal, count)
            if tensor == "lm_head.weight":
                # Only ids that the tokenizer has win the argmax, so that streams carry text.
                values.reshape(dimensions)[TOKENIZER_IDS:] = 0
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    print(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
