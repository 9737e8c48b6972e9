#!/usr/bin/env python3
"""Makes Tests/Fixtures/families: tiny random checkpoints of every variation, with transformers' logits.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors numpy
    venv/bin/python -P Scripts/goldens/models.py [NAME ...]

Each case is a Hugging Face directory plus

    expected.safetensors   input_ids_<i> int64 [T], logits_<i> float32 [T, vocabulary]
    expected.json          per prompt: greedy continuation, least gap between best and second score on its way,
                           and the model length to serve with (it matters for dynamic rope scaling only)

and besides, `rope.json`: inverse frequencies and attention factors for configurations of published models, and
`demo-windows.safetensors`: the first tokens of the demo's validation text, int32 [8, 256].

Logits are computed in float32 with eager attention from the stored (rounded) weights. Weights are large enough
for attention to be far from uniform, and a case may name a `control`: changes to its configuration that must
move the logits, or else the case would not test what it is named for.
"""

import json
import pathlib
import sys
import zlib

import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures/families"
GREEDY_TOKENS = 12
VOCABULARY = 72

LLAMA = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", vocab_size=VOCABULARY, hidden_size=32,
    intermediate_size=56, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
GPT2 = dict(
    architectures=["GPT2LMHeadModel"], model_type="gpt2", vocab_size=VOCABULARY, n_embd=30, n_head=5, n_layer=2,
    n_positions=37, n_inner=50, activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=1,
    eos_token_id=2)
BLOOM = dict(
    architectures=["BloomForCausalLM"], model_type="bloom", vocab_size=VOCABULARY, n_layer=2, layer_norm_epsilon=1e-5,
    bos_token_id=1, eos_token_id=2)
NEOX = dict(
    architectures=["GPTNeoXForCausalLM"], model_type="gpt_neox", vocab_size=VOCABULARY, hidden_size=36,
    intermediate_size=60, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=64, hidden_act="gelu",
    layer_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)
MISTRAL = LLAMA | dict(architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=5)
QWEN2 = LLAMA | dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2")
YARN = dict(factor=4.0, original_max_position_embeddings=32)

# config: the config.json as written; type: of the stored weights; prompts: lengths; control: see above;
# shards: number of files; prefix: False drops "model." and the like from tensor names;
# lengths: model length to serve each prompt with; sinks: True adds learned sinks, as gpt-oss has them, computed by
# its attention; without them the logits must move.
CASES = {
    "llama-rope-linear": dict(
        config=LLAMA | dict(rope_theta=10000.0, rope_scaling=dict(type="linear", factor=4.0)), type="bfloat16",
        prompts=[40], control=dict(rope_scaling=None)),
    "llama-rope-dynamic": dict(
        config=LLAMA | dict(
            max_position_embeddings=24, rope_theta=10000.0, rope_scaling=dict(type="dynamic", factor=4.0)),
        type="bfloat16", prompts=[24, 56], lengths=[24, 56], control=dict(rope_scaling=None), greedy=False),
    "llama-rope-llama3": dict(
        config=LLAMA | dict(
            rope_theta=500000.0, num_attention_heads=2, head_dim=32,
            rope_scaling=dict(
                rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=64)), type="float16",
        prompts=[60], control=dict(rope_scaling=None)),
    "llama-rope-yarn": dict(
        config=LLAMA | dict(rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, **YARN)), type="bfloat16",
        prompts=[60], control=dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "llama-rope-yarn-mscale": dict(
        config=LLAMA | dict(
            rope_theta=5000.0,
            rope_scaling=dict(
                rope_type="yarn", factor=2.0, original_max_position_embeddings=64, beta_fast=4, beta_slow=1,
                mscale=1.5, mscale_all_dim=0.8, truncate=False)),
        type="bfloat16", prompts=[60],
        control=dict(rope_theta=5000.0, rope_scaling=dict(
            rope_type="yarn", factor=2.0, original_max_position_embeddings=64, beta_fast=4, beta_slow=1,
            mscale=1.5, mscale_all_dim=0.8, truncate=True))),
    "llama-rope-yarn-attention-factor": dict(
        config=LLAMA | dict(
            rope_theta=10000.0, rope_scaling=dict(rope_type="yarn", attention_factor=0.7, **YARN)),
        type="bfloat16", prompts=[40],
        control=dict(rope_theta=10000.0, rope_scaling=dict(rope_type="yarn", **YARN))),
    "llama-biases": dict(
        config=LLAMA | dict(
            hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=44,
            attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="default", rope_theta=20000.0)),
        type="float32", prompts=[33], shards=3),
    "llama-mqa-tied": dict(
        config=LLAMA | dict(
            num_attention_heads=4, num_key_value_heads=1, head_dim=12, hidden_size=28, hidden_act="gelu_pytorch_tanh",
            tie_word_embeddings=True, rope_theta=10000.0),
        type="float16", prompts=[1, 16, 17], shards=2),
    "llama-no-prefix": dict(
        config=LLAMA | dict(hidden_size=36, num_attention_heads=3, num_key_value_heads=3, intermediate_size=52),
        type="bfloat16", prompts=[20], prefix=False, shards=2),
    "llama-sink-logits": dict(
        config=LLAMA | dict(
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_hidden_layers=3, rope_theta=10000.0),
        type="bfloat16", prompts=[1, 40], sinks=True),
    "mistral-window-1": dict(
        config=MISTRAL | dict(sliding_window=1, rope_theta=10000.0), type="bfloat16", prompts=[3, 18]),
    "mistral-window-5": dict(
        config=MISTRAL | dict(rope_theta=10000.0, hidden_size=36, num_attention_heads=3, num_key_value_heads=1),
        type="float16", prompts=[4, 5, 6, 40], control=dict(sliding_window=6)),
    "mistral-window-16": dict(
        config=MISTRAL | dict(rope_theta=10000.0, sliding_window=16), type="bfloat16", prompts=[16, 17, 48],
        control=dict(sliding_window=17)),
    "qwen2-window": dict(
        config=QWEN2 | dict(
            num_hidden_layers=3, rope_theta=1e6, use_sliding_window=True, sliding_window=6, max_window_layers=2,
            tie_word_embeddings=True), type="bfloat16", prompts=[30], control=dict(max_window_layers=1)),
    "qwen2-window-off": dict(
        config=QWEN2 | dict(rope_theta=1e6, use_sliding_window=False, sliding_window=6, max_window_layers=0),
        type="bfloat16", prompts=[30], control=dict(use_sliding_window=True)),
    "gpt2-odd": dict(
        config=GPT2 | dict(activation_function="gelu", scale_attn_by_inverse_layer_idx=True), type="float32",
        prompts=[7, 25], control=dict(scale_attn_by_inverse_layer_idx=False)),
    "gpt2-no-prefix": dict(
        config=GPT2 | dict(n_inner=None, scale_attn_weights=False), type="float16", prompts=[20], prefix=False,
        control=dict(scale_attn_weights=True)),
    "bloom-3-heads": dict(
        config=BLOOM | dict(n_head=3, hidden_size=24), type="float32", prompts=[40]),
    "bloom-5-heads": dict(
        config=BLOOM | dict(num_attention_heads=5, n_embed=20, seq_length=64), type="float16", prompts=[40],
        prefix=False),
    "bloom-12-heads": dict(
        config=BLOOM | dict(n_head=12, hidden_size=48), type="bfloat16", prompts=[40], shards=2),
    "gpt-neox-parallel": dict(
        config=NEOX | dict(rotary_pct=0.5, rotary_emb_base=10000, use_parallel_residual=True), type="float16",
        prompts=[30], control=dict(use_parallel_residual=False)),
    "gpt-neox-serial": dict(
        config=NEOX | dict(
            use_parallel_residual=False, hidden_act="gelu_new", attention_bias=False,
            rope_parameters=dict(rope_type="default", rope_theta=3000.0, partial_rotary_factor=1.0)),
        type="bfloat16", prompts=[30], control=dict(use_parallel_residual=True)),
}

PREFIXES = {"llama": "model.", "mistral": "model.", "qwen2": "model.", "gpt2": "transformer.", "bloom": "transformer.",
            "gpt_neox": "gpt_neox."}


def build(config):
    parameters = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
    configuration = transformers.AutoConfig.for_model(config["model_type"], **parameters)
    return transformers.AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").float().eval()


def add_sinks(model):
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask
    from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

    AttentionInterface.register("sinks", eager_attention_forward)
    AttentionMaskInterface.register("sinks", eager_mask)  # or there would be none
    model.config._attn_implementation = "sinks"
    for layer in model.model.layers:
        layer.self_attn.sinks = torch.nn.Parameter(torch.zeros(model.config.num_attention_heads))
    return model


def randomize(model, name, dtype):
    """Weights with unit-scale outputs, norms around 1, biases around 0, all rounded to the stored type."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for key, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 2:
            conv1d = model.config.model_type == "gpt2" and ".h." in key
            inputs = tensor.shape[0] if conv1d else tensor.shape[1]
            embedding = any(part in key for part in ("embed_tokens", "word_embeddings.", "wte", "wpe", "embed_in"))
            value = noise * (0.7 if embedding else 1.6 / inputs**0.5)
        elif key.endswith("bias"):
            value = noise * 0.3
        elif key.endswith("sinks"):
            value = noise * 2
        else:
            value = 1 + noise * 0.2
        tensor.data.copy_(value.to(dtype).float())


@torch.no_grad()
def logits(model, tokens):
    return model(torch.tensor([tokens]), use_cache=False).logits[0].float()


def greedy(model, tokens):
    tokens, margin = list(tokens), float("inf")
    for _ in range(GREEDY_TOKENS):
        best = logits(model, tokens)[-1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
    return tokens[-GREEDY_TOKENS:], margin


def save(name, folder, config, model, dtype, prefix, shards):
    tied = model.config.tie_word_embeddings
    tensors = {}
    for key, tensor in model.named_parameters():
        if tied and key in ("lm_head.weight", "embed_out.weight"):
            continue
        if not prefix:
            key = key.removeprefix(PREFIXES[config["model_type"]])
        if name == "gpt-neox-parallel" and key == "lm_head.weight":
            key = "embed_out.weight"  # as in published checkpoints
        tensors[key] = tensor.data.to(dtype).contiguous().clone()
    names = sorted(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        index = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            part = {name: tensors[name] for name in names[shard::shards]}
            save_file(part, folder / file, metadata={"format": "pt"})
            index |= {name: file for name in part}
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        text = json.dumps({"metadata": {"total_size": size}, "weight_map": index}, indent=1, sort_keys=True)
        (folder / "model.safetensors.index.json").write_text(text + "\n")
    written = config | dict(torch_dtype=str(dtype).removeprefix("torch."))
    (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")


def make(name, config, type, prompts, control=None, shards=1, prefix=True, lengths=None, greedy_tokens=True,
         sinks=False):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    dtype = getattr(torch, type)
    model = add_sinks(build(config)) if sinks else build(config)
    randomize(model, name, dtype)
    save(name, folder, config, model, dtype, prefix, shards)

    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 1)
    expected, notes = {}, []
    for index, count in enumerate(prompts):
        tokens = torch.randint(0, VOCABULARY, (count,), generator=generator).tolist()
        expected[f"input_ids_{index}"] = torch.tensor(tokens)
        expected[f"logits_{index}"] = logits(model, tokens)
        note = dict(length=count)
        if lengths:
            note["model_length"] = lengths[index]
        if greedy_tokens:
            note["greedy"], note["margin"] = greedy(model, tokens)
        notes.append(note)
    save_file(expected, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(dict(prompts=notes), indent=1) + "\n")

    last = len(prompts) - 1
    tokens = expected[f"input_ids_{last}"].tolist()
    assert torch.equal(logits(model, tokens[:1])[0].argmax(), expected[f"logits_{last}"][0].argmax()), "not causal"
    reference = expected[f"logits_{last}"]
    if control is not None or sinks:
        other = build(config | (control or {}))
        randomize(other, name, dtype)
        change = (logits(other, expected[f"input_ids_{last}"].tolist()) - reference).abs().max()
        assert change > 0.02 * reference.abs().max(), f"{name}: the control moves the logits by {change} only"
    size = sum(file.stat().st_size for file in folder.iterdir())
    margins = [note["margin"] for note in notes if "margin" in note]
    print(f"{name:36} {size:7} bytes, max |logit| {reference.abs().max():.2f}, margin {min(margins, default=0):.4f}")
    assert size < 200_000
    return size


ROPES = {
    "llama-2": dict(head_dim=128, rope_theta=10000.0, max_position_embeddings=4096),
    "codellama": dict(head_dim=128, rope_theta=1000000, max_position_embeddings=16384),
    "linear": dict(head_dim=128, max_position_embeddings=4096, rope_scaling=dict(type="linear", factor=2.5)),
    "llama-3.1-8b": dict(
        head_dim=128, rope_theta=500000.0, max_position_embeddings=131072, rope_scaling=dict(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192,
            rope_type="llama3")),
    "llama-3.2-1b": dict(
        head_dim=64, rope_theta=500000.0, max_position_embeddings=131072, rope_scaling=dict(
            factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192,
            rope_type="llama3")),
    "qwen2.5-yarn": dict(
        head_dim=128, rope_theta=1000000.0, max_position_embeddings=131072, rope_scaling=dict(
            factor=4.0, original_max_position_embeddings=32768, type="yarn")),
    "deepseek-yarn": dict(
        head_dim=64, rope_theta=10000.0, max_position_embeddings=163840, rope_scaling=dict(
            beta_fast=32, beta_slow=1, factor=40, mscale=1.0, mscale_all_dim=0.707,
            original_max_position_embeddings=4096, type="yarn")),
    "gpt-oss-yarn": dict(
        head_dim=64, rope_theta=150000.0, max_position_embeddings=131072, rope_scaling=dict(
            beta_fast=32.0, beta_slow=1.0, factor=32.0, original_max_position_embeddings=4096, rope_type="yarn",
            truncate=False)),
    "dynamic-short": dict(
        head_dim=96, max_position_embeddings=2048, rope_scaling=dict(type="dynamic", factor=2.0), length=2048),
    "dynamic-long": dict(
        head_dim=96, max_position_embeddings=2048, rope_scaling=dict(type="dynamic", factor=2.0), length=4096),
}


def make_ropes():
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    out = {}
    for name, fields in ROPES.items():
        fields = dict(fields)
        length = fields.pop("length", None)
        config = transformers.LlamaConfig(hidden_size=512, num_attention_heads=4, **json.loads(json.dumps(fields)))
        kind = config.rope_parameters["rope_type"]
        compute = ROPE_INIT_FUNCTIONS.get(kind, LlamaRotaryEmbedding.compute_default_rope_parameters)
        frequencies, factor = compute(config, device="cpu", **(dict(seq_len=length) if length else {}))
        out[name] = dict(config=fields, length=length, attention_factor=factor, frequencies=[
            float(value) for value in frequencies.float()])
    (ROOT / "rope.json").write_text(json.dumps(out, indent=0) + "\n")


def make_demo_windows():
    demo = ROOT.parent / "demo"
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(demo / "tokenizer.json"))
    text = (demo / "valid.txt").read_text()
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = torch.tensor(tokens[: 8 * 256], dtype=torch.int32).reshape(8, 256)
    save_file({"windows": windows}, ROOT / "demo-windows.safetensors")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    names = sys.argv[1:] or CASES
    ROOT.mkdir(parents=True, exist_ok=True)
    make_ropes()
    make_demo_windows()
    total = 0
    for name in names:
        case = dict(CASES[name])
        case["greedy_tokens"] = case.pop("greedy", True)
        total += make(name, **case)
    print(f"{total} bytes in all, transformers {transformers.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
