"""Prefill of 512 tokens and decode with transformers on the CPU as JSON: transformers_speed.py FOLDER bfloat16|float32"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2])).eval()
prompt = torch.randint(0, 4000, (1, 512), generator=torch.Generator().manual_seed(1))


def fastest(body, runs=3):
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        body()
        best = min(best, time.perf_counter() - start)
    return best


with torch.inference_mode():
    prefill = fastest(lambda: model(prompt, logits_to_keep=1))
    cache = model(prompt[:, :32], logits_to_keep=1).past_key_values

    def decode():
        for index in range(16):
            model(prompt[:, index : index + 1], past_key_values=cache, logits_to_keep=1)

    steps = fastest(decode)
print(json.dumps({"prefill": 512 / prefill, "decode": 16 / steps}))
