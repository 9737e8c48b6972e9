"""Called by Scripts/bench/compressors: GPUINFER MODEL CALIBRATION THREADS."""

import os
import subprocess
import sys
import tempfile
import time

PEER = """
import sys, torch
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

model, calibration, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
rows = load_file(calibration)["input_ids"].long()
samples = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
oneshot(
    model=AutoModelForCausalLM.from_pretrained(model, dtype="auto"),
    dataset=torch.utils.data.DataLoader(samples, batch_size=1),
    recipe=GPTQModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"]),
    max_seq_length=rows.shape[1], num_calibration_samples=len(rows),
)
"""


def measure(command):
    """Seconds and the peak of resident memory, in bytes, of a whole process."""
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        if status != 0:
            log.seek(0)
            sys.exit(log.read().decode(errors="replace")[-4000:])
    return seconds, usage.ru_maxrss * 1024


def main():
    gpuinfer, model, calibration, threads = sys.argv[1:]
    rows = []
    for dtype in ("bfloat16", "float32"):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                gpuinfer, "compress", model, "--method", "gptq", "--bits", "4", "--group-size", "128", "--calibration",
                calibration, "--output", f"{folder}/out", "--no-evaluation", "--threads", threads, "--dtype", dtype,
            ]
            rows.append((f"gpuinfer, {dtype}", *measure(command)))
    rows.append(("llm-compressor", *measure([sys.executable, "-c", PEER, model, calibration, threads])))
    print(f"{'':22} {'seconds':>8} {'MB':>7} {'ratio':>6}")
    for name, seconds, memory in rows:
        print(f"{name:22} {seconds:8.1f} {memory / 1e6:7.0f} {rows[-1][1] / seconds:6.2f}")


main()
