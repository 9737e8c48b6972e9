"""Every command on real input, and its exit code on bad input."""

import json
import math
import shutil
import socket
import struct
import subprocess

import pytest

from conftest import BINARY, DEMO, FIXTURES, gpuinfer

EXPECTED = json.loads((DEMO / "expected.json").read_text())
COMMANDS = ["serve", "run", "batch", "tokenize", "score", "eval", "inspect", "doctor", "bench"]
DECODERS = ["llama", "mistral", "gpt2", "bloom", "qwen2"]


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    formats = {"F32": "f", "I64": "q", "I32": "i"}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        kind = formats[entry["dtype"]]
        count = (end - begin) // struct.calcsize(kind)
        tensors[name] = (entry["shape"], struct.unpack(f"<{count}{kind}", data[begin:end]))
    return tensors


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    text = gpuinfer(command, "--help", check=0).stdout.decode()
    assert f"gpuinfer {command}" in text and "--help" in text


def test_the_overview_names_every_command():
    text = gpuinfer("--help", check=0).stdout.decode()
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ([], 64, "Usage"),
        (["sreve"], 64, "did you mean 'serve'"),
        (["run", "--promt", "x"], 64, "did you mean '--prompt'"),
        (["run", "--prompt"], 64, "--prompt needs a value"),
        (["run", "--prompt", "x", "--max-tokens", "-3"], 64, "--max-tokens"),
        (["run", "--prompt", "x", "--temperature", "nan"], 64, "--temperature"),
        (["run", "/no/such/model", "--prompt", "x"], 66, "/no/such/model"),
        (["eval", "--text", "/no/such/text"], 66, "/no/such/text"),
        (["batch", "--input", "/no/such/input", "--output", "/tmp/never"], 66, "/no/such/input"),
        (["serve", "--device", "quantum"], 64, "quantum"),
        (["serve", "--device", "cuda"], 69, "cuda"),
        (["serve", "--dtype", "float16"], 64, "float32 or bfloat16"),
        (["inspect", "a", "b"], 64, "unexpected argument 'b'"),
    ],
)
def test_wrong_use_has_the_documented_exit_code_and_says_what(arguments, code, words):
    result = gpuinfer(*arguments, check=code)
    assert words in result.stderr.decode()
    assert result.stdout == b""


def test_greedy_text_is_the_reference():
    for case in EXPECTED["greedy"]:
        result = gpuinfer(
            "run", "--prompt", case["prompt"], "--max-tokens", len(case["tokens"]),
            "--temperature", 0, "--ignore-eos", "--json", check=0,
        )
        answer = json.loads(result.stdout)
        assert answer["token_ids"] == case["tokens"]


def test_chat_stops_at_the_end_of_turn():
    case = EXPECTED["chat"]
    result = gpuinfer(
        "run", "--chat", "--prompt", case["messages"][0]["content"], "--max-tokens", 64,
        "--temperature", 0, "--json", check=0,
    )
    answer = json.loads(result.stdout)
    assert answer["prompt_token_ids"] == case["input_ids"]
    assert answer["token_ids"] == case["greedy_tokens_until_eos"]
    assert answer["text"] == case["text"].removesuffix("<|im_end|>")
    assert answer["finish_reason"] == "stop"


def test_perplexity_of_the_demo_is_the_expected_value():
    result = gpuinfer("eval", "--text", DEMO / "valid.txt", "--context", 256, "--stride", 256, "--json", check=0)
    answer = json.loads(result.stdout)
    reference = EXPECTED["perplexity"]
    assert answer["tokens"] == reference["scored_tokens"]
    assert math.isclose(answer["nll"], reference["nll_mean"], abs_tol=1e-4)
    assert math.isclose(answer["perplexity"], reference["perplexity"], rel_tol=1e-3)


def test_bfloat16_products_keep_the_likelihood_within_their_rounding():
    result = gpuinfer("eval", "--text", DEMO / "valid.txt", "--limit-windows", 8, "--dtype", "bfloat16", "--json", check=0)
    answer = json.loads(result.stdout)
    windows = EXPECTED["perplexity"]["first_8_window_nll"]
    difference = answer["nll"] - sum(windows) / len(windows)
    assert 1e-6 < abs(difference) < 5e-3  # the fixtures' allowance for bf16; none would mean float32


@pytest.mark.parametrize("family", DECODERS)
def test_scores_of_each_family_equal_transformers(family, tmp_path):
    folder = FIXTURES / "tiny" / family
    reference = read_safetensors(folder / "expected.safetensors")
    prompts = {name: value for name, value in reference.items() if name.startswith("input_ids_")}
    header, body = {}, b""
    for name, (shape, values) in prompts.items():
        data = struct.pack(f"<{len(values)}q", *values)
        header[name] = {"dtype": "I64", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (tmp_path / "in.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    gpuinfer(
        "score", folder, "--input-ids", tmp_path / "in.safetensors", "--output", tmp_path / "out.safetensors", check=0
    )
    scores = read_safetensors(tmp_path / "out.safetensors")
    for name in prompts:
        shape, values = reference[name.replace("input_ids", "logits")]
        got_shape, got = scores[name]
        assert got_shape == shape
        limit = 1e-3 * max(map(abs, values))
        assert max(abs(a - b) for a, b in zip(got, values, strict=True)) <= limit
        width = shape[1]
        for row in range(shape[0]):
            ours, theirs = got[row * width : (row + 1) * width], values[row * width : (row + 1) * width]
            assert max(range(width), key=ours.__getitem__) == max(range(width), key=theirs.__getitem__)


def test_tokenize_round_trips_json_lines():
    lines = ["The boy looked up.", "naïve café 🙂", "", 'quotes " and \\ slashes\nand lines']
    encoded = gpuinfer("tokenize", "--no-special", stdin="\n".join(map(json.dumps, lines)) + "\n", check=0).stdout
    assert len(encoded.splitlines()) == len(lines)
    decoded = gpuinfer("tokenize", "--decode", stdin=encoded, check=0).stdout
    assert [json.loads(line) for line in decoded.decode().splitlines()] == lines


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"a": 1}', '"\\ud800"'])
def test_tokenize_names_the_bad_line(line):
    result = gpuinfer("tokenize", stdin='"good"\n' + line + "\n", check=65)
    assert "line 2" in result.stderr.decode()


def test_inspect_reports_parameters_and_formats():
    answer = json.loads(gpuinfer("inspect", "--json", check=0).stdout)
    assert answer["parameters"] == EXPECTED["model"]["parameters"]
    assert answer["architecture"] == "LlamaForCausalLM"
    assert sum(tensor["bytes"] for tensor in answer["tensors"]) == answer["tensor_bytes"]
    assert "LlamaForCausalLM" in gpuinfer("inspect", check=0).stdout.decode()


def test_inspect_names_tensors_that_nothing_reads(tmp_path):
    assert json.loads(gpuinfer("inspect", "--json", check=0).stdout)["unused_tensors"] == []
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "tiny" / "llama", folder)
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    end = len(data) - 8 - size
    header["vision.weight"] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :] + b"abcd")
    assert json.loads(gpuinfer("inspect", folder, "--json", check=0).stdout)["unused_tensors"] == ["vision.weight"]
    assert "1 tensors that the model does not read: vision.weight" in gpuinfer("inspect", folder, check=0).stdout.decode()


@pytest.mark.parametrize("folder, widened", [("gptq-4bit", False), ("ct-w8a8", False), ("ct-fp8-dynamic", False), ("bnb-nf4", True)])
def test_inspect_says_how_devices_keep_quantised_weights(folder, widened):
    path = FIXTURES / "quantized" / folder
    forms = json.loads(gpuinfer("inspect", path, "--json", check=0).stdout)["on_devices"]
    assert len(forms) == 1 and forms[0]["layers"] > 1
    assert forms[0]["widened"] is widened and (forms[0]["reason"] is not None) is widened
    text = " ".join(gpuinfer("inspect", path, check=0).stdout.decode().split())
    assert ("widened to 16 bits: no kernel takes" if widened else "multiplied as they are") in text
    older = forms[0]["reason_on_older_devices"]
    assert (older is not None) is (widened or "fp8" in folder)
    assert "fp8" not in folder or "before compute capability 8.9" in older and older in text


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
def test_a_cache_of_codes_costs_little_and_is_reported(dtype):
    text = DEMO / "valid.txt"
    arguments = ["eval", "--text", text, "--limit-windows", "2", "--json"]
    floats = json.loads(gpuinfer(*arguments, "--kv-cache-dtype", "bfloat16", check=0).stdout)
    codes = json.loads(gpuinfer(*arguments, "--kv-cache-dtype", dtype, check=0).stdout)
    assert floats["kv_cache_dtype"] == "bfloat16" and codes["kv_cache_dtype"] == dtype
    assert 0 < abs(codes["nll"] / floats["nll"] - 1) < 0.002
    types = json.loads(gpuinfer("doctor", "--json", check=0).stdout)["devices"][0]["kv_cache_dtypes"]
    assert {"float32", "bfloat16", "int8", "fp8"} <= set(types)


def test_inspect_says_why_a_checkpoint_cannot_be_run(broken_model):
    edit_config(broken_model, model_type="mamba", architectures=["MambaForCausalLM"])
    answer = json.loads(gpuinfer("inspect", broken_model, "--json", check=0).stdout)
    assert "mamba" in answer["unsupported"].lower() and answer["unused_tensors"] is None
    assert len(answer["tensors"]) == 21


def test_doctor_says_what_can_run_here():
    answer = json.loads(gpuinfer("doctor", "--json", check=0).stdout)
    devices = {device["name"]: device for device in answer["devices"]}
    assert devices["cpu"]["available"] is True
    assert devices["cuda"]["available"] or devices["cuda"]["reason"]


@pytest.fixture
def broken_model(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "tiny" / "llama", folder)
    return folder


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"model_type": "warp-drive", "architectures": ["WarpDrive"]}, "WarpDrive"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
        ({"hidden_size": -64}, "hidden_size"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"rope_scaling": {"type": "hyperbolic", "factor": 2}}, "hyperbolic"),
        ({"hidden_act": "swish-plus"}, "swish-plus"),
        ({"vocab_size": 1024}, "embed_tokens"),
        ({"num_hidden_layers": 3}, "layers.2"),
    ],
)
def test_a_bad_configuration_is_refused_by_field(broken_model, changes, word):
    edit_config(broken_model, **changes)
    result = gpuinfer("run", broken_model, "--prompt", "x", check=65)
    assert word in result.stderr.decode()


def test_a_truncated_weight_file_is_refused(broken_model):
    weights = broken_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "model.safetensors" in gpuinfer("run", broken_model, "--prompt", "x", check=65).stderr.decode()


def test_a_header_length_of_two_to_the_sixty_is_refused(broken_model):
    weights = broken_model / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", 1 << 60) + weights.read_bytes()[8:])
    assert "model.safetensors" in gpuinfer("inspect", broken_model, check=65).stderr.decode()


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    assert "config.json" in gpuinfer("inspect", tmp_path, check=66).stderr.decode()


def test_tokenize_reads_from_a_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'"The boy"\n')
        ours.shutdown(socket.SHUT_WR)
        result = subprocess.run([BINARY, "tokenize"], stdin=theirs, capture_output=True, timeout=60)
    assert result.stdout == b"[0,453,1096]\n", result.stderr
