"""`gpuinfer verify` from outside: the emulated kernels against the CPU, on every bundled decoder."""

import json

import pytest

from conftest import DEMO, FIXTURES, gpuinfer

DECODERS = ["llama", "mistral", "qwen2", "gpt2", "bloom"]


def verify(*arguments, check=0):
    result = gpuinfer("verify", "--candidate", "simt", "--json", *arguments, check=check)
    return json.loads(result.stdout)


def test_operations_and_demo_model():
    report = verify("--prompts", "2", "--max-tokens", "8")
    assert report["passed"] and report["breaches"] == 0
    assert report["reference"] == "cpu" and report["candidate"] == "simt"
    assert report["element_type"] == "bfloat16"
    operations = {row["operation"] for row in report["operations"]}
    assert operations == {
        "embed", "norm", "linear", "rope", "appendKV", "attention", "activation", "gatherRows", "add",
        "sample", "logprobs", "feed", "addLowRank",
    }
    assert all(row["error_of_allowed"] <= 1 for row in report["operations"])
    assert {row["step"] for row in report["layers"]} == {"prompt", "decode"}
    assert len(report["texts"]) == 2
    for text in report["texts"]:
        assert len(text["tokens"]) == 8
        assert all(difference["gap"] <= 0.5 for difference in text["differences"])


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder(name):
    report = verify(
        FIXTURES / "tiny" / name, "--only", "layers", "--only", "tokens", "--max-tokens", "6"
    )
    assert report["passed"] and report["operations"] == []
    assert report["layers"] and len(report["texts"]) == 3


def test_prompts_from_a_text():
    report = verify(DEMO, "--only", "tokens", "--prompts", "1", "--max-tokens", "4", "--text", DEMO / "valid.txt")
    assert report["texts"][0]["prompt_tokens"] == 11


def test_a_table_for_people():
    result = gpuinfer("verify", "--candidate", "simt", "--only", "operations", check=0)
    text = result.stdout.decode()
    assert text.startswith("verify simt (bfloat16) against cpu")
    assert "passed: " in text and "breach:" not in text


def test_primitives_need_a_gpu():
    result = gpuinfer("verify", "--candidate", "simt", "--only", "primitives", check=0)
    text = result.stdout.decode()
    assert "primitives: not compared: the emulation cannot be compared with itself" in text
    assert "nothing was checked" in text
    assert "primitives_note" in verify("--only", "primitives")


def test_wrong_usage():
    for arguments in (["--only", "everything"], ["--reference", "simt"], ["--candidate", "tpu"], ["--prompts", "0"]):
        assert gpuinfer("verify", *arguments).returncode == 64
    missing = gpuinfer("verify", "/nonexistent", "--only", "tokens", "--candidate", "simt")
    assert missing.returncode == 66


def test_a_gpu_that_is_not_there():
    result = gpuinfer("verify", "--candidate", "cuda", env={"GPUINFER_CUDA_LIBRARY": "/nonexistent.so"})
    assert result.returncode == 69
    assert b"/nonexistent.so" in result.stderr


def test_a_text_too_short_for_a_prompt(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    result = gpuinfer("verify", DEMO, "--candidate", "simt", "--only", "tokens", "--text", empty)
    assert result.returncode == 65
    assert b"needs at least 2" in result.stderr
