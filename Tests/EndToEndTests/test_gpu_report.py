"""gpu-report without a GPU: what it refuses, and what it makes of answers that stand in for gpuinfer's.

The script lies in the folders of the package; the answers have the form that the emulated kernels give.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

FIGURES = {
    "add 1 x 4096": (20.0, "µs"),
    "add 1 x 4096, rate": (4000.0, "GB/s"),
    "linear 1 x 64 -> 128": (10.0, "µs"),
    "linear 1 x 64 -> 128, rate": (3000.0, "GB/s"),
    "linear 512 x 64 -> 128": (50.0, "µs"),
    "linear 512 x 64 -> 128, rate": (600.0, "TFLOP/s"),
    "prefill attention 1 x 64": (80.0, "µs"),
    "prefill attention 1 x 64, rate": (450.0, "TFLOP/s"),
}
KERNELS = {"benchmark": "kernels", "setting": {}, "figures": {k: {"value": v, "unit": u} for k, (v, u) in FIGURES.items()}}

GPUINFER = """#!/usr/bin/env bash
echo "$*" >>"$(dirname "$0")/calls"
case "$*" in
  --version) echo "gpuinfer 9.8.7" ;;
  doctor) echo "a device" ;;
  *"--only primitives"*) echo "primitives agree" ;;
  verify*--json) echo '{"passed": true}'; exit "${VERDICT:-0}" ;;
  verify*) echo "a table of operations"; exit "${VERDICT:-0}" ;;
  "bench kernels"*--json) cat "$(dirname "$0")/kernels.json" ;;
  "bench kernels"*) echo "kernels in a table" ;;
  *) echo "error: nobody knows '$*'" >&2; exit 64 ;;
esac
"""

TOOLS = ["bash", "cat", "date", "dirname", "env", "head", "mkdir", "nproc", "readlink", "rm", "sed", "uname"]


@pytest.fixture
def report(tmp_path):
    """A function that runs gpu-report with a path of TOOLS only, and perhaps a python3 and an nvidia-smi."""
    (tmp_path / "bin").mkdir()
    helpers = tmp_path / "share" / "gpuinfer" / "report"
    helpers.mkdir(parents=True)
    shutil.copy(ROOT / "Scripts" / "gpu-report", tmp_path / "bin")
    shutil.copy(ROOT / "Scripts" / "bench" / "gpu_compare.py", helpers)
    (helpers / "commit").write_text("0123abc\n")
    (tmp_path / "bin" / "kernels.json").write_text(json.dumps(KERNELS))
    (tmp_path / "tools").mkdir()
    for tool in TOOLS:
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool))

    def script(path, text):
        path.write_text(text)
        path.chmod(0o755)

    script(tmp_path / "bin" / "gpuinfer", GPUINFER)

    def run(*arguments, check, python=False, nvidia_smi=None, **env):
        if python:
            script(tmp_path / "tools" / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        if nvidia_smi:
            script(tmp_path / "tools" / "nvidia-smi", nvidia_smi)
        result = subprocess.run(
            [tmp_path / "bin" / "gpu-report", "--output", tmp_path / "out", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": str(tmp_path / "tools"), "LANG": os.environ.get("LANG", "C.UTF-8"), **env},
        )
        assert result.returncode == check, result.stderr
        return result.stderr, tmp_path / "out"

    return run


@pytest.mark.parametrize(
    "nvidia_smi, words",
    [
        (None, "nvidia-smi is not there"),
        ("#!/bin/sh\necho NVIDIA-SMI has failed: no driver; exit 9\n", "finds no GPU that can be used: NVIDIA-SMI has failed: no driver"),
        ("#!/bin/sh\nexit 0\n", "finds no GPU that can be used: it lists none"),
    ],
)
def test_without_a_gpu_it_says_so_and_measures_nothing(report, nvidia_smi, words):
    error, folder = report(check=69, nvidia_smi=nvidia_smi)
    assert words in error and not folder.exists()


def test_wrong_arguments(report):
    assert "cuda or simt" in report("--device", "tpu", check=64)[0]
    assert "unknown argument '--fast'" in report("--fast", check=64)[0]


def test_the_report_names_device_and_commit_and_holds_what_was_printed(report):
    smi = '#!/bin/sh\ncase "$*" in *query*) echo "NVIDIA H200, 580.65" ;; *) echo clocks ;; esac\n'
    _, folder = report("--quick", check=0, python=True, nvidia_smi=smi)
    text = (folder / "report.md").read_text()
    for words in [
        "# gpuinfer on NVIDIA H200", "| driver | 580.65 |", "| version | gpuinfer 9.8.7 |", "| commit | 0123abc |",
        "| checks | passed |", "primitives agree", "a table of operations", "kernels in a table", "a device",
        "| whole model | not measured: --quick |", "| PyTorch kernels in the same run | not measured",
        "| linear 1 x 64 -> 128 | 10.0 | 3000 GB/s | 0.75 | not measured | - | - |",
    ]:  # fmt: skip
        assert words in text
    document = json.loads((folder / "report.json").read_text())
    assert (document["gpu"], document["driver"], document["commit"]) == ("NVIDIA H200", "580.65", "0123abc")
    assert document["kernels"] == KERNELS and document["verify"] == {"passed": True}
    assert document["machine"][1] == "gpuinfer 9.8.7"
    calls = (folder.parent / "bin" / "calls").read_text().splitlines()
    assert "verify --candidate cuda --only primitives" in calls and "bench kernels --device cuda --json" in calls


def test_a_breach_is_in_the_report_and_in_the_exit_code(report):
    _, folder = report("--quick", "--device", "simt", check=1, python=True, VERDICT="1")
    text = (folder / "report.md").read_text()
    assert "| checks | FAILED" in text and "a table of operations\nexit code 1\n" in text
    assert (folder / "raw" / "verify.txt.log").read_text() == "exit code 1\n"
    assert json.loads((folder / "report.json").read_text())["verify"] == {"passed": True}


def test_without_python_the_raw_documents_are_the_json(report):
    _, folder = report("--device", "simt", check=0)
    document = json.loads((folder / "report.json").read_text())
    assert document["kernels"] == KERNELS and document["commit"] == "0123abc"
    assert "| PyTorch kernels in the same run | not measured: no python3 |" in (folder / "report.md").read_text()


def test_ratios_to_peers_and_parts_of_the_measured_floor(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    peers = {"linear 512 x 64 -> 128": {"cuBLAS": 40.0}, "prefill attention 1 x 64": {"cuDNN": 60.0, "Flash": 100.0, "math": None}}
    model = {"setting": {"batch": "1", "weights": "16.00 GiB"}, "figures": {"decode, median": {"value": 200.0}}}
    documents = {
        "kernels.json": KERNELS, "peers.json": {"figures": peers}, "model.json": model,
        "model-config.json": {"vocab_size": 128256, "hidden_size": 4096},
    }  # fmt: skip
    for name, document in documents.items():
        (raw / name).write_text(json.dumps(document))
    (raw / "machine.txt").write_text("date 2026\n")
    (tmp_path / "report.md").write_text("# before\n")
    script = pathlib.Path(ROOT) / "Scripts" / "bench" / "gpu_compare.py"
    subprocess.run(
        [sys.executable, script, tmp_path, "--gpu", "G", "--driver", "D", "--commit", "C"], check=True, timeout=60
    )
    document = json.loads((tmp_path / "report.json").read_text())
    rows = {row["name"]: row for row in document["comparisons"]}
    # cuBLAS took 40 µs where we took 50 at 600 TFLOP/s: the floor of arithmetic is 750.
    assert rows["linear 512 x 64 -> 128"]["of_measured_floor"] == pytest.approx(0.8)
    assert rows["linear 512 x 64 -> 128"]["ratio"] == pytest.approx(0.8)
    attention = rows["prefill attention 1 x 64"]
    assert (attention["best_peer"], attention["ratio"]) == ("cuDNN", pytest.approx(0.75))
    assert attention["of_measured_floor"] == pytest.approx(0.6)
    # 200 tokens/s over 16 GiB less the table of embeddings, at 4000 GB/s.
    assert document["decode_of_measured_floor"] == pytest.approx(200 * (16 * 2**30 - 128256 * 4096 * 2) / 4e12)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# before\n") and "| cuDNN | 60.0 | 0.75 |" in text
    assert "reads its weights at 0.81 of the measured bandwidth" in text
