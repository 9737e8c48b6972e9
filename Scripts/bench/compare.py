"""Prints gpuinfer's figures beside a peer's from the JSON files that Scripts/bench/peers wrote.

    compare.py model|int4|server|tokenizer FOLDER
"""

import json
import pathlib
import sys


def ours(folder, name):
    return {key: entry["value"] for key, entry in json.loads((folder / name).read_text())["figures"].items()}


def show(title, rows):
    print(f"\n{title}\n{'':34}{'gpuinfer':>12}{'peer':>12}{'ratio':>8}")
    for label, mine, peer in rows:
        print(f"{label:34}{mine:12.2f}{peer:12.2f}{mine / peer:8.2f}")


def llama_bench(file):
    return {("prefill" if row["n_prompt"] else "decode"): row["avg_ts"] for row in json.loads(file.read_text())}


def model(folder):
    llama = llama_bench(folder / "llama.json")
    for kind in ["float32", "bfloat16"]:
        mine = ours(folder, f"model-{kind}.json")
        torch = json.loads((folder / f"transformers-{kind}.json").read_text())
        show(f"1.1B Llama, bf16 weights, products in {kind} (llama.cpp: f16), tokens/s", [
            ("prefill 512, llama.cpp f16", mine["prefill 512, median"], llama["prefill"]),
            ("decode, llama.cpp f16", mine["decode, median"], llama["decode"]),
            (f"prefill 512, transformers {kind}", mine["prefill 512, median"], torch["prefill"]),
            (f"decode, transformers {kind}", mine["decode, median"], torch["decode"]),
        ])


def int4(folder):
    llama = llama_bench(folder / "llama-int4.json")
    for kind in ["float32", "bfloat16"]:
        mine = ours(folder, f"int4-{kind}.json")
        show(f"1.1B Llama, int4 in groups of 128, products in {kind}, against llama.cpp Q4_0, tokens/s", [
            ("prefill 512", mine["prefill 512, median"], llama["prefill"]),
            ("decode", mine["decode, median"], llama["decode"]),
        ])


def server(folder):
    peer = ours(folder, "llama-serve.json")
    for kind in ["float32", "bfloat16"]:
        mine = ours(folder, f"serve-{kind}.json")
        show(f"125M Llama, 32 clients, 32 tokens a request, {kind}, against llama-server f16", [
            ("requests/s", mine["requests"], peer["requests"]),
            *((f"{name}, ms", mine[name], peer[name]) for name in [
                "time to first token, p50", "time to first token, p99", "inter-token, p50"]),
        ])


def tokenizer(folder):
    mine, peer = ours(folder, "tokenizer.json"), json.loads((folder / "tiktoken.json").read_text())
    show(f"{peer['name']}, one thread, MB/s, against tiktoken", [
        ("encode", mine["encode"], peer["encode"]),
        ("decode", mine["decode"], peer["decode"]),
    ])


if __name__ == "__main__":
    {"model": model, "int4": int4, "server": server, "tokenizer": tokenizer}[sys.argv[1]](pathlib.Path(sys.argv[2]))
