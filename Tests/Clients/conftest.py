"""Other people's clients against a running server; Scripts/test-clients sets up what they need.

The processes are driven by the same code as the system tests.
"""

import importlib.util
import os
import pathlib
import urllib.request
import json

import pytest

# Before any client is imported: nothing here may look for a model hub, or tell anybody about itself.
os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
    LITELLM_LOCAL_MODEL_COST_MAP="True", LANGSMITH_TRACING="false", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false",
)

_system = pathlib.Path(__file__).resolve().parents[1] / "EndToEndTests" / "conftest.py"
_specification = importlib.util.spec_from_file_location("system_tests", _system)
_driver = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(_driver)

DEMO = _driver.DEMO
EXPECTED = json.loads((DEMO / "expected.json").read_text())
gpuinfer = _driver.gpuinfer
serving = _driver.serving
server = _driver.server


@pytest.fixture(scope="session")
def ask(server):
    """Asks without any client: the answer that a client's must equal."""

    def post(path, **body):
        request = urllib.request.Request(
            server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    return post
