"""schemathesis on /openapi.json: whatever the schema allows, the server answers without a 5xx."""

import subprocess
import sys


def test_no_request_that_the_schema_allows_breaks_the_server(server, tmp_path):
    result = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", server.url + "/openapi.json",
            "--phases", "examples,fuzzing", "--max-examples", "40", "--workers", "2", "--seed", "20261121",
            "--checks", "not_a_server_error,response_schema_conformance,status_code_conformance",
            "--request-timeout", "60", "--no-color",
        ],
        capture_output=True, timeout=600, cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout.decode(errors="replace")[-6000:]
    assert server.process.poll() is None
    assert server.metric("vllm:num_requests_running") == 0
