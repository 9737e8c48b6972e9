"""LangChain's OpenAI models."""

import asyncio

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAI

from conftest import EXPECTED

CHAT = EXPECTED["chat"]
CHAT_TEXT = CHAT["text"].removesuffix("<|im_end|>")
QUESTION = CHAT["messages"][0]["content"]
GREEDY = EXPECTED["greedy"][0]


@pytest.fixture(scope="module")
def chat(server):
    return ChatOpenAI(
        base_url=server.url + "/v1", api_key="unused", model="demo", temperature=0, max_tokens=64, max_retries=0)


def test_invoke_is_the_greedy_reference(chat):
    answer = chat.invoke(QUESTION)
    assert answer.content == CHAT_TEXT
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] == len(CHAT["input_ids"])
    assert answer.usage_metadata["output_tokens"] == len(CHAT["greedy_tokens_until_eos"])


def test_stream_adds_up_to_the_whole(chat):
    whole = None
    for chunk in chat.stream(QUESTION, stream_usage=True):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == CHAT_TEXT
    assert whole.usage_metadata["output_tokens"] == len(CHAT["greedy_tokens_until_eos"])


def test_batches_and_asynchronous_calls_keep_their_order(chat):
    questions = [QUESTION, "Who are you?", QUESTION, "Where do you live?"]
    alone = [chat.invoke(question).content for question in questions]
    assert [answer.content for answer in chat.batch(questions)] == alone
    assert [answer.content for answer in asyncio.run(chat.abatch(questions))] == alone


def test_a_chain_renders_roles_as_the_template_does(chat, ask):
    chain = ChatPromptTemplate.from_messages([("system", "You are terse."), ("human", "{question}")]) | chat
    whole = ask(
        "/v1/chat/completions", temperature=0, max_tokens=64,
        messages=[{"role": "system", "content": "You are terse."}, {"role": "user", "content": QUESTION}])
    assert chain.invoke({"question": QUESTION}).content == whole["choices"][0]["message"]["content"]


def test_a_conversation_with_earlier_turns_is_accepted(chat):
    answer = chat.invoke([
        SystemMessage("You are terse."), HumanMessage("Hello"), AIMessage("Good day."),
        HumanMessage([{"type": "text", "text": QUESTION}])])
    assert answer.response_metadata["finish_reason"] in ("stop", "length")


def test_log_probabilities_arrive(chat):
    answer = chat.bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    tokens = answer.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens if token["token"] != "<|im_end|>") == CHAT_TEXT


def test_the_completion_model_is_the_greedy_reference(server):
    model = OpenAI(
        base_url=server.url + "/v1", api_key="unused", model="demo", temperature=0, max_tokens=64, max_retries=0,
        extra_body={"ignore_eos": True})
    assert model.invoke(GREEDY["prompt"]) == GREEDY["text"]
    assert "".join(model.stream(GREEDY["prompt"])) == GREEDY["text"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_has_the_schemas_form(chat, method):
    schema = {
        "title": "Answer", "description": "An answer.", "type": "object",
        "properties": {"name": {"enum": ["Dorothy", "Toto"]}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["name", "age"], "additionalProperties": False,
    }
    answer = chat.with_structured_output(schema, method=method).invoke(QUESTION)
    assert answer["name"] in ("Dorothy", "Toto") and 0 <= answer["age"] <= 99


def test_a_schema_that_cannot_be_kept_is_refused_not_ignored(chat):
    schema = {"title": "Answer", "type": "object", "properties": {"name": {"not": {"type": "string"}}}}
    with pytest.raises(openai.BadRequestError, match="not"):
        chat.with_structured_output(schema, method="json_schema").invoke(QUESTION)
