"""What `compress` writes, from outside: its quality in order, its report, its resumption, and other programs' reading.

`gguf`'s reader and quantisers are ggml's own in Python; loading by transformers and GPTQModel takes gigabytes of
wheels, and is in Scripts/goldens/check_quantized.py and check_gptq.py.
"""

import json
import resource
import signal
import struct
import subprocess
import time

import gguf
import numpy as np
import pytest

from conftest import BINARY, DEMO, gpuinfer, serving
from test_compress import compare, compress, read_tensors, write_model

CHANNEL = ["--bits", "8", "--group-size", "-1"]
CALIBRATION = ["--calibration", DEMO / "calibration.safetensors"]


def test_perplexity_falls_in_order(tmp_path):
    """fp ≤ int8 < GPTQ int4 < RTN int4 of equal size."""
    compress(DEMO, tmp_path / "int8", "rtn", *CHANNEL)
    compress(DEMO, tmp_path / "gptq", "gptq")
    compress(DEMO, tmp_path / "rtn", "rtn")
    found = {name: compare(tmp_path / name) for name in ["int8", "gptq", "rtn"]}
    perplexity = {name: result["perplexity"] for name, result in found.items()}
    original = found["int8"]["reference_perplexity"]
    assert original <= perplexity["int8"] < perplexity["gptq"] < perplexity["rtn"]
    assert perplexity["int8"] / original < 1.001
    # Half of what rounding loses comes back, and not by chance: the intervals of the ratios do not meet.
    assert perplexity["gptq"] - original < 0.6 * (perplexity["rtn"] - original)
    ratios = {name: result["perplexity_ratio_interval_95"] for name, result in found.items()}
    assert ratios["int8"][1] < ratios["gptq"][0] and ratios["gptq"][1] < ratios["rtn"][0]
    divergence = {name: result["kl_divergence"]["value"] for name, result in found.items()}
    assert 0 < divergence["int8"] < divergence["gptq"] < divergence["rtn"]


def test_a_report_says_what_was_gained_and_lost(tmp_path):
    output = tmp_path / "out"
    result = gpuinfer(
        "compress", DEMO, "--method", "owq", "--output", output, *CALIBRATION, "--samples", 4,
        "--eval-text", DEMO / "valid.txt", "--eval-windows", 4, "--json", check=0)
    report = json.loads(result.stdout)
    assert report == json.loads((output / "compression_report.json").read_text())
    sizes = report["bytes"]
    assert sizes["source"] == (DEMO / "model.safetensors").stat().st_size
    assert sizes["output"] == (output / "model.safetensors").stat().st_size
    assert sizes["resident"] < sizes["source_resident"] and 4 < report["average_bits"] < 4.5
    assert all(layer["output_error"] > 0 for layer in report["layers"])
    for kind in ["source", "output"]:
        assert report["speed"][kind]["prefill"] > 0 and report["speed"][kind]["decode"] > 0
    # Columns in 16 bits are not multiplied as they are by any kernel.
    assert any("no GPU kernel takes 42 of 42 layers" in text for text in report["warnings"])
    markdown = (output / "compression_report.md").read_text()
    assert "perplexity over the original's" in markdown and "## Warnings" in markdown
    # The same figures by the command for any two models.
    again = json.loads(gpuinfer(
        "eval", output, "--against", DEMO, "--text", DEMO / "valid.txt", "--limit-windows", 4, "--json",
        "--device", "cpu", check=0).stdout)
    for key in ["perplexity", "reference_perplexity", "perplexity_interval_95", "kl_divergence", "top1_agreement"]:
        assert report["quality"][key] == again[key], key


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    def command(output):
        return [
            BINARY, "compress", DEMO, "--method", "gptq", "--bits", "4", *map(str, CALIBRATION), "--samples", "16",
            "--no-evaluation", "--output", str(output)]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    process = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    third = tmp_path / "killed" / ".compress" / "layer-0002.json"
    deadline = time.monotonic() + 120
    while not third.exists():
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    for name in ["model.safetensors", "config.json"]:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "killed" / ".compress").exists()


def test_a_model_larger_than_the_memory_is_compressed_layer_by_layer(tmp_path):
    """Sixteen layers of 12 MiB each, where the process may have 160 MiB of data in all."""
    width, inner = 512, 1408
    config = json.loads((DEMO / "config.json").read_text())
    random = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for layer in range(16):
        for name, shape in {
            "self_attn.q_proj": (width, width), "self_attn.k_proj": (width // 2, width),
            "self_attn.v_proj": (width // 2, width), "self_attn.o_proj": (width, width),
            "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    tensors = {name: 0.04 * random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    for layer in range(16):
        for name in ["input_layernorm", "post_attention_layernorm"]:
            tensors[f"model.layers.{layer}.{name}.weight"] = np.ones(width, np.float32)
    tensors["model.norm.weight"] = np.ones(width, np.float32)
    model = write_model(tmp_path / "model", tensors)
    config.update(hidden_size=width, intermediate_size=inner, num_hidden_layers=16, num_attention_heads=8,
                  num_key_value_heads=4, head_dim=width // 8)
    (model / "config.json").write_text(json.dumps(config))
    limit = 160 << 20
    assert (model / "model.safetensors").stat().st_size > limit
    result = subprocess.run(
        [BINARY, "compress", model, "--method", "gptq", "--bits", "4", *map(str, CALIBRATION), "--samples", "2",
         "--threads", "2", "--no-evaluation", "--output", tmp_path / "out"],
        capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    (model / "model.safetensors").unlink()
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    report = json.loads((tmp_path / "out" / "compression_report.json").read_text())
    assert len(report["layers"]) == 7 * 16


@pytest.mark.parametrize("method", ["zeroquant-v2", "llm.int8", "spqr"])
def test_every_device_runs_it_without_a_flag(tmp_path, method):
    output = tmp_path / method
    gpuinfer(
        "compress", DEMO, "--method", method, *CALIBRATION, "--samples", 2, "--output", output, "--no-evaluation",
        check=0)
    report = json.loads(gpuinfer(
        "verify", output, "--candidate", "simt", "--only", "layers", "--only", "tokens", "--prompts", 1,
        "--max-tokens", 3, "--json", check=0).stdout)
    assert report["passed"] and report["layers"]
    texts = [
        json.loads(gpuinfer(
            "run", output, "--prompt", "The old man", "--max-tokens", 8, "--temperature", 0, "--device", "cpu",
            "--kv-cache-dtype", dtype, "--json", check=0).stdout)["text"]
        for dtype in ["float32", "int8", "fp8"]
    ]
    assert all(texts)
    with serving("--device", "cpu", "--kv-cache-dtype", "int8", model=output) as server:
        assert 'cache_dtype="int8"' in server.get("/metrics")


# MARK: other programs


def logits(model, folder, *flags):
    """Of 256 tokens of the demo's text; float32 [256, vocabulary]."""
    tokens = read_tensors(DEMO / "calibration.safetensors")["input_ids"].reshape(-1)[-256:].astype(np.int32).tobytes()
    header = json.dumps({"a": {"dtype": "I32", "shape": [256], "data_offsets": [0, len(tokens)]}}).encode()
    (folder / "ids.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + tokens)
    arguments = ["--input-ids", folder / "ids.safetensors", "--output", folder / "logits.safetensors"]
    gpuinfer("score", model, *arguments, *flags, check=0)
    return read_tensors(folder / "logits.safetensors")["a"].astype(np.float64)


def test_eight_bits_move_logits_by_less_than_a_hundredth(tmp_path):
    """ZeroQuant in groups, and LLM.int8 by rows while loading; both round activations token by token."""
    compress(DEMO, tmp_path / "zeroquant", "zeroquant", "--bits", "8")
    original = logits(DEMO, tmp_path)
    errors = [
        np.linalg.norm(found - original) / np.linalg.norm(original)
        for found in [
            logits(tmp_path / "zeroquant", tmp_path), logits(DEMO, tmp_path, "--quantization", "llm.int8")]
    ]
    assert all(0 < error <= 0.01 for error in errors), errors
    refused = gpuinfer("verify", DEMO.parent / "quantized/bnb-int8", "--quantization", "llm.int8", check=64)
    assert b"is bitsandbytes int8 already; leave the flag out" in refused.stderr


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_K", "Q6_K"])
def test_gguf_reads_what_is_written_as_gguf(tmp_path, kind):
    output = tmp_path / "demo.gguf"
    gpuinfer("convert", DEMO, output, "--format", "gguf", "--type", kind, check=0)
    demo = read_tensors(DEMO / "model.safetensors")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(output).tensors}
    allowed = {"Q8_0": 0.007, "Q4_0": 0.1, "Q4_K": 0.085, "Q6_K": 0.02}[kind]
    for name, module in [("ffn_up", "mlp.up_proj"), ("attn_v", "self_attn.v_proj")]:
        for layer in [0, 5]:
            tensor = tensors[f"blk.{layer}.{name}.weight"]
            assert tensor.tensor_type.name == kind
            weight = demo[f"model.layers.{layer}.{module}.weight"].astype(np.float32)
            found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            error = np.sqrt(((found - weight) ** 2).mean() / (weight**2).mean())
            assert 0 < error < allowed
            if kind in ("Q8_0", "Q4_0"):  # which gguf quantises itself
                assert (gguf.quants.quantize(weight, tensor.tensor_type) == tensor.data).all()


@pytest.mark.parametrize("bits, kind", [(4, "Q4_0"), (8, "Q8_0")])
def test_gguf_reads_compressed_codes(tmp_path, bits, kind):
    """Codes that `compress` chose, bit for bit in blocks, and back."""
    flags = ["--bits", bits, "--group-size", 32, "--grid", "symmetric"]
    gpuinfer("compress", DEMO, "--method", "rtn", *flags, "--output", tmp_path / "codes", "--no-evaluation", check=0)
    gpuinfer("convert", tmp_path / "codes", tmp_path / "codes.gguf", "--format", "gguf", "--type", "F16", check=0)
    codes = read_tensors(tmp_path / "codes" / "model.safetensors")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "codes.gguf").tensors}
    for name, module in [("ffn_down", "mlp.down_proj"), ("attn_v", "self_attn.v_proj")]:
        tensor, module = tensors[f"blk.2.{name}.weight"], f"model.layers.2.{module}"
        assert tensor.tensor_type.name == kind
        words, scales = codes[f"{module}.weight_packed"].view(np.uint32), codes[f"{module}.weight_scale"]
        fields = (words[:, :, None] >> np.arange(0, 32, bits, dtype=np.uint32)) & (2**bits - 1)
        expected = (fields.reshape(len(words), -1, 32).astype(np.float32) - 2 ** (bits - 1)) * scales[:, :, None]
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert (found == expected.reshape(found.shape)).all()
    gpuinfer(
        "convert", tmp_path / "codes.gguf", tmp_path / "back", "--format", "compressed-tensors", "--tokenizer", DEMO,
        check=0)
    back = read_tensors(tmp_path / "back" / "model.safetensors")
    name = "model.layers.2.mlp.down_proj.weight_packed"
    assert (back[name] == codes[name]).all()
