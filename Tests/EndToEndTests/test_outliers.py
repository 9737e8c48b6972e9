"""What the methods against outliers are for, on the whole demo model.

The demo has no natural outliers, so some are put in: a few channels of every norm are multiplied by 32 and the columns
that read them divided by it. Powers of two leave every product, and so every logit, as it was; but rounding now meets
channels whose activations are 32 times, and whose weights are a 32nd, of the others.
"""

import json

import numpy as np
import pytest

from conftest import DEMO, gpuinfer
from test_compress import compare, read_tensors, write_model

FACTOR = 32
CHANNELS = 4  # of 256, the 1.5 % of real models
READERS = {
    "input_layernorm": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "post_attention_layernorm": ["mlp.gate_proj", "mlp.up_proj"],
}
STATIC = ["--bits", "8", "--group-size", "-1", "--grid", "symmetric-narrow", "--activations", "tensor"]
METHODS = {
    "rtn": ["--method", "rtn", "--bits", "4"],
    "awq": ["--method", "awq", "--bits", "4"],
    "owq": ["--method", "owq", "--bits", "4"],
    "spqr": ["--method", "spqr", "--bits", "4"],
    "w8a8": ["--method", "rtn", "--bits", "8", "--group-size", "-1", "--activations", "token"],
    "static": ["--method", "rtn", *STATIC],
    "llm.int8": ["--method", "llm.int8"],
    "smoothquant": ["--method", "smoothquant"],
    "smoothquant-static": ["--method", "smoothquant", "--activations", "tensor"],
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Mean divergence from the original in nats and the report's warnings, by method, with and without outliers."""
    work = tmp_path_factory.mktemp("outliers")
    tensors = {name: array.copy() for name, array in read_tensors(DEMO / "model.safetensors").items()}
    random = np.random.default_rng(0)
    for layer in range(6):
        for norm, readers in READERS.items():
            gain = tensors[f"model.layers.{layer}.{norm}.weight"]
            channels = random.choice(len(gain), CHANNELS, replace=False)
            gain[channels] *= FACTOR
            for reader in readers:
                tensors[f"model.layers.{layer}.{reader}.weight"][:, channels] /= FACTOR
    injected = write_model(work / "injected", tensors)
    assert compare(injected, windows=2)["kl_divergence"]["value"] == 0

    def measure(method, model):
        output = work / f"{method}-{model.name}"
        gpuinfer(
            "compress", model, *METHODS[method], "--calibration", DEMO / "calibration.safetensors", "--samples", 8,
            "--output", output, "--no-evaluation", check=0)
        warnings = json.loads((output / "compression_report.json").read_text())["warnings"]
        return compare(output, windows=12)["kl_divergence"]["value"], warnings

    found = {method: measure(method, injected) for method in METHODS}
    found["static, no outliers"] = measure("static", DEMO)
    found["w8a8, no outliers"] = measure("w8a8", DEMO)
    print({name: divergence for name, (divergence, _) in found.items()})
    return found


@pytest.fixture(scope="module")
def divergence(measured):
    return {name: divergence for name, (divergence, _) in measured.items()}


@pytest.mark.parametrize("method", ["awq", "owq", "spqr"])
def test_int4_of_the_weights_keeps_channels_that_matter(divergence, method):
    assert divergence[method] < divergence["rtn"] / 2


def test_int8_activations_are_lost_to_outliers(divergence):
    assert divergence["w8a8"] > 10 * divergence["w8a8, no outliers"]
    assert divergence["static"] > 10 * divergence["static, no outliers"]


@pytest.mark.parametrize("method", ["llm.int8", "smoothquant"])
def test_int8_is_restored(divergence, method):
    assert divergence[method] < divergence["w8a8"] / 10
    assert divergence[method] < 2.5 * divergence["w8a8, no outliers"]


def test_smoothing_restores_static_int8(divergence):
    assert divergence["smoothquant-static"] < divergence["static"] / 10
    assert divergence["smoothquant-static"] < 2 * divergence["static, no outliers"]


def test_the_report_names_layers_whose_outliers_are_rounded(measured):
    """All that read a norm; not where outliers are kept apart, activations are not rounded, or there are none."""
    found = {
        name: [text for text in warnings if "have outliers" in text] for name, (_, warnings) in measured.items()
    }
    for name in ["w8a8", "static"]:
        assert len(found[name]) == 1 and found[name][0].startswith("activations of 30 layers have outliers"), found
        assert "llm.int8 or smoothquant" in found[name][0]
    for name in ["rtn", "llm.int8", "w8a8, no outliers", "static, no outliers"]:
        assert not found[name], found
