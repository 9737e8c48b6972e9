"""tiktoken on one thread, built from a tokenizer.json: tiktoken_speed.py FOLDER TEXT"""

import json
import pathlib
import sys
import time

import tiktoken

folder, text = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
description = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


def byte_of_character():
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def pattern(stage):
    if stage["type"] == "Split":
        return stage["pattern"]["Regex"]
    if stage["type"] == "Sequence":
        return next(filter(None, map(pattern, stage["pretokenizers"])), None)
    return None


GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
bytes_of = byte_of_character()
special = {token["content"] for token in description["added_tokens"]}
ranks = {
    bytes(bytes_of[character] for character in token): rank
    for token, rank in description["model"]["vocab"].items()
    if token not in special
}
encoding = tiktoken.Encoding(
    folder.name, pat_str=pattern(description["pre_tokenizer"]) or GPT2, mergeable_ranks=ranks, special_tokens={})


def fastest(body, runs=5):
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        body()
        best = min(best, time.perf_counter() - start)
    return best


ids = encoding.encode_ordinary(text)
size = len(text.encode()) / 1e6
print(json.dumps({
    "name": folder.name, "tokens": len(ids),
    "encode": size / fastest(lambda: encoding.encode_ordinary(text)),
    "decode": size / fastest(lambda: encoding.decode(ids)),
}))
