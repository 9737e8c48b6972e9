#!/usr/bin/env python3
"""Makes Tests/Fixtures/quantized/ct-sparse-24 and ct-sparse-bitmask: tiny pruned checkpoints with reference logits.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors numpy
    venv/bin/pip install --no-deps --target old compressed-tensors==0.9.4
    PYTHONPATH=old venv/bin/python Scripts/goldens/sparse.py

compressed-tensors itself writes the tensors (BitmaskCompressor, Sparse24BitMaskCompressor); later versions no longer have
these compressors, hence the old one. The files beside the checkpoint are those of quantized.py.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != HERE]

import torch

sys.path.append(str(HERE))
import quantized


def write(model, kind):
    from compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask import Sparse24BitMaskTensor
    from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskTensor

    tensors = {}
    for name, (module, weight) in quantized.linears(model).items():
        weight = weight.to(torch.bfloat16)
        if kind == "24":
            # One run with a single other weight, and one with none, which the format fills up with zeros.
            weight[0, 0:3] = 0
            weight[1, 4:8] = 0
            order = weight.abs().reshape(-1, 4).argsort(1)
            mask = torch.zeros(order.shape, dtype=torch.bool).scatter_(1, order[:, 2:], True).reshape(weight.shape)
            pruned = torch.where(mask, weight, 0)
            stored = Sparse24BitMaskTensor.from_dense(pruned)
        else:
            pruned = torch.where(weight.abs() > weight.abs().float().median(), weight, 0)
            pruned[2] = 0  # a row with nothing left
            stored = BitmaskTensor.from_dense(pruned)
        assert torch.equal(stored.decompress(), pruned)
        quantized.put(module, pruned.float())
        tensors |= {key: value.contiguous() for key, value in stored.dict(name_prefix=name).items()}
    format_ = "sparse-24-bitmask" if kind == "24" else "sparse-bitmask"
    return tensors, dict(
        quant_method="compressed-tensors", version="0.9.4", sparsity_config=dict(
            format=format_, global_sparsity=0.5, sparsity_structure="2:4" if kind == "24" else "unstructured",
            targets=["Linear"], ignore=["lm_head"]))


quantized.CASES = {
    "ct-sparse-24": (quantized.TINY, lambda model: write(model, "24")),
    "ct-sparse-bitmask": (quantized.TINY | dict(intermediate_size=100), lambda model: write(model, "bitmask")),
}

if __name__ == "__main__":
    quantized.main()
