#!/usr/bin/env python3
"""Writes Tests/Fixtures/sinks: logits of streams with attention sinks, from the tiny checkpoints in Tests/Fixtures.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy
    /tmp/venv/bin/python Scripts/goldens/sinks.py

StreamingLLM as its paper describes it (arXiv 2309.17453, section 3.2), in double precision, one token at a time: each
layer caches keys before they are rotated; after a token is appended, keys and query are numbered by their place in
the cache and rotated (Llama) or biased (BLOOM) by that; then all but the first S and the last W are evicted. A query
so sees S + W keys, itself among them. As long as nothing is evicted this is the plain model, which is checked
against the logits of transformers beside the checkpoints.
"""

import json
import struct
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "Tests/Fixtures/tiny"
OUT = ROOT / "Tests/Fixtures/sinks"
SINKS, WINDOW, LENGTH, EVERY = 5, 23, 150, 10


def read(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        raw = data[start:end]
        if entry["dtype"] == "BF16":
            wide = np.frombuffer(raw, np.uint16).astype(np.uint32) << 16
            values = wide.view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": np.float32, "F16": np.float16, "I64": np.int64}[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).astype(np.int64 if entry["dtype"] == "I64" else np.float64)
    return tensors


def write(path, tensors):
    header, blob = {}, b""
    for name, value in tensors.items():
        raw = value.tobytes()
        kind = {"float32": "F32", "int64": "I64"}[str(value.dtype)]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Cache:
    """Keys (not rotated) and values of one layer, `[place][heads, D]`."""

    def __init__(self):
        self.keys, self.values = [], []

    def append(self, key, value, sinks, window):
        self.keys.append(key)
        self.values.append(value)
        if len(self.keys) > sinks + window:
            del self.keys[sinks : len(self.keys) - window]
            del self.values[sinks : len(self.values) - window]
        return np.stack(self.keys), np.stack(self.values)


class Llama:
    def __init__(self, folder):
        self.c = json.loads((folder / "config.json").read_text())
        self.w = {k.removeprefix("model."): v for k, v in read(folder / "model.safetensors").items()}
        self.layers = self.c["num_hidden_layers"]
        self.caches = [Cache() for _ in range(self.layers)]
        self.heads, self.kv, self.d = self.c["num_attention_heads"], self.c["num_key_value_heads"], self.c["head_dim"]
        self.frequencies = self.c["rope_theta"] ** (-np.arange(0, self.d, 2) / self.d)

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean() + self.c["rms_norm_eps"]) * self.w[name + ".weight"]

    def rotate(self, x, places):
        angles = np.concatenate([np.outer(places, self.frequencies)] * 2, -1)[:, None]
        half = self.d // 2
        return x * np.cos(angles) + np.concatenate([-x[..., half:], x[..., :half]], -1) * np.sin(angles)

    def step(self, token, sinks, window):
        w, x = self.w, self.w["embed_tokens.weight"][token]
        for i in range(self.layers):
            p = f"layers.{i}."
            h = self.norm(x, p + "input_layernorm")
            q = (w[p + "self_attn.q_proj.weight"] @ h).reshape(self.heads, self.d)
            k = (w[p + "self_attn.k_proj.weight"] @ h).reshape(self.kv, self.d)
            v = (w[p + "self_attn.v_proj.weight"] @ h).reshape(self.kv, self.d)
            keys, values = self.caches[i].append(k, v, sinks, window)
            places = np.arange(len(keys))
            keys = np.repeat(self.rotate(keys, places), self.heads // self.kv, 1)
            values = np.repeat(values, self.heads // self.kv, 1)
            q = self.rotate(q[None], places[-1:])[0]
            p_ = softmax(np.einsum("hd,thd->ht", q, keys) / np.sqrt(self.d))
            o = np.einsum("ht,thd->hd", p_, values).reshape(-1)
            x = x + w[p + "self_attn.o_proj.weight"] @ o
            h = self.norm(x, p + "post_attention_layernorm")
            gate = w[p + "mlp.gate_proj.weight"] @ h
            x = x + w[p + "mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * (w[p + "mlp.up_proj.weight"] @ h))
        return w["lm_head.weight"] @ self.norm(x, "norm")


class Bloom:
    def __init__(self, folder):
        self.c = json.loads((folder / "config.json").read_text())
        self.w = {k.removeprefix("transformer."): v for k, v in read(folder / "model.safetensors").items()}
        self.layers, self.heads = self.c["n_layer"], self.c["n_head"]
        self.d = self.c["hidden_size"] // self.heads
        self.caches = [Cache() for _ in range(self.layers)]
        self.slopes = 2.0 ** (-8 * np.arange(1, self.heads + 1) / self.heads)  # for a power of two of heads

    def norm(self, x, name):
        x = (x - x.mean()) / np.sqrt(x.var() + self.c["layer_norm_epsilon"])
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def linear(self, x, name):
        return self.w[name + ".weight"] @ x + self.w[name + ".bias"]

    def step(self, token, sinks, window):
        x = self.norm(self.w["word_embeddings.weight"][token], "word_embeddings_layernorm")
        for i in range(self.layers):
            p = f"h.{i}."
            h = self.norm(x, p + "input_layernorm")
            q, k, v = self.linear(h, p + "self_attention.query_key_value").reshape(self.heads, 3, self.d).swapaxes(0, 1)
            keys, values = self.caches[i].append(k, v, sinks, window)
            distance = np.arange(len(keys)) - (len(keys) - 1)
            scores = np.einsum("hd,thd->ht", q, keys) / np.sqrt(self.d) + self.slopes[:, None] * distance
            x = x + self.linear(np.einsum("ht,thd->hd", softmax(scores), values).reshape(-1), p + "self_attention.dense")
            h = self.linear(self.norm(x, p + "post_attention_layernorm"), p + "mlp.dense_h_to_4h")
            h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
            x = x + self.linear(h, p + "mlp.dense_4h_to_h")
        return self.w["word_embeddings.weight"] @ self.norm(x, "ln_f")


def main():
    OUT.mkdir(exist_ok=True)
    for name, kind in (("llama", Llama), ("bloom", Bloom)):
        known = read(TINY / name / "expected.safetensors")
        expected = json.loads((TINY / name / "expected.json").read_text())
        prompt = max(expected["prompts"], key=lambda p: len(p["input_ids"]))
        logits = next(v for v in known.values() if v.shape == (len(prompt["input_ids"]), 512))
        model = kind(TINY / name)
        plain = np.stack([model.step(t, 0, 10**9) for t in prompt["input_ids"]])
        error = abs(plain - logits).max() / abs(logits).max()
        print(name, "against transformers, nothing evicted:", error)
        assert error < 1e-4
        tokens = np.random.default_rng(7).integers(4, 512, LENGTH)
        model = kind(TINY / name)
        rows = np.stack([model.step(t, SINKS, WINDOW) for t in tokens])
        kept = np.arange(EVERY - 1, LENGTH, EVERY)
        write(
            OUT / f"{name}.safetensors",
            {
                "tokens": tokens.astype(np.int64),
                "positions": kept.astype(np.int64),
                "logits": rows[kept].astype(np.float32),
                "policy": np.array([SINKS, WINDOW], np.int64),
            },
        )


main()
