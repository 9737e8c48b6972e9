"""Jinja as Hugging Face sets it up, with the values that the golden templates are rendered with (templates.py).

The environment is that of transformers' `apply_chat_template`: an immutable sandbox with `trim_blocks` and
`lstrip_blocks`, loop controls, the `generation` tag, `tojson` without HTML escapes, `raise_exception` and
`strftime_now` (here at a fixed time).
"""
import copy
import json
from datetime import datetime

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime(2024, 7, 6, 5, 4, 3)


class Raised(Exception):
    pass


class GenerationTag(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def make_environment():
    def raise_exception(message):
        raise Raised(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


ENVIRONMENT = make_environment()

CONTEXT = {
    "s": "Hello World", "empty": "", "padded": "  \n x y \t", "uni": "żółć ÉΣ 日本 😀", "quoted": "it's \"so\"",
    "lines": "one\ntwo\r\nthree\n", "html": "<a href='x'>&\"", "i": 7, "neg": -3, "zero": 0, "f": 2.5, "big": 1e20,
    "yes": True, "no": False, "nil": None, "list": [3, 1, 2], "words": ["b", "A", "c", "a", "B"], "nested": [[1, [2]], []],
    "mixed": [1, "1", None, True, 1.5], "d": {"b": 1, "a": 2, "items": 3}, "e": {}, "l0": [],
    "users": [
        {"name": "Zoe", "age": 30, "tags": ["x"], "address": {"city": "Rom"}},
        {"name": "adam", "age": 20, "tags": [], "address": {"city": "Ulm"}},
        {"name": "Bob", "age": 30, "admin": True},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <b>you</b> & \"me\""},
        {"role": "assistant", "content": "Yes?\n"},
        {"role": "user", "content": " ok "},
    ],
}


def category(error):
    if isinstance(error, Raised):
        return "raised:" + str(error)
    if isinstance(error, jinja2.sandbox.SecurityError):
        return "unsafe"
    if isinstance(error, jinja2.UndefinedError):
        return "undefined"
    if isinstance(error, ZeroDivisionError):
        return "zero"
    if isinstance(error, (jinja2.TemplateSyntaxError, SyntaxError)):
        return "syntax"
    return "other"


def run(template, context=CONTEXT):
    """The text, or {"error": category}."""
    try:
        # A copy, because one of Jinja's filters changes lists it is given.
        return ENVIRONMENT.from_string(template).render(**copy.deepcopy(context))
    except Exception as error:  # every failure of a template is a result here
        return {"error": category(error)}
