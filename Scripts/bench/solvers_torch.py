"""GPTQ and SparseGPT of one layer in torch on the CPU, as JSON: solvers_torch.py THREADS REPETITIONS

The algorithms as the papers have them (arXiv 2210.17323, 2301.00774): the inverse of the damped Gram matrix, its upper
Cholesky factor, then blocks of 128 columns, within which every column's error is carried to those behind it. float32
throughout. The sizes and inputs are those of `gpuinfer bench solvers`.
"""

import json
import sys
import time

import torch

BLOCK = 128
TOKENS = 512
SAMPLES = 128
GROUP = 128


def factor(gram):
    size = len(gram)
    gram = gram + 0.01 * gram.diagonal().mean() * torch.eye(size)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    return torch.linalg.cholesky(inverse, upper=True)


def prune(weight, gram, pattern):
    """`pattern` None for half of the weights of each block, else (zeros, of)."""
    weight = weight.clone()
    upper = factor(gram)
    rows, columns = weight.shape
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        block = weight[:, start:end].clone()
        errors = torch.zeros_like(block)
        local = upper[start:end, start:end]
        diagonal = local.diagonal()
        if pattern is None:
            scores = block**2 / diagonal**2
            threshold = scores.flatten().sort().values[scores.numel() // 2]
            mask = scores < threshold
        else:
            mask = torch.zeros_like(block, dtype=torch.bool)
        for column in range(end - start):
            if pattern is not None and column % pattern[1] == 0:
                run = slice(column, column + pattern[1])
                lowest = (block[:, run] ** 2 / diagonal[run] ** 2).topk(pattern[0], dim=1, largest=False).indices
                mask[:, run] = mask[:, run].scatter(1, lowest, True)
            kept = block[:, column].clone()
            kept[mask[:, column]] = 0
            error = (block[:, column] - kept) / diagonal[column]
            block[:, column] = kept
            block[:, column + 1 :] -= error[:, None] * local[column, column + 1 :][None, :]
            errors[:, column] = error
        weight[:, start:end] = block
        weight[:, end:] -= errors @ upper[start:end, end:]
    return weight


def quantize(weight, gram):
    """Symmetric int4 in groups of 128, columns in their order."""
    weight = weight.clone()
    result = torch.empty_like(weight)
    upper = factor(gram)
    rows, columns = weight.shape
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        block = weight[:, start:end].clone()
        errors = torch.zeros_like(block)
        local = upper[start:end, start:end]
        for column in range(end - start):
            if (start + column) % GROUP == 0:
                scale = block[:, column : column + GROUP].abs().amax(1) / 7.5
            code = torch.clamp(torch.round(block[:, column] / scale), -8, 7)
            error = (block[:, column] - code * scale) / local[column, column]
            result[:, start + column] = code * scale
            block[:, column:] -= error[:, None] * local[column, column:][None, :]
            errors[:, column] = error
        weight[:, end:] -= errors @ upper[start:end, end:]
    return result


def gram_matrix(activations):
    gram = torch.zeros(activations.shape[1], activations.shape[1])
    for _ in range(SAMPLES):
        gram += activations.T @ activations
    return gram


def layer(outputs, inputs):
    generator = torch.Generator().manual_seed(1)
    weight = (torch.rand(outputs, inputs, generator=generator) * 2 - 1) * 0.1
    noise = torch.rand(TOKENS, inputs, generator=generator) * 2 - 1
    activations = torch.empty_like(noise)
    memory = torch.zeros(TOKENS)
    for column in range(inputs):
        memory = 0.8 * memory + noise[:, column]
        activations[:, column] = memory
    return weight, activations, activations.T @ activations


def main():
    threads, repetitions = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    found = {}
    with torch.inference_mode():
        for outputs, inputs in [(5632, 2048), (2048, 5632)]:
            weight, activations, gram = layer(outputs, inputs)
            for name, solve in [
                ("Gram matrix", lambda: gram_matrix(activations)), ("gptq", lambda: quantize(weight, gram)),
                ("0.5", lambda: prune(weight, gram, None)), ("2:4", lambda: prune(weight, gram, (2, 4))),
            ]:
                best = float("inf")
                for _ in range(repetitions):
                    start = time.perf_counter()
                    result = solve()
                    best = min(best, time.perf_counter() - start)
                if name in ("0.5", "2:4"):
                    assert abs((result == 0).float().mean() - 0.5) < 0.001
                found[f"{outputs} x {inputs}, {name}"] = best
    print(json.dumps(found))


main()
