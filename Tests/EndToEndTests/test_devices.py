"""Devices: the emulated kernels behind every command, and each way in which CUDA kernels are missing or unusable."""

import ctypes.util
import json
import pathlib
import re
import subprocess
import urllib.request

import pytest

from conftest import DEMO, FIXTURES, ROOT, gpuinfer, serving

GREEDY = ["--prompt", "The boy", "--max-tokens", "8", "--temperature", "0"]


def text(*arguments):
    return gpuinfer("run", *arguments, *GREEDY, check=0).stdout


def test_emulated_kernels_write_the_greedy_text_of_the_cpu():
    assert text("--device", "simt") == text("--device", "cpu")


def test_a_server_on_the_emulated_kernels_answers_as_the_one_on_the_cpu():
    answers = []
    for device in ("simt", "cpu"):
        with serving("--device", device) as server:
            body = {"prompt": ["The boy", "Once upon a time, in a house"], "max_tokens": 8, "temperature": 0}
            request = urllib.request.Request(
                server.url + "/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                answers.append([choice["text"] for choice in json.load(response)["choices"]])
            assert server.stop() == 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
@pytest.mark.parametrize("policy", [[], ["--kv-policy", "sinks:2,window:6"]])
def test_the_emulated_kernels_read_a_cache_of_codes_as_the_cpu_does(dtype, policy):
    flags = ["--kv-cache-dtype", dtype, *policy]
    assert text("--device", "simt", *flags) == text("--device", "cpu", *flags)


def test_metrics_name_the_type_of_the_cache():
    with serving("--kv-cache-dtype", "int8") as server:
        metrics = urllib.request.urlopen(server.url + "/metrics", timeout=60).read().decode()
        assert 'cache_dtype="int8"' in metrics
        assert server.stop() == 0


@pytest.mark.parametrize("model", ["gptq-4bit-asym", "awq-gemm", "ct-w4a16-asym-act-order", "gptq-3bit-v2-act-order"])
def test_quantised_models_run_on_the_emulated_kernels(model):
    path = FIXTURES / "quantized" / model
    found = [
        json.loads(gpuinfer("verify", path, "--only", part, "--candidate", "simt", "--json", "--prompts", "1", check=0).stdout)
        for part in ("layers", "tokens")
    ]
    assert all(report for report in found)


@pytest.mark.parametrize("model", ["llama", "mistral", "qwen2", "gpt2", "bloom"])
def test_every_tiny_decoder_runs_on_the_emulated_kernels(model):
    result = gpuinfer(
        "run", FIXTURES / "tiny" / model, "--device", "simt", "--json", "--prompt", "a", "--max-tokens", "3", check=0
    )
    assert json.loads(result.stdout)


def test_perplexity_of_the_emulated_kernels_is_that_of_the_cpu(tmp_path):
    sample = tmp_path / "sample.txt"
    sample.write_text((DEMO / "valid.txt").read_text()[:400])
    found = {
        device: json.loads(
            gpuinfer("eval", "--text", sample, "--context", 32, "--json", "--device", device, check=0).stdout
        )
        for device in ("cpu", "simt")
    }
    assert found["simt"]["tokens"] == found["cpu"]["tokens"]
    # bfloat16 activations; the weights are bfloat16 on both sides.
    assert found["simt"]["nll"] / found["simt"]["tokens"] == pytest.approx(
        found["cpu"]["nll"] / found["cpu"]["tokens"], abs=0.01
    )


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--device", "simt", "--dtype", "float32"], "bfloat16 or float16"),
        (["--device", "cpu", "--dtype", "float16"], "float32 or bfloat16"),
        (["--device", "simt", "--kv-cache-dtype", "float32"], "--kv-cache-dtype"),
    ],
)
def test_types_that_a_device_does_not_have_are_refused(arguments, word):
    result = gpuinfer("run", *arguments, *GREEDY, check=64)
    assert word in result.stderr.decode()


def test_doctor_lists_the_kernels_of_the_emulated_device():
    answer = json.loads(gpuinfer("doctor", "--json", check=0).stdout)
    simt = next(device for device in answer["devices"] if device["name"] == "simt")
    assert simt["available"] and simt["capability"] == 90
    names = {variant["name"] for variant in simt["variants"]}
    assert {"linear.sm80", "prefill.mma", "decode.mma"} <= names
    assert {"process_logits", "sample", "logprobs", "feed_tokens"} <= names
    assert all(variant["runs"] for variant in simt["variants"])


# Libraries that answer as one does on a machine where something is missing, made with the C compiler.

TABLE = """
#include <string.h>
#include "gpi_kernels.h"
static void last_error(char *text, int32_t capacity) { strncpy(text, "MESSAGE", capacity); text[capacity - 1] = 0; }
static gpi_kernel_status count(int32_t *devices) { *devices = 1; return COUNT; }
static gpi_kernel_status open_it(int32_t d, int32_t w, gpi_kernel_context **c) { (void)d; (void)w; *c = 0; return OPEN; }
static const gpi_kernel_table table = {
    .abi = ABI, .byte_count = sizeof(gpi_kernel_table), .name = "cuda", .last_error = last_error,
    .device_count = count, .open = open_it};
const gpi_kernel_table *gpi_kernels(int32_t abi) { return abi == ABI || abi == 0 ? &table : 0; }
"""


@pytest.fixture
def library(tmp_path):
    def build(**values):
        usual = {"MESSAGE": "no words", "COUNT": "GPI_KERNEL_OK", "OPEN": "GPI_KERNEL_OK", "ABI": "GPI_KERNEL_ABI"}
        values = {**usual, **values}
        source = tmp_path / "table.c"
        path = tmp_path / "libgpuinfer_cuda.so"
        defines = [f"-D{name}={value}" for name, value in values.items() if name != "MESSAGE"]
        source.write_text(TABLE.replace("MESSAGE", values["MESSAGE"]))
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-I{ROOT}/CKernels/include", *defines, "-o", path, source], check=True
        )
        return path

    return build


@pytest.mark.parametrize(
    "values, words",
    [
        ({"ABI": "77"}, ["version 77", "build both from one commit"]),
        ({"COUNT": "GPI_KERNEL_NO_DRIVER", "MESSAGE": "libcuda.so.1 is away"}, ["driver", "libcuda.so.1 is away"]),
        ({"COUNT": "GPI_KERNEL_NO_DEVICE", "MESSAGE": "none at all"}, ["no CUDA device", "none at all"]),
        ({"OPEN": "GPI_KERNEL_UNSUPPORTED_DEVICE", "MESSAGE": "has 7.5"}, ["unsupported device", "has 7.5"]),
        ({"OPEN": "GPI_KERNEL_FAULT", "MESSAGE": "it burns"}, ["it burns"]),
    ],
)
def test_each_unusable_library_has_its_own_message(library, values, words):
    env = {"GPUINFER_CUDA_LIBRARY": str(library(**values))}
    result = gpuinfer("run", "--device", "cuda", *GREEDY, env=env, check=69)
    for word in words:
        assert word in result.stderr.decode()
    fallback = gpuinfer("run", "--device", "auto", *GREEDY, env=env, check=0)
    assert fallback.stdout == text("--device", "cpu")
    assert "running on the CPU: " in fallback.stderr.decode() and words[-1] in fallback.stderr.decode()
    devices = json.loads(gpuinfer("doctor", "--json", env=env, check=0).stdout)["devices"]
    cuda = next(device for device in devices if device["name"] == "cuda")
    assert not cuda["available"] and words[-1] in cuda["reason"]


@pytest.mark.parametrize("path, word", [("/nowhere/x.so", "cannot be loaded"), ("/proc/self/status", "cannot be loaded")])
def test_a_library_that_is_none(path, word):
    result = gpuinfer("run", "--device", "cuda", *GREEDY, env={"GPUINFER_CUDA_LIBRARY": path}, check=69)
    assert path in result.stderr.decode() and word in result.stderr.decode()


BUILT = ROOT / ".build" / "cuda" / "libgpuinfer_cuda.so"


@pytest.mark.skipif(not BUILT.exists(), reason="Scripts/build-cuda has not been run")
@pytest.mark.skipif(pathlib.Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
def test_the_real_library_without_a_driver_says_so():
    env = {"GPUINFER_CUDA_LIBRARY": str(BUILT)}
    result = gpuinfer("run", "--device", "cuda", *GREEDY, env=env, check=69)
    assert "no usable NVIDIA driver" in result.stderr.decode()
    fallback = gpuinfer("run", "--device", "auto", *GREEDY, env=env, check=0)
    assert "running on the CPU: no usable NVIDIA driver" in fallback.stderr.decode()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """The real library, linked with a stand-in for the CUDA runtime: support/cuda_runtime.cpp."""
    folder = ROOT / ".build" / "cuda"
    if not BUILT.exists():
        pytest.skip("Scripts/build-cuda has not been run")
    # The first line of a list of inputs names the compiler.
    nvcc = pathlib.Path((folder / "cuda-runtime.inputs").read_text().split()[1])
    path = tmp_path_factory.mktemp("stand-in") / "libgpuinfer_cuda.so"
    source = pathlib.Path(__file__).parent / "support" / "cuda_runtime.cpp"
    exports = ROOT / "CKernels" / "cuda" / "exports.map"
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-I", nvcc.parents[1] / "include", source]
        + sorted(folder.glob("*.o"))
        + [f"-Wl,--version-script={exports}", "-Wl,-Bsymbolic", "-Wl,-z,defs", "-ldl", "-lpthread", "-o", path],
        check=True,
    )
    return lambda **settings: {
        "GPUINFER_CUDA_LIBRARY": str(path), **{f"STAND_IN_{name}": str(value) for name, value in settings.items()}
    }


def cuda_of_doctor(env):
    devices = json.loads(gpuinfer("doctor", "--json", env=env, check=0).stdout)["devices"]
    return next(device for device in devices if device["name"] == "cuda")


@pytest.mark.parametrize("capability, words", [(75, "7.5"), (100, "10.0")])
def test_the_real_library_refuses_devices_that_it_has_no_kernels_for(stand_in, capability, words):
    env = stand_in(CAPABILITY=capability)
    wanted = f"Stand-in has compute capability {words}; there are kernels for 8.0 to 8.9 and 9.0"
    assert wanted in gpuinfer("run", "--device", "cuda", *GREEDY, env=env, check=69).stderr.decode()
    fallback = gpuinfer("run", "--device", "auto", *GREEDY, env=env, check=0)
    assert fallback.stdout == text("--device", "cpu")
    assert "running on the CPU: " in fallback.stderr.decode() and wanted in fallback.stderr.decode()
    found = cuda_of_doctor(env)
    assert not found["available"] and wanted in found["reason"]


@pytest.mark.parametrize("capability", [80, 86, 89, 90])
def test_the_real_library_without_cublaslt_says_so_and_multiplies_itself(stand_in, capability):
    if ctypes.util.find_library("cublasLt"):
        pytest.skip("cuBLASLt is installed")
    found = cuda_of_doctor(stand_in(CAPABILITY=capability))
    assert found["available"] and found["capability"] == capability
    assert any("libcublasLt.so.13 was not found" in note for note in found["notes"])
    variants = {variant["name"]: variant for variant in found["variants"]}
    assert not variants["linear.cublaslt"]["runs"]
    assert "libcublasLt.so.13 was not found" in variants["linear.cublaslt"]["reason"]
    assert variants["linear.sm80"]["runs"]
    assert variants["linear.sm90"]["runs"] == (capability == 90)
    assert variants["w8a8.float8"]["runs"] == (capability >= 89)


@pytest.mark.parametrize("memory", [4 << 20, 24 << 20])
def test_the_real_library_without_enough_memory_says_what_is_missing(stand_in, memory):
    result = gpuinfer("serve", "--device", "cuda", "--port", "0", env=stand_in(MEMORY=memory), check=69)
    assert re.search(r"misses the reservation by [1-9][0-9]* MiB: .* are available; lower", result.stderr.decode())
