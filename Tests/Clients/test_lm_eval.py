"""The language model evaluation harness, with the server's own tokenizer, on two tasks made here.

Every number it reports is computed a second way: `gpuinfer score` writes logits in one process without a server,
and numpy turns them into log-probabilities.
"""

import json
import math
import re

import lm_eval
import numpy
import pytest
import yaml
from lm_eval.tasks import TaskManager
from safetensors.numpy import load_file, save_file

from conftest import DEMO, gpuinfer

CONTEXT = 1024
# Sums of up to some hundred float32 log-probabilities, from logits that are the same bits on both ways.
TOLERANCE = 1e-3


def paragraphs():
    text = (DEMO / "valid.txt").read_text()
    return [" ".join(p.split()) for p in text.split("\n\n") if 200 < len(p) < 1200]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Two tasks: choose the word that really follows, and the perplexity of paragraphs."""
    folder = tmp_path_factory.mktemp("tasks")
    chosen = paragraphs()[:24]
    questions = []
    for index, paragraph in enumerate(chosen):
        words = paragraph.split()[:14]
        choices = [words[-1], *(chosen[(index + step) % len(chosen)].split()[5] for step in (1, 2, 3))]
        answer = index % len(choices)
        choices[0], choices[answer] = choices[answer], choices[0]
        questions.append({"question": " ".join(words[:-1]), "choices": choices, "answer": answer})
    # One longer than the context, so that it is cut into windows.
    texts = [{"text": paragraph} for paragraph in chosen[:8]] + [{"text": " ".join(paragraphs()[24:44])}]
    for name, rows in (("choice", questions), ("text", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def task(name, **fields):
        source = {
            "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
            "test_split": "test"}
        (folder / f"demo_{name}.yaml").write_text(yaml.safe_dump({"task": f"demo_{name}", **source, **fields}))

    task(
        "choice", output_type="multiple_choice", doc_to_text="{{question}}", doc_to_choice="{{choices}}",
        doc_to_target="{{answer}}", metric_list=[{"metric": "acc"}])
    task(
        "text", output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}",
        metric_list=[{"metric": "word_perplexity"}, {"metric": "byte_perplexity"}])
    return folder, questions, texts


@pytest.fixture(scope="module")
def results(server, documents):
    """Prompts go to the server as ids. (As text they would get a begin-of-text token each, which the harness does
    not count.)"""
    folder, *_ = documents
    return lm_eval.simple_evaluate(
        model="local-completions",
        model_args={
            "model": "demo", "base_url": server.url + "/v1/completions", "num_concurrent": 4, "max_retries": 1,
            "max_length": CONTEXT, "tokenizer_backend": "remote", "tokenized_requests": True},
        tasks=["demo_choice", "demo_text"], task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0, log_samples=True)


@pytest.fixture(scope="module")
def tokenize():
    def ids(texts):
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        result = gpuinfer("tokenize", "--no-special", stdin=lines, check=0)
        return [json.loads(line) for line in result.stdout.splitlines()]

    return ids


@pytest.fixture(scope="module")
def log_probabilities(tmp_path_factory):
    """Rows of ids to rows of log p(id | the ids before it), without a server."""

    def scored(rows):
        folder = tmp_path_factory.mktemp("score")
        names = {f"row{index}": numpy.array(row, numpy.int64) for index, row in enumerate(rows)}
        save_file(names, folder / "ids.safetensors")
        gpuinfer("score", "--input-ids", folder / "ids.safetensors", "--output", folder / "out.safetensors", check=0)
        logits = load_file(folder / "out.safetensors")
        answer = []
        for name, ids in names.items():
            rows64 = logits[name][:-1].astype(numpy.float64)
            top = rows64.max(axis=1, keepdims=True)
            normal = top[:, 0] + numpy.log(numpy.exp(rows64 - top).sum(axis=1))
            answer.append(rows64[numpy.arange(len(ids) - 1), ids[1:]] - normal)
        return answer

    return scored


def test_choices_have_the_likelihood_of_their_tokens(results, documents, tokenize, log_probabilities):
    _, questions, _ = documents
    samples = sorted(results["samples"]["demo_choice"], key=lambda sample: sample["doc_id"])
    assert len(samples) == len(questions)
    contexts = tokenize([question["question"] for question in questions])
    wholes = tokenize([f"{q['question']} {choice}" for q in questions for choice in q["choices"]])
    scores = log_probabilities(wholes)
    right = 0
    for index, (question, sample) in enumerate(zip(questions, samples)):
        expected = []
        for choice in range(4):
            whole, score = wholes[4 * index + choice], scores[4 * index + choice]
            assert whole[: len(contexts[index])] == contexts[index], "the words are separate tokens"
            expected.append(score[len(contexts[index]) - 1 :].sum())
        found = [float(response[0][0]) for response in sample["resps"]]
        assert found == pytest.approx(expected, abs=TOLERANCE)
        right += int(numpy.argmax(expected)) == question["answer"]
    assert results["results"]["demo_choice"]["acc,none"] == pytest.approx(right / len(questions))
    assert right / len(questions) > 0.5, "the model knows these words better than chance (0.25)"


def test_the_perplexity_of_paragraphs_is_the_independent_one(results, documents, tokenize, log_probabilities):
    _, _, texts = documents
    end = tokenize(["<|end_of_text|>"])[0][0]
    # The harness starts a text with the end-of-text token; each token is predicted once, and every window after
    # the first sees the most that fits before what it predicts. It keeps one place of the context for the token
    # that is generated, and one for the start.
    length = CONTEXT - 2
    rows, counted = [], []
    for text, ids in zip(texts, tokenize([text["text"] for text in texts])):
        first = min(length, len(ids))
        windows = [([end, *ids[:first]], first)]
        done = first
        while done < len(ids):
            count = min(length, len(ids) - done)
            stop = done + count
            windows.append((ids[max(0, stop - length - 1) : stop], count))
            done = stop
        rows += [row for row, _ in windows]
        counted.append([count for _, count in windows])
    scores = iter(log_probabilities(rows))
    expected = [sum(next(scores)[-count:].sum() for count in counts) for counts in counted]
    assert len(counted[-1]) > 1, "the last text has more than one window"

    samples = sorted(results["samples"]["demo_text"], key=lambda sample: sample["doc_id"])
    found = [float(sample["resps"][0][0]) for sample in samples]
    assert found == pytest.approx(expected, rel=1e-5, abs=TOLERANCE)
    size = sum(len(text["text"].encode()) for text in texts)
    words = sum(len(re.split(r"\s+", text["text"])) for text in texts)
    reported = results["results"]["demo_text"]
    assert reported["byte_perplexity,none"] == pytest.approx(math.exp(-sum(expected) / size), rel=1e-5)
    assert reported["word_perplexity,none"] == pytest.approx(math.exp(-sum(expected) / words), rel=1e-4)


def test_a_request_scores_what_it_generates(results, ask):
    """The harness adds one token to what it scores; with echo the answer has both, and position 0 has neither."""
    answer = ask("/v1/completions", prompt=[0, 453, 1096], max_tokens=1, echo=True, logprobs=1, temperature=0)
    logprobs = answer["choices"][0]["logprobs"]
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert len(logprobs["tokens"]) == 4
