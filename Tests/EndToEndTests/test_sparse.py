"""Sparse models from outside: made, stored small, run without a flag, and what the methods cost on the demo model."""

import json
import urllib.request

import numpy as np
import pytest

from conftest import DEMO, gpuinfer, serving
from test_compress import compare, read_tensors, write_model

SAMPLES = 16


def prune(model, output, method, sparsity, *flags):
    result = gpuinfer(
        "compress", model, "--method", method, "--sparsity", sparsity, "--calibration",
        DEMO / "calibration.safetensors", "--samples", SAMPLES, "--output", output, "--no-evaluation", "--json",
        *flags, check=0,
    )
    return json.loads(result.stdout)


def test_a_sparse_model_runs_without_a_flag_and_back(tmp_path):
    report = prune(DEMO, tmp_path / "sparse", "magnitude", "2:4")
    assert report["average_bits"] == 9
    tensors = read_tensors(tmp_path / "sparse/model.safetensors")
    name = "model.layers.0.mlp.down_proj"
    rows, columns = tensors[name + ".shape"].flatten()
    bits = np.unpackbits(tensors[name + ".bitmask"], axis=1, bitorder="little")[:, :columns]
    assert (bits.reshape(rows, -1, 4).sum(2) == 2).all()
    spread = np.zeros((rows, columns), np.float32)
    spread[bits == 1] = tensors[name + ".compressed"].flatten()
    gpuinfer("convert", tmp_path / "sparse", tmp_path / "dense", "--format", "dense", check=0)
    dense = read_tensors(tmp_path / "dense/model.safetensors")
    assert (dense[name + ".weight"] == spread).all()
    assert "quantization_config" not in json.loads((tmp_path / "dense/config.json").read_text())
    gpuinfer("convert", tmp_path / "sparse", tmp_path / "again", "--format", "compressed-tensors", check=0)
    again = (tmp_path / "again/model.safetensors").read_bytes()
    gpuinfer("convert", tmp_path / "again", tmp_path / "third", "--format", "compressed-tensors", check=0)
    assert (tmp_path / "third/model.safetensors").read_bytes() == again
    first, second = compare(tmp_path / "sparse", windows=4), compare(tmp_path / "dense", windows=4)
    assert first["perplexity"] == second["perplexity"]
    text = gpuinfer("run", tmp_path / "sparse", "--prompt", "The", "--max-tokens", 4, check=0).stdout
    assert text == gpuinfer("run", tmp_path / "dense", "--prompt", "The", "--max-tokens", 4, check=0).stdout


def answer(server):
    body = {"prompt": ["The boy", "Once upon a time, in a house"], "max_tokens": 8, "temperature": 0}
    request = urllib.request.Request(
        server.url + "/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return [choice["text"] for choice in json.load(response)["choices"]]


@pytest.mark.parametrize("flags", [[], ["--bits", "4", "--group-size", "64"]])
def test_devices_multiply_2_of_4_as_it_is_stored(tmp_path, flags):
    prune(DEMO, tmp_path / "sparse", "sparsegpt" if flags else "magnitude", "2:4", *flags)
    model = tmp_path / "sparse"
    inspected = json.loads(gpuinfer("inspect", model, "--json", check=0).stdout)
    assert [form["widened"] for form in inspected["on_devices"]] == [False]
    report = json.loads(
        gpuinfer(
            "verify", model, "--candidate", "simt", "--json", "--only", "layers", "--only", "tokens",
            "--prompts", "1", "--max-tokens", "4", check=0,
        ).stdout
    )
    assert report["passed"] and report["layers"] and report["texts"]
    answers = []
    for device in ("simt", "cpu"):
        with serving("--device", device, model=model) as server:
            answers.append(answer(server))
            assert server.stop() == 0
    assert answers[0] == answers[1]


def test_a_damaged_mask_is_refused_with_its_place(tmp_path):
    prune(DEMO, tmp_path / "sparse", "magnitude", "2:4")
    path = tmp_path / "sparse/model.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    start = header["model.layers.2.self_attn.k_proj.bitmask"]["data_offsets"][0]
    data[8 + length + start + 3] = 0xFF
    path.write_bytes(data)
    result = gpuinfer("run", tmp_path / "sparse", "--prompt", "The", check=65)
    message = result.stderr.decode()
    assert "model.layers.2.self_attn.k_proj" in message
    assert "bitmask of row 0 keeps 4 of the inputs 24..<28, where 2:4 keeps 2" in message


@pytest.mark.parametrize("sparsity", ["0.5", "2:4"])
def test_compensation_beats_both_masks_on_the_demo_model(tmp_path, sparsity):
    found = {}
    for method in ["sparsegpt", "wanda", "magnitude"]:
        prune(DEMO, tmp_path / method, method, sparsity)
        found[method] = compare(tmp_path / method, windows=20)["perplexity"]
    print(sparsity, found)
    assert found["sparsegpt"] < found["wanda"]
    assert found["sparsegpt"] < found["magnitude"]


def test_with_loud_channels_wanda_beats_magnitude(tmp_path):
    """Norm gains times 30 and the columns that read them divided by 30: the same function, other weights."""
    tensors = read_tensors(DEMO / "model.safetensors")
    random = np.random.default_rng(7)
    for layer in range(6):
        prefix = f"model.layers.{layer}."
        for norm, readers in [
            ("input_layernorm", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            ("post_attention_layernorm", ["mlp.gate_proj", "mlp.up_proj"]),
        ]:
            loud = random.choice(256, 4, replace=False)
            tensors[prefix + norm + ".weight"] = tensors[prefix + norm + ".weight"].copy()
            tensors[prefix + norm + ".weight"][loud] *= 30
            for reader in readers:
                weight = tensors[prefix + reader + ".weight"].copy()
                weight[:, loud] /= 30
                tensors[prefix + reader + ".weight"] = weight
    injected = write_model(tmp_path / "injected", tensors)
    assert abs(compare(injected, windows=4)["perplexity_ratio"] - 1) < 1e-4
    found = {}
    for method in ["wanda", "magnitude"]:
        prune(injected, tmp_path / method, method, "0.5")
        found[method] = compare(tmp_path / method, windows=20)["perplexity"]
    print(found)
    assert found["wanda"] < found["magnitude"]


def test_layers_lose_the_heads_and_channels_that_contribute_least(tmp_path):
    for name, flags in (("own", []), ("uniform", ["--uniform"])):
        gpuinfer(
            "compress", DEMO, "--method", "structured", "--prune-channels", "0.25", "--prune-heads", "0.125",
            *flags, "--calibration", DEMO / "calibration.safetensors", "--samples", 4, "--output", tmp_path / name, "--no-evaluation", check=0,
        )
    config = json.loads((tmp_path / "own/config.json").read_text())
    original = json.loads((DEMO / "config.json").read_text())
    widths = config["intermediate_sizes"]
    assert len(widths) == original["num_hidden_layers"] and len(set(widths)) > 1
    assert config["intermediate_size"] == max(widths)
    heads = config["num_key_value_heads_per_layer"]
    assert sum(heads) == 21 and max(heads) == config["num_key_value_heads"] == 4
    assert config["num_attention_heads"] == 8
    uniform = json.loads((tmp_path / "uniform/config.json").read_text())
    assert "intermediate_sizes" not in uniform and "num_key_value_heads_per_layer" not in uniform
    found = {name: compare(tmp_path / name, windows=4)["perplexity"] for name in ("own", "uniform")}
    print(widths, heads, found)
    text = gpuinfer("run", tmp_path / "own", "--prompt", "The", "--max-tokens", 4, "--device", "simt", check=0).stdout
    assert text == gpuinfer("run", tmp_path / "own", "--prompt", "The", "--max-tokens", 4, check=0).stdout
    refused = gpuinfer("convert", tmp_path / "own", tmp_path / "own.gguf", "--format", "gguf")
    assert refused.returncode == 65 and b"intermediate_sizes" in refused.stderr


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--method", "magnitude"], "--sparsity"),
        (["--method", "magnitude", "--sparsity", "5:4"], "a pattern such as 2:4"),
        (["--method", "structured", "--prune-layers", "0.5", "--prune-heads", "0.5"], "alone"),
        (["--method", "structured", "--prune-hidden", "0.5", "--prune-layers", "0.5"], "alone"),
        (["--method", "wanda", "--error-budget", "2"], "--error-budget"),
    ],
)
def test_bad_requests_are_refused(tmp_path, flags, words):
    calibration = ["--calibration", DEMO / "calibration.safetensors"]
    result = gpuinfer("compress", DEMO, "--output", tmp_path / "out", *calibration, *flags, check=64)
    assert words in result.stderr.decode()


def test_hidden_components_are_taken_out_of_the_whole_model(tmp_path):
    gpuinfer(
        "compress", DEMO, "--method", "structured", "--prune-hidden", "0.125", "--calibration",
        DEMO / "calibration.safetensors", "--samples", 8, "--output", tmp_path / "out", "--no-evaluation", check=0,
    )
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["hidden_size"] == 224 and config["head_dim"] == 32 and config["tie_word_embeddings"]
    assert read_tensors(tmp_path / "out/model.safetensors")["model.embed_tokens.weight"].shape[1] == 224
    print(compare(tmp_path / "out", windows=4)["perplexity"])
    text = gpuinfer("run", tmp_path / "out", "--prompt", "The", "--max-tokens", 4, "--device", "simt", check=0).stdout
    assert text == gpuinfer("run", tmp_path / "out", "--prompt", "The", "--max-tokens", 4, check=0).stdout


def test_layers_are_taken_out_whole(tmp_path):
    gpuinfer(
        "compress", DEMO, "--method", "structured", "--prune-layers", "0.34", "--calibration",
        DEMO / "calibration.safetensors", "--samples", 4, "--output", tmp_path / "out", "--no-evaluation", check=0,
    )
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["num_hidden_layers"] == 4
    names = read_tensors(tmp_path / "out/model.safetensors").keys()
    assert {name.split(".")[2] for name in names if ".layers." in name} == {"0", "1", "2", "3"}
    assert compare(tmp_path / "out", windows=2)["perplexity"] > 0
