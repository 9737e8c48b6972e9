"""Adapters, embeddings, files and batches through the official Python client, across kills of the server."""

import asyncio
import base64
import json
import math
import signal
import struct
import time

import openai
import pytest

from conftest import DEMO, FIXTURES, gpuinfer, serving

LINES = 48
WAIT_SECONDS = 120


def client_of(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0)


# Embeddings


def test_embeddings_are_the_same_as_floats_and_as_base64(server):
    with client_of(server) as client:
        texts = ["The boy looked up", "The old man was asleep", "The boy looked up"]
        # The client asks for base64 by itself and decodes it.
        plain = client.embeddings.create(model="demo", input=texts)
        floats = client.embeddings.create(model="demo", input=texts, encoding_format="float")
        raw = client.embeddings.with_raw_response.create(model="demo", input=texts[0], encoding_format="base64")
        assert [item.index for item in plain.data] == [0, 1, 2]
        for ours, theirs in zip(plain.data, floats.data):
            assert ours.embedding == pytest.approx(theirs.embedding, rel=1e-6)
            assert math.isclose(sum(x * x for x in ours.embedding), 1, rel_tol=1e-5)
        assert plain.data[0].embedding == plain.data[2].embedding != plain.data[1].embedding
        bytes_ = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
        assert list(struct.unpack(f"<{len(bytes_) // 4}f", bytes_)) == plain.data[0].embedding
        assert plain.usage.prompt_tokens == plain.usage.total_tokens > 0
        ids = client.embeddings.create(model="demo", input=[[5, 6, 7], [8]])
        assert len(ids.data) == 2 and ids.usage.prompt_tokens == 4
        with pytest.raises(openai.BadRequestError, match="matryoshka"):
            client.embeddings.create(model="demo", input="x", dimensions=8)


def test_mean_pooling_is_another_embedding():
    with serving("--pooling", "mean") as other, client_of(other) as client:
        mean = client.embeddings.create(model="demo", input=[[5], [5, 6, 7]]).data
    with serving() as other, client_of(other) as client:
        last = client.embeddings.create(model="demo", input=[[5], [5, 6, 7]]).data
    # Of one token both are its state.
    assert mean[0].embedding == last[0].embedding
    assert mean[1].embedding != last[1].embedding


# Adapters


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A PEFT adapter for the demo model, large enough to change its words."""
    import random

    folder = tmp_path_factory.mktemp("adapter")
    config = json.loads((DEMO / "config.json").read_text())
    hidden, rank = config["hidden_size"], 4
    heads = config["num_attention_heads"] * config.get("head_dim", hidden // config["num_attention_heads"])
    draw = random.Random(11)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        stem = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_"
        tensors[stem + "A.weight"] = ([rank, hidden], [draw.gauss(0, 0.3) for _ in range(rank * hidden)])
        tensors[stem + "B.weight"] = ([heads, rank], [draw.gauss(0, 0.3) for _ in range(heads * rank)])
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        chunk = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(chunk)]}
        data += chunk
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": 8}))
    return folder


def complete(client, model):
    answer = client.completions.create(model=model, prompt="The boy looked up and", max_tokens=24, temperature=0)
    return answer.choices[0].text


def test_an_adapter_is_loaded_used_and_taken_away_at_run_time(adapter):
    with serving("--enable-lora", "--allow-runtime-lora-updating") as other, client_of(other) as client:
        post = lambda path, **body: client.post(path, body=body, cast_to=str)  # noqa: E731
        assert post("/load_lora_adapter", lora_name="poet", lora_path=str(adapter)) == (
            "Success: LoRA adapter 'poet' added successfully."
        )
        cards = {card.id: card for card in client.models.list().data}
        assert cards["poet"].parent == "demo"
        assert complete(client, "poet") != complete(client, "demo")
        assert 'vllm:lora_requests_info{max_lora="64"' in other.get("/metrics")
        with pytest.raises(openai.BadRequestError, match="already been loaded"):
            post("/load_lora_adapter", lora_name="poet", lora_path=str(adapter))
        with pytest.raises(openai.NotFoundError):
            post("/load_lora_adapter", lora_name="none", lora_path=str(adapter / "none"))
        with pytest.raises(openai.BadRequestError, match="layer"):
            post("/load_lora_adapter", lora_name="gpt2", lora_path=str(FIXTURES / "lora" / "gpt2"))
        assert "removed" in post("/unload_lora_adapter", lora_name="poet")
        with pytest.raises(openai.NotFoundError):
            complete(client, "poet")


def test_loading_adapters_needs_permission(server, adapter):
    with client_of(server) as client, pytest.raises(openai.NotFoundError, match="allow-runtime-lora-updating"):
        client.post("/load_lora_adapter", body={"lora_name": "x", "lora_path": str(adapter)}, cast_to=str)


def test_a_merged_adapter_says_what_the_unmerged_one_says(adapter, tmp_path):
    merged = tmp_path / "merged"
    result = gpuinfer("merge", DEMO, adapter, merged, check=0)
    assert b"merged into" in result.stderr
    assert gpuinfer("merge", DEMO, adapter, merged, check=74).stderr.count(b"exists")
    gpuinfer("merge", DEMO, FIXTURES / "lora" / "gpt2", tmp_path / "x", check=65)
    gpuinfer("merge", DEMO, tmp_path / "none", tmp_path / "x", check=66)
    gpuinfer("merge", DEMO, check=64)
    with serving("--lora-modules", f"poet={adapter}") as other, client_of(other) as client:
        beside = [complete(client, "poet"), complete(client, "demo")]
    with serving(model=merged) as other, client_of(other) as client:
        # bfloat16 weights round the sum: the first words are far from any tie.
        assert complete(client, "merged").split()[:3] == beside[0].split()[:3] != beside[1].split()[:3]


# Files and batches


def batch_file(tmp_path, count=LINES, max_tokens=48):
    lines = [
        {
            "custom_id": f"line-{index}", "method": "POST", "url": "/v1/completions",
            "body": {"prompt": f"Chapter {index}. The", "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True},
        }
        for index in range(count)
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def wait_for(client, batch_id, until=("completed", "failed", "cancelled", "expired")):
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        batch = client.batches.retrieve(batch_id)
        if batch.status in until:
            return batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)


def test_a_batch_through_the_client(tmp_path):
    with serving("--state-dir", tmp_path / "state") as other, client_of(other) as client:
        uploaded = client.files.create(file=batch_file(tmp_path, 12).open("rb"), purpose="batch")
        assert uploaded.status == "processed" and uploaded.filename == "in.jsonl"
        assert client.files.retrieve(uploaded.id) == uploaded
        assert [file.id for file in client.files.list(purpose="batch")] == [uploaded.id]
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/completions", completion_window="24h", metadata={"run": "1"}
        )
        done = wait_for(client, batch.id)
        assert done.status == "completed" and done.metadata == {"run": "1"} and done.error_file_id is None
        assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (12, 12, 0)
        answers = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
        online = client.completions.create(
            model="demo", prompt="Chapter 7. The", max_tokens=48, temperature=0, extra_body={"ignore_eos": True}
        )
        seventh = next(answer for answer in answers if answer["custom_id"] == "line-7")
        assert seventh["response"]["body"]["choices"][0]["text"] == online.choices[0].text
        assert [batch.id for batch in client.batches.list(limit=1)] == [done.id]
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(done.id)
        assert client.files.delete(uploaded.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(uploaded.id)
        assert other.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_leaves_its_batches_to_the_next(tmp_path, how):
    state = tmp_path / "state"
    flags = ("--state-dir", state, "--batch-concurrency", 4, "--max-num-seqs", 4)
    with serving(*flags) as other, client_of(other) as client:
        uploaded = client.files.create(file=batch_file(tmp_path, max_tokens=120).open("rb"), purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/completions", completion_window="24h"
        )
        deadline = time.monotonic() + WAIT_SECONDS
        while client.batches.retrieve(batch.id).request_counts.completed < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        code = other.stop(how)
        assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    answers = next((state / "batches").glob("*.answers")).read_bytes()
    assert 5 <= answers.count(b"\n") < LINES
    kept = {json.loads(line)["id"] for line in answers.splitlines(keepends=True) if line.endswith(b"\n")}
    with serving(*flags) as other, client_of(other) as client:
        done = wait_for(client, batch.id)
        assert done.status == "completed" and done.request_counts.completed == LINES
        lines = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
        assert sorted(line["custom_id"] for line in lines) == sorted(f"line-{index}" for index in range(LINES))
        # What the first server answered was not asked again.
        assert kept <= {line["id"] for line in lines}
        # Another server may not have the same directory.
        second = gpuinfer("serve", "--port", "0", "--state-dir", state, check=69)
        assert b"another server" in second.stderr


def test_state_is_off_without_a_directory(tmp_path):
    with serving() as other, client_of(other) as client, pytest.raises(openai.NotFoundError, match="--state-dir"):
        client.batches.list()


# Prefix caching


def test_a_prefix_is_shared_by_requests_of_one_salt_and_seen_in_usage(server):
    with client_of(server) as client:
        prompt = "The old house stood at the end of the lane. " * 8

        def ask(tail, salt=None):
            extra = {"cache_salt": salt} if salt else {}
            return client.completions.create(
                model="demo", prompt=prompt + tail, max_tokens=8, temperature=0, extra_body=extra
            )

        hits = server.metric("vllm:prefix_cache_hits_total")
        first = ask("One", "alice")
        second = ask("Two", "alice")
        other = ask("Two", "bob")
        assert first.usage.prompt_tokens_details.cached_tokens == 0
        cached = second.usage.prompt_tokens_details.cached_tokens
        assert cached % 16 == 0 and second.usage.prompt_tokens - 32 < cached < second.usage.prompt_tokens
        # A tenant learns nothing of another's prompts, and gets the same words.
        assert other.usage.prompt_tokens_details.cached_tokens == 0
        assert other.choices[0].text == second.choices[0].text
        assert server.metric("vllm:prefix_cache_hits_total") == hits + cached
        chat = [{"role": "user", "content": prompt}]
        for expected in (0, 1):
            answer = client.chat.completions.create(
                model="demo", messages=chat, max_completion_tokens=4, extra_body={"cache_salt": "chat"}
            )
            assert min(answer.usage.prompt_tokens_details.cached_tokens, 1) == expected


# Everything at once


def resident_bytes(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


BOOK = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 12}, "pages": {"type": "integer"}},
    "required": ["title", "pages"],
}


def test_a_mixed_load_changes_no_word_and_leaves_no_memory_behind(adapter):
    flags = (
        "--lora-modules", f"poet={adapter}", "--speculative-model", "ngram", "--max-num-seqs", 12,
        "--kv-cache-memory-bytes", "4MiB", "--max-model-len", 512,
    )
    with serving(*flags) as other:
        async def run():
            async with openai.AsyncOpenAI(base_url=other.url + "/v1", api_key="x", max_retries=0) as client:
                def completion(index, **more):
                    if index % 4 == 2:
                        more["extra_body"] = {"structured_outputs": {"json": BOOK}}
                    return client.completions.create(
                        model="poet" if index % 3 == 0 else "demo", prompt=f"Chapter {index % 7}. The boy",
                        max_tokens=40, temperature=0.9 if index % 2 else 0, seed=index, **more,
                    )

                expected = [(await completion(index)).choices[0].text for index in range(24)]
                vectors = (await client.embeddings.create(model="demo", input=["One", "Two"])).data

                async def leave(index):
                    stream = await completion(index, stream=True)
                    text = ""
                    async for chunk in stream:
                        text += chunk.choices[0].text
                        if len(text) > 30:
                            break
                    await stream.close()
                    assert expected[index].startswith(text)

                async def stay(index):
                    assert (await completion(index)).choices[0].text == expected[index]

                async def embed():
                    found = (await client.embeddings.create(model="demo", input=["One", "Two"])).data
                    assert [item.embedding for item in found] == [item.embedding for item in vectors]

                sizes = []
                for _ in range(6):
                    work = [leave(index) if index % 4 == 1 else stay(index) for index in range(24)]
                    await asyncio.gather(*work, *(embed() for _ in range(6)))
                    sizes.append(resident_bytes(other.process))
                return sizes

        sizes = asyncio.run(run())
        # Threads of connections come and go in the first rounds; after them nothing grows.
        assert sizes[-1] - sizes[2] < 8 << 20, sizes
        deadline = time.monotonic() + 30
        while other.metric("vllm:num_requests_running") > 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert other.metric("vllm:kv_cache_usage_perc") == 0
        assert other.metric("vllm:spec_decode_num_accepted_tokens_total") > 0
        assert other.stop() == 0
