#!/usr/bin/env python3
"""Writes Tests/Fixtures/gguf from the checkpoints in Tests/Fixtures with the `gguf` package, and what reading them must give.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy gguf==0.19.0 sentencepiece
    /tmp/venv/bin/python Scripts/goldens/gguf_fixtures.py

Each NAME.gguf has a NAME.json: for every Hugging Face tensor its shape, the CRC-32 of its elements as little-endian
float32, and the first elements for a reader. Layouts follow what llama.cpp's converter does: q and k rows of Llama
reordered for its rotary embedding, GPT-2's linear weights transposed, BLOOM's q, k and v taken apart.
Files without quantisation are checked against the Hugging Face files, quantised ones against `gguf.quants`.

blocks.gguf holds random blocks of every quantised type, blocks.safetensors their decoded values.
"""

import json
import math
import struct
import zlib
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from gguf import GGMLQuantizationType as Q

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "Tests/Fixtures/tiny"
LLAMA3 = ROOT / "Tests/Fixtures/families/llama-rope-llama3"
OUT = ROOT / "Tests/Fixtures/gguf"

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "bloom": gguf.MODEL_ARCH.BLOOM,
}

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def read_safetensors(path):
    """Name -> float32 array."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, info in json.loads(raw[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        data = raw[begin:end]
        if info["dtype"] == "BF16":
            array = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(data, {"F32": np.float32, "F16": np.float16}[info["dtype"]]).astype(np.float32)
        tensors[name] = array.reshape(info["shape"])
    return tensors


def to_gguf(model, config, name, array):
    """The layout llama.cpp stores."""
    if model in ("llama", "mistral") and (".q_proj." in name or ".k_proj." in name):
        heads = config["num_attention_heads"] if ".q_proj." in name else config["num_key_value_heads"]
        return array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
    if model == "gpt2" and array.ndim == 2 and ".h." in name:
        return array.T
    if model == "bloom" and ".query_key_value." in name:
        heads = config["n_head"]
        split = array.reshape(heads, 3, array.shape[0] // heads // 3, *array.shape[1:])
        return np.concatenate([split[:, part].reshape(-1, *array.shape[1:]) for part in range(3)])
    return array


def from_gguf(model, config, name, array):
    """The inverse of `to_gguf`, found by moving indices, not by undoing its steps."""
    index = np.arange(array.size, dtype=np.int64).reshape(array.shape if model != "gpt2" or array.ndim < 2 or ".h." not in name else array.shape[::-1])
    moved = to_gguf(model, config, name, index).ravel()
    flat = np.empty(array.size, np.float32)
    flat[moved] = np.ascontiguousarray(array, np.float32).ravel()
    return flat.reshape(index.shape)


def add_hyperparameters(writer, model, config):
    hidden = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    writer.add_name(f"tiny {model}")
    writer.add_type("model")
    writer.add_block_count(config.get("num_hidden_layers", config.get("n_layer")))
    # BLOOM's configuration has no limit, its positions being relative.
    writer.add_context_length(config.get("max_position_embeddings", config.get("n_positions", 512)))
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(config.get("intermediate_size", 4 * hidden))
    writer.add_head_count(heads)
    if model in ("gpt2", "bloom"):
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
        if model == "bloom":
            writer.add_head_count_kv(heads)
        return
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    if model == "mistral":
        writer.add_sliding_window(config["sliding_window"])
    if model != "qwen2":
        writer.add_vocab_size(config["vocab_size"])
        head_size = config.get("head_dim", hidden // heads)
        writer.add_rope_dimension_count(head_size)
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)


def add_tokenizer(writer, model, config):
    directory = TINY / model
    if model in ("llama", "mistral"):
        pieces = sentencepiece.SentencePieceProcessor(str(directory / "tokenizer.model"))
        ids = range(pieces.get_piece_size())
        kinds = [
            gguf.TokenType.UNKNOWN if pieces.is_unknown(i)
            else gguf.TokenType.CONTROL if pieces.is_control(i)
            else gguf.TokenType.BYTE if pieces.is_byte(i)
            else gguf.TokenType.NORMAL
            for i in ids
        ]
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([pieces.id_to_piece(i).encode() for i in ids])
        writer.add_token_scores([pieces.get_score(i) for i in ids])
        writer.add_token_types(kinds)
        writer.add_unk_token_id(pieces.unk_id())
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(False)
        writer.add_add_space_prefix(True)
    else:
        tokenizer = json.loads((directory / "tokenizer.json").read_text())
        tokens = {i: token for token, i in tokenizer["model"]["vocab"].items()}
        special = {entry["id"]: entry["content"] for entry in tokenizer["added_tokens"]}
        tokens.update(special)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre({"gpt2": "gpt-2", "qwen2": "qwen2", "bloom": "bloom"}[model])
        writer.add_token_list([tokens[i].encode() for i in range(len(tokens))])
        writer.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(len(tokens))])
        writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["model"]["merges"]])
        writer.add_add_bos_token(False)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(config["pad_token_id"])
    if model == "qwen2":
        writer.add_chat_template(CHATML)


def storage(array, wanted):
    """Vectors are float32, and what does not divide into blocks bfloat16, which is exact for the sources used here."""
    if array.ndim == 1:
        return Q.F32
    return wanted if array.shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else Q.BF16


def llama3_factors(config):
    """What the converter stores in rope_freqs.weight: 1 for short wavelengths, the factor for long ones."""
    scaling = config["rope_scaling"]
    size = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    length = scaling["original_max_position_embeddings"]
    factors = []
    for pair in range(size // 2):
        wavelength = 2 * math.pi * config["rope_theta"] ** (2 * pair / size)
        turns = length / wavelength
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def write_model(model, wanted, directory=None, name=None):
    name = name or f"{model}-{wanted.name.lower()}"
    with_tokenizer = directory is None
    directory = directory or TINY / model
    config = json.loads((directory / "config.json").read_text())
    source = read_safetensors(directory / "model.safetensors")
    architecture = ARCHITECTURES[model]
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    names = gguf.get_tensor_name_map(architecture, layers)
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[architecture])
    add_hyperparameters(writer, model, config)
    if with_tokenizer:
        add_tokenizer(writer, model, config)
    if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    expected = {}
    for hf_name, array in sorted(source.items()):
        stored = np.ascontiguousarray(to_gguf(model, config, hf_name, array))
        kind = storage(stored, wanted)
        data = gguf.quants.quantize(stored, kind)
        # The package lists BLOOM's names without the prefix, which its converter cuts off.
        mapped_name = hf_name.removeprefix("transformer.") if model == "bloom" else hf_name
        gguf_name = names.get_name(mapped_name, try_suffixes=(".weight", ".bias"))
        assert gguf_name, hf_name
        writer.add_tensor(gguf_name, data, raw_dtype=kind)
        read = from_gguf(model, config, hf_name, gguf.quants.dequantize(data, kind))
        assert read.shape == array.shape
        if wanted in (Q.F32, Q.F16, Q.BF16):
            assert np.array_equal(read, array), hf_name
        expected[hf_name] = {
            "shape": list(read.shape),
            "stored": kind.name,
            "crc32": zlib.crc32(np.ascontiguousarray(read, "<f4").tobytes()),
            "first": [float(x) for x in read.ravel()[:4]],
        }
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (OUT / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")


def random_blocks(rng, kind, rows, columns):
    """Any bytes are a valid block but for the half floats, which must be finite."""
    size, width = gguf.GGML_QUANT_SIZES[kind]
    count = rows * columns // size
    blocks = rng.integers(0, 256, (count, width), dtype=np.uint8)
    halves = {
        Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108],
        Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208],
    }[kind]
    for offset in halves:
        values = (rng.standard_normal(count) * 0.05).astype(np.float16)
        values[0] = np.float16(6e-8)  # the smallest subnormal
        blocks[:, offset : offset + 2] = values.view(np.uint8).reshape(count, 2)
    return blocks.reshape(rows, -1)


def write_blocks():
    rng = np.random.default_rng(20240731)
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "blocks")
    expected = {}
    for kind in (Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        for columns in (256, 512):
            name = f"{kind.name}.{columns}"
            data = random_blocks(rng, kind, 3, columns)
            writer.add_tensor(name, data, raw_dtype=kind)
            expected[name] = gguf.quants.dequantize(data, kind).astype("<f4")
            assert expected[name].shape == (3, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header, data = {}, b""
    for name, array in expected.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (OUT / "blocks.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_quantizer_vectors():
    """What `gguf.quants.quantize` makes of awkward rows: zeros, one large value, ties, tiny values."""
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((12, 64)).astype(np.float32)
    rows[1] = 0
    rows[2, 5] = -300
    rows[3] = np.arange(64, dtype=np.float32) - 31.5
    rows[4] *= np.float32(1e-7)
    rows[5] = np.round(rows[5] * 4) / 4
    rows[6] = np.abs(rows[6])
    rows[7] = -np.abs(rows[7])
    case = {"rows": rows.shape[0], "columns": rows.shape[1], "values": rows.view(np.uint32).ravel().tolist()}
    for kind in (Q.Q8_0, Q.Q4_0):
        case[kind.name] = gguf.quants.quantize(rows, kind).tobytes().hex()
    (OUT / "quantize.json").write_text(json.dumps(case) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for model, kind in (
        ("llama", Q.BF16), ("llama", Q.Q8_0), ("llama", Q.Q4_0), ("mistral", Q.F16), ("qwen2", Q.BF16),
        ("gpt2", Q.F32), ("bloom", Q.F16),
    ):
        write_model(model, kind)
    write_model("llama", Q.F32, LLAMA3, "llama3-rope-f32")
    write_blocks()
    write_quantizer_vectors()


if __name__ == "__main__":
    main()
