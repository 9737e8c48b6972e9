"""The official Python client against a running server."""

import asyncio
import json
import math

import openai
import pytest

from conftest import DEMO, serving

EXPECTED = json.loads((DEMO / "expected.json").read_text())
GREEDY = EXPECTED["greedy"][0]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as instance:
        yield instance


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def test_models_are_listed_and_retrieved(client, model):
    assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_a_completion_is_the_greedy_reference(client, model):
    answer = client.completions.create(
        model=model, prompt=GREEDY["prompt"], max_tokens=64, temperature=0,
        extra_body={"ignore_eos": True, "return_token_ids": True},
    )
    assert answer.choices[0].token_ids == GREEDY["tokens"]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 64
    assert answer.usage.prompt_tokens == len(GREEDY["input_ids"])


def test_token_ids_as_a_prompt_give_the_same_text(client, model):
    by_text = client.completions.create(model=model, prompt=GREEDY["prompt"], max_tokens=20, temperature=0)
    by_ids = client.completions.create(model=model, prompt=GREEDY["input_ids"], max_tokens=20, temperature=0)
    assert by_text.choices[0].text == by_ids.choices[0].text


def test_streaming_equals_not_streaming(client, model):
    parameters = dict(model=model, prompt="Once upon a time", max_tokens=48, temperature=0.8, seed=7)
    whole = client.completions.create(**parameters)
    chunks = list(client.completions.create(**parameters, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_several_prompts_and_choices_keep_their_order(client, model):
    answer = client.completions.create(
        model=model, prompt=["The boy", "The old man"], n=2, max_tokens=8, temperature=1, seed=3
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_echo_and_logprobs_are_what_an_evaluation_harness_reads(client, model):
    answer = client.completions.create(
        model=model, prompt=GREEDY["input_ids"], max_tokens=1, temperature=0, echo=True, logprobs=1
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
    assert len(logprobs.tokens) == len(GREEDY["input_ids"]) + 1
    assert logprobs.token_logprobs[-1] == max(logprobs.top_logprobs[-1].values())
    assert all(value <= 0 for value in logprobs.token_logprobs[1:])


def test_chat_streams_and_counts(client, model):
    messages = EXPECTED["chat"]["messages"]
    whole = client.chat.completions.create(model=model, messages=messages, temperature=0, max_completion_tokens=64)
    assert whole.usage.prompt_tokens == len(EXPECTED["chat"]["input_ids"])
    chunks = list(
        client.chat.completions.create(
            model=model, messages=messages, temperature=0, max_completion_tokens=64, stream=True
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_chat_logprobs_have_alternatives_and_bytes(client, model):
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], temperature=0, max_completion_tokens=4,
        logprobs=True, top_logprobs=3,
    )
    for entry in answer.choices[0].logprobs.content:
        assert len(entry.top_logprobs) == 3
        assert math.isclose(entry.logprob, entry.top_logprobs[0].logprob)
        assert entry.bytes is not None


def test_a_stop_string_ends_the_text_before_it(client, model):
    free = client.completions.create(model=model, prompt="The boy", max_tokens=40, temperature=0).choices[0].text
    stop = free[10:14]
    answer = client.completions.create(model=model, prompt="The boy", max_tokens=40, temperature=0, stop=[stop])
    assert answer.choices[0].text == free[: free.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_a_seed_gives_the_same_text_alone_and_among_others(server, model):
    async def run():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0) as client:
            def request(seed):
                return client.completions.create(
                    model=model, prompt="It was a dark night", max_tokens=24, temperature=1.0, seed=seed
                )
            alone = await request(11)
            together = await asyncio.gather(*(request(11 if i == 20 else 100 + i) for i in range(64)))
            assert together[20].choices[0].text == alone.choices[0].text
            assert len({answer.choices[0].text for answer in together}) > 32
    asyncio.run(run())


@pytest.mark.parametrize(
    "parameters, word",
    [
        (dict(prompt="x", temperature=-1), "temperature"),
        (dict(prompt="x", top_p=0), "top_p"),
        (dict(prompt="x", max_tokens=-1), "max_tokens"),
        (dict(prompt="x", n=0), "n"),
        (dict(prompt=[10**9]), "prompt"),
        (dict(prompt="x", logprobs=10**6), "logprobs"),
        (dict(prompt="x " * 5000), "maximum context length"),
        (dict(prompt="x", suffix="y"), "suffix"),
    ],
)
def test_bad_requests_are_explained(client, model, parameters, word):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, **parameters)
    assert word in caught.value.message


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobody", prompt="x")


def test_an_api_key_guards_every_route_but_health():
    with serving("--api-key", "secret") as guarded:
        assert guarded.get("/health") == ""
        with openai.OpenAI(base_url=guarded.url + "/v1", api_key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError):
                stranger.models.list()
        with openai.OpenAI(base_url=guarded.url + "/v1", api_key="secret", max_retries=0) as friend:
            assert friend.models.list().data
