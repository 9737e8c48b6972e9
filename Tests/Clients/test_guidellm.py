"""GuideLLM: short runs of its load profiles."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import DEMO

REQUESTS = 12
PROMPT_TOKENS = 48
OUTPUT_TOKENS = 16
SECONDS = 120


@pytest.mark.parametrize("profile", ["kind=synchronous", "kind=concurrent,streams=4", "kind=throughput,max_concurrency=8"])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"], ids=["completions", "chat"])
def test_every_request_of_a_profile_succeeds(server, tmp_path, profile, path):
    report = tmp_path / "report.json"
    result = subprocess.run(
        [
            pathlib.Path(sys.executable).with_name("guidellm"), "run",
            "--backend", f"kind=openai_http,target={server.url},request_format={path}",
            "--profile", profile,
            "--constraint", f"kind=max_requests,count={REQUESTS}",
            "--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={OUTPUT_TOKENS}",
            "--tokenizer", json.dumps({"kind": "huggingface_auto", "model": str(DEMO)}),
            "--output", f"kind=json,path={report}",
            "--disable-progress",
        ],
        # USE_TORCH=0: the libraries beneath must not take the stand-in for PyTorch.
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent / "standins"), "USE_TORCH": "0"},
        capture_output=True, text=True, timeout=SECONDS,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    [benchmark] = json.loads(report.read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    assert (totals["successful"], totals["errored"]) == (REQUESTS, 0)
    for request in benchmark["requests"]["successful"]:
        # The server's count of the stream's usage, which has to be what was asked for.
        assert request["output_metrics"]["text_tokens"] == OUTPUT_TOKENS
        # Text that is cut to 48 tokens may be merged anew; the chat template adds its own.
        assert PROMPT_TOKENS // 2 <= request["input_metrics"]["text_tokens"] <= 2 * PROMPT_TOKENS
