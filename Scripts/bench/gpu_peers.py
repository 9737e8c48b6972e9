"""Times PyTorch on this GPU with the shapes of `gpuinfer bench kernels --shapes llama-8b`.

    gpu_peers.py kernels           cuBLAS products, SDPA backends, RMS norm
    gpu_peers.py model FOLDER      transformers on a Hugging Face folder: prefill and decode

Prints one JSON document. As on our side: random data, medians over replays of a CUDA graph that runs over several copies
of the operands, 256 MiB or more a replay.
"""

import argparse
import json
import statistics
import sys

import torch
import torch.nn.functional as F

HIDDEN, INNER, VOCABULARY = 4096, 14336, 128256
QUERY_HEADS, KEY_HEADS, HEAD = 32, 8, 128
ROWS = [1, 8, 32, 128, 512, 4096]
PROMPTS = [2048, 8192, 16384]
DECODES = [(1, 2048), (1, 8192), (32, 2048), (32, 8192), (128, 2048)]
WORKING_SET = 1 << 28
REPLAYS = 20
TYPE = torch.bfloat16


def copies(byte_count):
    return max(1, min(64, -(-WORKING_SET // byte_count)))


def microseconds(count, body):
    """Median time of one call of `body(copy)`, from a graph of `count` calls."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for copy in range(min(count, 3)):
            body(copy)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for copy in range(count):
            body(copy)
    for _ in range(3):
        graph.replay()
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1000)
    return statistics.median(times) / count


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=TYPE) * 0.1


def products(figures):
    width = (QUERY_HEADS + 2 * KEY_HEADS) * HEAD
    shapes = [(HIDDEN, width), (QUERY_HEADS * HEAD, HIDDEN), (HIDDEN, 2 * INNER), (INNER, HIDDEN)]
    work = [(rows, *shape) for rows in ROWS for shape in shapes] + [(1, HIDDEN, VOCABULARY)]
    for rows, inputs, outputs in work:
        count = copies(inputs * outputs * 2)
        weights = [random(outputs, inputs) for _ in range(count)]
        x = random(rows, inputs)
        name = f"linear {rows} x {inputs} -> {outputs}"
        figures[name] = {"cuBLAS": microseconds(count, lambda copy: torch.mm(x, weights[copy].t()))}


def attend(figures, name, count, query, keys, values, causal):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    figures[name] = {}
    for label, backend in [
        ("cuDNN", SDPBackend.CUDNN_ATTENTION),
        ("Flash", SDPBackend.FLASH_ATTENTION),
        ("math", SDPBackend.MATH),
    ]:
        # The plain form holds all scores; it says nothing at these sizes.
        if label == "math" and query.shape[2] > 1:
            continue
        try:
            with sdpa_kernel(backend):
                figures[name][label] = microseconds(
                    count,
                    lambda copy: F.scaled_dot_product_attention(
                        query, keys[copy], values[copy], is_causal=causal, enable_gqa=True
                    ),
                )
        except Exception as error:  # a backend that cannot run these operands says so by raising
            print(f"{label}, {name}: {error}", file=sys.stderr)
            figures[name][label] = None


def attention(figures):
    heads = f"{QUERY_HEADS}:{KEY_HEADS} heads of {HEAD}"
    for tokens in PROMPTS:
        count = copies(2 * tokens * KEY_HEADS * HEAD * 2)
        keys = [random(1, KEY_HEADS, tokens, HEAD) for _ in range(count)]
        values = [random(1, KEY_HEADS, tokens, HEAD) for _ in range(count)]
        name = f"prefill attention 1 x {tokens} of {tokens} keys, {heads}"
        attend(figures, name, count, random(1, QUERY_HEADS, tokens, HEAD), keys, values, causal=True)
    for sequences, context in DECODES:
        count = copies(2 * sequences * context * KEY_HEADS * HEAD * 2)
        keys = [random(sequences, KEY_HEADS, context, HEAD) for _ in range(count)]
        values = [random(sequences, KEY_HEADS, context, HEAD) for _ in range(count)]
        name = f"decode attention {sequences} x 1 of {context} keys, {heads}"
        attend(figures, name, count, random(sequences, QUERY_HEADS, 1, HEAD), keys, values, causal=False)


def rows(figures):
    for count_rows in (ROWS[0], ROWS[-1]):
        count = copies(4 * count_rows * HIDDEN * 2)
        x, y = [random(count_rows, HIDDEN) for _ in range(count)], [random(count_rows, HIDDEN) for _ in range(count)]
        weight = random(HIDDEN)

        def norm(copy):
            x[copy].add_(y[copy])
            return F.rms_norm(x[copy], (HIDDEN,), weight, 1e-5)

        figures[f"rms_norm + residual {count_rows} x {HIDDEN}"] = {"torch, two kernels": microseconds(count, norm)}


def kernels():
    figures = {}
    with torch.inference_mode():
        products(figures)
        attention(figures)
        rows(figures)
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "unit": "us", "figures": figures}


def model(folder):
    import time

    import transformers

    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=TYPE).cuda().eval()
    ids = torch.randint(0, 4000, (1, 512), device="cuda")
    result = {"transformers": transformers.__version__, "torch": torch.__version__}

    def timed(body):
        times = []
        for _ in range(5):
            torch.cuda.synchronize()
            start = time.perf_counter()
            body()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    with torch.inference_mode():
        result["prefill 512, tokens/s"] = 512 / timed(lambda: loaded(ids))
        for label, options in [("eager", {}), ("static cache, compiled", {"cache_implementation": "static"})]:
            try:
                options = dict(options, do_sample=False, pad_token_id=0)
                short = timed(lambda: loaded.generate(ids[:, :32], max_new_tokens=1, min_new_tokens=1, **options))
                long = timed(lambda: loaded.generate(ids[:, :32], max_new_tokens=65, min_new_tokens=65, **options))
                result[f"decode ({label}), tokens/s"] = 64 / (long - short)
            except Exception as error:
                print(f"decode ({label}): {error}", file=sys.stderr)
                result[f"decode ({label}), tokens/s"] = None
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["kernels", "model"])
    parser.add_argument("folder", nargs="?")
    arguments = parser.parse_args()
    json.dump(kernels() if arguments.what == "kernels" else model(arguments.folder), sys.stdout, indent=1)
    print()
