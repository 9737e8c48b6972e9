"""Compression of the demo model, held against a straightforward implementation in numpy and against itself.

The reference shares nothing with the program but the method: it reads the checkpoint, runs the model and sweeps the
columns in double precision, one at a time.
"""

import json
import pathlib
import shutil
import struct

import numpy as np
import pytest

from conftest import DEMO, gpuinfer

SAMPLES = 16
GROUP = 128


# MARK: safetensors


def read_tensors(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        raw = data[8 + length + start : 8 + length + end]
        if entry["dtype"] == "BF16":
            array = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            kinds = {
                "F32": np.float32, "I32": np.int32, "I64": np.int64, "F16": np.float16, "I8": np.int8, "U8": np.uint8,
            }
            array = np.frombuffer(raw, kinds[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def write_model(folder, tensors):
    """A copy of the demo model with these float32 tensors."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header, parts, end = {}, [], 0
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array, dtype=np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [end, end + len(raw)]}
        parts.append(raw)
        end += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(DEMO / name, folder / name)
    return folder


# MARK: the model and the method, plainly


class Llama:
    def __init__(self, tensors):
        self.t = {name: array.astype(np.float64) for name, array in tensors.items()}
        self.heads, self.kv, self.dim, self.layers = 8, 4, 32, 6

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * self.t[name]

    def rope(self, x):
        length, half = x.shape[1], self.dim // 2
        angle = np.arange(length)[:, None] / 10000.0 ** (np.arange(half) / half)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def attend(self, layer, x):
        p = f"model.layers.{layer}.self_attn."
        n, length, _ = x.shape
        q, k, v = ((x @ self.t[p + name + "_proj.weight"].T).reshape(n, length, -1, self.dim) for name in "qkv")
        q, k = self.rope(q), self.rope(k)
        k, v = (np.repeat(y, self.heads // self.kv, axis=2) for y in (k, v))
        score = np.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(self.dim)
        score[..., np.triu(np.ones((length, length), bool), 1)] = -np.inf
        weight = np.exp(score - score.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        return np.einsum("nhqk,nkhd->nqhd", weight, v).reshape(n, length, -1)

    def activate(self, layer, x):
        p = f"model.layers.{layer}.mlp."
        gate = x @ self.t[p + "gate_proj.weight"].T
        return gate / (1 + np.exp(-gate)) * (x @ self.t[p + "up_proj.weight"].T)


def gptq(w, x, bits=4, group=GROUP):
    rows, columns = w.shape
    x = x.reshape(-1, columns)
    h = 2 * x.T @ x / len(x)
    h += 0.01 * np.diag(h).mean() * np.eye(columns)
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    w, q = w.copy(), np.zeros_like(w)
    for j in range(columns):
        if j % group == 0:
            scale = 2 * np.abs(w[:, j : j + group]).max(1) / (2**bits - 1)
        code = np.clip(np.round(w[:, j] / scale) + 2 ** (bits - 1), 0, 2**bits - 1)
        q[:, j] = scale * (code - 2 ** (bits - 1))
        w[:, j:] -= np.outer((w[:, j] - q[:, j]) / u[j, j], u[j, j:])
    return q


def reference_gptq(tensors, samples):
    model = Llama(tensors)
    t = model.t
    h = t["model.embed_tokens.weight"][samples]

    def sweep(names, x):
        for name in names:
            t[name] = gptq(t[name], x)

    for layer in range(model.layers):
        p = f"model.layers.{layer}."
        x = model.norm(h, p + "input_layernorm.weight")
        sweep([f"{p}self_attn.{name}_proj.weight" for name in "qkv"], x)
        a = model.attend(layer, x)
        sweep([p + "self_attn.o_proj.weight"], a)
        h = h + a @ t[p + "self_attn.o_proj.weight"].T
        x = model.norm(h, p + "post_attention_layernorm.weight")
        sweep([p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight"], x)
        x = model.activate(layer, x)
        sweep([p + "mlp.down_proj.weight"], x)
        h = h + x @ t[p + "mlp.down_proj.weight"].T
    return t


# MARK: tests


def compress(model, output, method, *flags, check=0):
    return gpuinfer(
        "compress", model, "--method", method, "--calibration", DEMO / "calibration.safetensors",
        "--samples", SAMPLES, "--output", output, "--format", "dense", "--no-evaluation", "--json", *flags, check=check,
    )


def compare(model, against=DEMO, windows=40):
    result = gpuinfer(
        "eval", model, "--against", against, "--text", DEMO / "valid.txt", "--limit-windows", windows,
        "--device", "cpu", "--json", check=0,
    )
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("compress")


def test_gptq_is_that_of_a_straightforward_implementation(work):
    samples = read_tensors(DEMO / "calibration.safetensors")["input_ids"][:SAMPLES]
    expected = write_model(work / "reference", reference_gptq(read_tensors(DEMO / "model.safetensors"), samples))
    compress(DEMO, work / "gptq-plain", "gptq", "--act-order", "none")
    ours, theirs = compare(work / "gptq-plain"), compare(expected)
    assert abs(ours["perplexity"] / theirs["perplexity"] - 1) < 0.003
    assert abs(ours["kl_divergence"]["value"] / theirs["kl_divergence"]["value"] - 1) < 0.1


@pytest.mark.parametrize(
    "flags, code, words",
    [
        (["--method", "gptq"], 64, "--calibration"),
        (["--method", "nothing"], 64, "one of: rtn"),
        (["--method", "rtn", "--bits", "5"], 64, "2, 3, 4 or 8"),
        (["--method", "rtn", "--group-size", "0"], 64, "--group-size"),
        (["--method", "gptq", "--calibration", "nowhere.safetensors"], 66, "nowhere"),
        (["--method", "gptq", "--calibration", str(DEMO / "config.json"), "--sequence-length", "100000"], 65, "fewer"),
        (["--recipe", str(DEMO / "config.json")], 65, "method"),
        (["--method", "rtn", "--bits", "8", "--activations", "tensor"], 64, "--calibration"),
        (["--method", "llm.int8", "--activations", "tensor", "--calibration", str(DEMO / "calibration.safetensors")],
         64, "token by token"),
        (["--method", "spqr", "--activations", "token", "--calibration", str(DEMO / "calibration.safetensors")],
         64, "leave --activations out"),
        (["--method", "magnitude", "--sparsity", "2:4", "--activations", "token"], 64, "--bits"),
    ],
)
def test_bad_requests_are_refused(tmp_path, flags, code, words):
    result = gpuinfer("compress", DEMO, "--output", tmp_path / "out", *flags, check=code)
    assert words in result.stderr.decode()
    assert not (tmp_path / "out" / ".compress").exists()
