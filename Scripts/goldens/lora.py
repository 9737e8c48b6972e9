#!/usr/bin/env python3
"""Writes Tests/Fixtures/lora: small PEFT adapters for the tiny checkpoints, and the logits that `peft` gives with them.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch transformers peft
    /tmp/venv/bin/python Scripts/goldens/lora.py

Each adapter has random A and B, so that it changes every logit; merged weights are checked against unmerged ones.
"""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "Tests/Fixtures/tiny"
OUT = ROOT / "Tests/Fixtures/lora"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES = {
    "llama-all": ("llama", dict(r=8, lora_alpha=16, target_modules=LINEAR)),
    "llama-rs": (
        "llama",
        dict(
            r=24,
            lora_alpha=12,
            use_rslora=True,
            target_modules=["q_proj", "v_proj"],
            layers_to_transform=[1],
            rank_pattern={"v_proj": 40},
            alpha_pattern={"layers.1.self_attn.v_proj": 6},
        ),
    ),
    "gpt2": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "bloom": ("bloom", dict(r=8, lora_alpha=8, target_modules=["query_key_value", "dense"])),
}


def main():
    for name, (base, settings) in CASES.items():
        torch.manual_seed(sum(map(ord, name)))
        model = transformers.AutoModelForCausalLM.from_pretrained(TINY / base, dtype=torch.float32)
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
        with torch.no_grad():
            for key, value in model.named_parameters():
                if "lora_" in key:
                    # Rounded to what the file keeps.
                    value.copy_((torch.randn_like(value) * 0.1).half().float())
            tokens = torch.randint(4, 500, (1, 40))
            logits = model(tokens).logits[0]
            folder = OUT / name
            shutil.rmtree(folder, ignore_errors=True)
            model.save_pretrained(folder)
            (folder / "README.md").unlink()
            file = folder / "adapter_model.safetensors"
            from safetensors.torch import load_file

            save_file({k: v.half().contiguous() for k, v in load_file(file).items()}, file)
            config = json.loads((folder / "adapter_config.json").read_text())
            config["base_model_name_or_path"] = "tiny/" + base
            (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
            merged = model.merge_and_unload()(tokens).logits[0]
            plain = transformers.AutoModelForCausalLM.from_pretrained(TINY / base, dtype=torch.float32)(tokens).logits[0]
        print(name, "merged:", (merged - logits).abs().max().item(), "changes:", (plain - logits).abs().max().item(),
              "of", logits.abs().max().item())
        keep = slice(0, None, 8)
        save_file({"input_ids": tokens[0].clone(), "logits": logits[keep].contiguous()}, folder / "expected.safetensors")


main()
