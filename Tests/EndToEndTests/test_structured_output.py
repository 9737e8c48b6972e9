"""Outputs that have to be something: checked by readers of JSON and of schemas that are not ours."""

import concurrent.futures
import json
import random
import re
import typing

import jsonschema
import openai
import pydantic
import pytest

from conftest import serving

SCHEMAS = 500
CLIENTS = 24


@pytest.fixture(scope="module")
def tool_server():
    with serving("--generation-config", "vllm", "--enable-auto-tool-choice", "--tool-call-parser", "hermes") as instance:
        yield instance
        assert instance.stop() == 0, "".join(instance.log)


@pytest.fixture(scope="module")
def client(tool_server):
    with openai.OpenAI(base_url=tool_server.url + "/v1", api_key="unused", max_retries=0) as instance:
        yield instance


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def random_schema(generator, depth=2):
    """A schema whose values are short enough for the demo model's context, of every kind of keyword."""
    kind = generator.randrange(16 if depth else 9)
    if kind == 0:
        low = generator.randrange(4)
        return {"type": "string", "minLength": low, "maxLength": low + generator.randrange(8)}
    if kind == 1:
        low = generator.randrange(-10**6, 10**6)
        return {"type": "integer", "minimum": low, "maximum": low + generator.randrange(10**5)}
    if kind == 2:
        low = round(generator.uniform(-100, 100), generator.randrange(4))
        return {"type": "number", "exclusiveMinimum": low, "maximum": low + generator.choice([0.5, 3, 1000])}
    if kind == 3:
        return {"enum": [None, True, 1.5, "a\"\\é\n", "日本", {"k": [1, "x"]}, [], -7]}
    if kind == 4:
        return {"type": ["boolean", "null"]}
    if kind == 5:
        return {"type": "string", "pattern": generator.choice(
            [r"^[a-z]{2,5}\d?$", r"^(\+|-)?[0-9]{1,4}(\.[0-9]{2})?$", r"^[^a-z]{0,4}$", r'^"\\[ab]{1,3}"$'])}
    if kind == 6:
        return {"type": "string", "format": generator.choice(["date", "time", "date-time", "uuid", "ipv4", "email"])}
    if kind == 7:
        return {"type": "integer", "multipleOf": generator.randrange(2, 30), "minimum": 0, "maximum": 500}
    if kind == 8:
        return {"const": generator.choice([0, "é", {"a": {}}, [None]])}
    if kind in (9, 10):
        low = generator.randrange(3)
        return {"type": "array", "items": random_schema(generator, depth - 1), "minItems": low,
                "maxItems": low + generator.randrange(3)}
    if kind == 11:
        return {"type": "array", "prefixItems": [random_schema(generator, depth - 1) for _ in range(2)], "items": False}
    if kind == 12:
        return {"anyOf": [random_schema(generator, depth - 1) for _ in range(2)]}
    if kind == 13:
        return {"oneOf": [
            {"type": "object", "properties": {"kind": {"const": name}, "value": random_schema(generator, depth - 1)},
             "required": ["kind", "value"], "additionalProperties": False}
            for name in ("first", "second")]}
    names = ["id", "name", "value", "größe", "a b", "quote\""][: generator.randrange(1, 3 + depth)]
    schema = {
        "type": "object",
        "properties": {name: random_schema(generator, depth - 1) for name in names},
        "required": [name for name in names if generator.random() < 0.6],
    }
    if kind == 14:
        schema["allOf"] = [{"properties": {"id": random_schema(generator, 0)}, "required": names[:1]}]
        if schema["properties"].get("id") is not None:
            schema["properties"]["id"] = True
    if kind == 15:
        schema["minProperties"] = len(schema["required"])
        schema["maxProperties"] = max(1, len(names) - 1, len(schema["required"]))
    return schema


def test_every_output_of_random_schemas_satisfies_its_schema(client, model):
    generator = random.Random(20261125)
    cut = []
    jobs = [(number, random_schema(generator)) for number in range(SCHEMAS)]

    def ask(job):
        number, schema = job
        # The name is part of the prompt, so that prompts differ.
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": f"Number {number}"}], seed=number,
            temperature=[1.5, 0, 0.7, 1.5][number % 4], max_completion_tokens=700,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}},
        )
        choice = answer.choices[0]
        if choice.finish_reason == "length":
            cut.append(number)
            return None
        try:
            jsonschema.validate(json.loads(choice.message.content), schema, cls=jsonschema.Draft202012Validator)
        except (ValueError, jsonschema.ValidationError) as error:
            return f"{schema}: {choice.message.content}: {error}"
        return None

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        failures = [failure for failure in pool.map(ask, jobs) if failure]
    # Outputs that the context had no room for are no JSON yet; few are so long.
    assert len(cut) <= SCHEMAS // 50, cut
    assert not failures, f"{len(failures)} of {SCHEMAS}:\n" + "\n".join(failures[:10])


def test_any_json_object_parses(client, model):
    for seed in range(5):
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Go on"}], temperature=1, seed=seed,
            max_completion_tokens=600, response_format={"type": "json_object"},
        )
        if answer.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(answer.choices[0].message.content), dict)
        else:
            assert answer.choices[0].message.content.startswith("{")


def test_regex_choice_and_grammar(client, model):
    def complete(finish_reasons={"stop"}, **structure):
        answer = client.completions.create(
            model=model, prompt="The answer is", max_tokens=64, temperature=1.2, n=3, seed=5,
            extra_body={"structured_outputs": structure},
        )
        assert {choice.finish_reason for choice in answer.choices} <= finish_reasons
        return [(choice.text, choice.finish_reason) for choice in answer.choices]

    pattern = r"(\d{3}-){1,2}[a-f]{2,4}é?"
    assert all(re.fullmatch(pattern, text) for text, _ in complete(regex=pattern))
    assert {text for text, _ in complete(choice=["yes", "no", "not yet"])} <= {"yes", "no", "not yet"}
    # It may go deeper than max_tokens reach.
    nested = complete({"stop", "length"}, grammar='root ::= "(" [0-9]{1,2} (" + " root)? ")"')
    for text, reason in nested:
        assert re.fullmatch(r"(\([0-9]{1,2} \+ )*(\([0-9]{0,2}\)*)?( \+?)?", text), text
        assert reason == "length" or text.count("(") == text.count(")")


def test_what_cannot_be_kept_is_refused_by_place(client, model):
    for structure, place in [
        ({"json": {"properties": {"a": {"type": "array", "uniqueItems": True}}}}, "#/properties/a/uniqueItems"),
        ({"json": {"type": "integer", "minimum": 3, "maximum": 1}}, "nothing can satisfy"),
        ({"regex": "(a{1,999}){1,999}{1,999}"}, "regex"), ({"regex": "(a"}, "byte 2"),
        ({"grammar": "root ::= root"}, "nothing can satisfy"),
        ({"grammar": 'root ::= root "a" | "b"'}, "left recursion"), ({"choice": []}, "at least 1"),
    ]:
        with pytest.raises(openai.BadRequestError) as error:
            client.completions.create(model=model, prompt="a", extra_body={"structured_outputs": structure})
        assert place in str(error.value)


class Step(pydantic.BaseModel):
    explanation: typing.Annotated[str, pydantic.Field(max_length=30)]
    result: typing.Literal["good", "bad"]


class Answer(pydantic.BaseModel):
    steps: typing.Annotated[list[Step], pydantic.Field(max_length=2)]
    score: typing.Annotated[int, pydantic.Field(ge=0, le=100)]
    note: typing.Optional[typing.Annotated[str, pydantic.Field(max_length=10)]]


def test_the_client_parses_into_its_own_types(client, model):
    parse = getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse
    for seed in range(5):
        answer = parse(
            model=model, messages=[{"role": "user", "content": "Solve it"}], temperature=1.5, seed=seed,
            response_format=Answer, max_completion_tokens=600,
        )
        assert 0 <= answer.choices[0].message.parsed.score <= 100


TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": {
        "type": "object", "required": ["city"], "additionalProperties": False,
        "$defs": {"unit": {"enum": ["C", "F"]}},
        "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"$ref": "#/$defs/unit"}}}}},
    {"type": "function", "function": {"name": "clock"}},
]


def ask_tools(client, model, choice, **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "What is it?"}], tools=TOOLS, tool_choice=choice,
        temperature=1.3, max_completion_tokens=600, **more,
    )


def check_call(function):
    parameters = next(tool["function"] for tool in TOOLS if tool["function"]["name"] == function.name).get("parameters", {})
    jsonschema.validate(json.loads(function.arguments), parameters, cls=jsonschema.Draft202012Validator)


def joined(chunks):
    """What a client makes of a stream: content, calls and the last finish_reason."""
    content, calls, reason = "", [], None
    for chunk in chunks:
        if not chunk.choices:
            continue
        reason = chunk.choices[0].finish_reason or reason
        delta = chunk.choices[0].delta
        content += delta.content or ""
        for call in delta.tool_calls or []:
            if call.index == len(calls):
                assert call.id and call.type == "function"
                calls.append([call.function.name, ""])
            calls[call.index][1] += call.function.arguments or ""
    return content, calls, reason


def test_required_calls_are_calls_of_the_tools(client, model):
    for seed in range(6):
        answer = ask_tools(client, model, "required", parallel_tool_calls=False, seed=seed)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert len(answer.choices[0].message.tool_calls) == 1 and not answer.choices[0].message.content
        check_call(answer.choices[0].message.tool_calls[0].function)
        content, calls, reason = joined(
            ask_tools(client, model, "required", parallel_tool_calls=False, seed=seed, stream=True))
        whole = [[call.function.name, call.function.arguments] for call in answer.choices[0].message.tool_calls]
        assert (content, calls, reason) == ("", whole, "tool_calls")


def test_a_named_function_is_called(client, model):
    choice = {"type": "function", "function": {"name": "weather"}}
    answer = ask_tools(client, model, choice, seed=1)
    assert answer.choices[0].finish_reason == "stop"
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["weather"]
    check_call(answer.choices[0].message.tool_calls[0].function)
    _, calls, reason = joined(ask_tools(client, model, choice, seed=1, stream=True))
    assert calls == [["weather", answer.choices[0].message.tool_calls[0].function.arguments]] and reason == "stop"


def test_calls_in_text_are_found_whole_and_streamed(client, model):
    text = 'Look: <tool_call>\n{"name": "weather", "arguments": {"city": "Köln", "unit": "C"}}\n</tool_call>\n' \
        '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    more = {"extra_body": {"structured_outputs": {"choice": [text]}}}
    answer = ask_tools(client, model, "auto", **more)
    message = answer.choices[0].message
    calls = [[call.function.name, call.function.arguments] for call in message.tool_calls]
    assert calls == [["weather", '{"city": "Köln", "unit": "C"}'], ["clock", "{}"]]
    assert message.content == "Look: " and answer.choices[0].finish_reason == "tool_calls"
    assert joined(ask_tools(client, model, "auto", stream=True, **more)) == ("Look: ", calls, "tool_calls")
    plain = ask_tools(client, model, "auto", extra_body={"structured_outputs": {"choice": ["No <tool is needed."]}})
    assert plain.choices[0].message.content == "No <tool is needed." and not plain.choices[0].message.tool_calls
    assert plain.choices[0].finish_reason == "stop"


def test_auto_needs_its_flags(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as other:
        with pytest.raises(openai.BadRequestError, match="enable-auto-tool-choice"):
            ask_tools(other, other.models.list().data[0].id, "auto")
