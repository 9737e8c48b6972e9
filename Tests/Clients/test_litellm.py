"""LiteLLM, through its provider for self-hosted servers (`hosted_vllm`)."""

import asyncio

import litellm
import pytest

from conftest import EXPECTED, serving

MODEL = "hosted_vllm/demo"
CHAT = EXPECTED["chat"]
CHAT_TEXT = CHAT["text"].removesuffix("<|im_end|>")
GREEDY = EXPECTED["greedy"][0]


@pytest.fixture(scope="module")
def target(server):
    return {"api_base": server.url + "/v1", "api_key": "unused", "num_retries": 0}


def test_a_chat_is_the_greedy_reference(target):
    answer = litellm.completion(MODEL, CHAT["messages"], temperature=0, max_tokens=64, **target)
    assert answer.choices[0].message.content == CHAT_TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == len(CHAT["input_ids"])
    assert answer.usage.completion_tokens == len(CHAT["greedy_tokens_until_eos"])


def test_a_chat_stream_ends_with_its_usage(target):
    chunks = list(litellm.completion(
        MODEL, CHAT["messages"], temperature=0, max_tokens=64, stream=True,
        stream_options={"include_usage": True}, **target))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == CHAT_TEXT
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == len(CHAT["greedy_tokens_until_eos"])


def test_asynchronous_chats_are_answered_together(target):
    async def ask_all():
        return await asyncio.gather(*(
            litellm.acompletion(MODEL, CHAT["messages"], temperature=0, max_tokens=64, **target) for _ in range(8)))

    assert {answer.choices[0].message.content for answer in asyncio.run(ask_all())} == {CHAT_TEXT}


def test_log_probabilities_of_a_chat_cover_every_token(target):
    answer = litellm.completion(
        MODEL, CHAT["messages"], temperature=0, max_tokens=5, logprobs=True, top_logprobs=3, **target)
    content = answer.choices[0].logprobs.content
    assert [len(token.top_logprobs) for token in content] == [3] * 5
    assert all(token.logprob == token.top_logprobs[0].logprob for token in content)


def test_a_text_completion_is_the_greedy_reference(target):
    answer = litellm.text_completion(
        model=MODEL, prompt=GREEDY["prompt"], temperature=0, max_tokens=64, extra_body={"ignore_eos": True}, **target)
    assert answer.choices[0].text == GREEDY["text"]
    assert answer.choices[0].finish_reason == "length"


def test_a_text_completion_streams_the_same_text(target):
    chunks = litellm.text_completion(
        model=MODEL, prompt=GREEDY["prompt"], temperature=0, max_tokens=64, stream=True,
        extra_body={"ignore_eos": True}, **target)
    assert "".join(chunk.choices[0].text or "" for chunk in chunks if chunk.choices) == GREEDY["text"]


@pytest.mark.parametrize(
    "change, error",
    [
        ({"model": "hosted_vllm/no-such-model"}, litellm.NotFoundError),
        ({"temperature": 5}, litellm.BadRequestError),
        ({"messages": []}, litellm.BadRequestError),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, litellm.ContextWindowExceededError),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}},
         litellm.BadRequestError),
    ],
    ids=["unknown model", "out of range", "no messages", "too long", "no such type"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals_become_the_right_exception(target, change, error, stream):
    request = {"model": MODEL, "messages": CHAT["messages"], "max_tokens": 4, "stream": stream, **target, **change}
    with pytest.raises(error):
        answer = litellm.completion(**request)
        if stream:
            list(answer)


def test_a_wrong_key_becomes_an_authentication_error():
    with serving("--api-key", "right") as server:
        request = {"model": MODEL, "messages": CHAT["messages"], "max_tokens": 2, "api_base": server.url + "/v1"}
        assert litellm.completion(**request, api_key="right").choices
        with pytest.raises(litellm.AuthenticationError):
            litellm.completion(**request, api_key="wrong", num_retries=0)
