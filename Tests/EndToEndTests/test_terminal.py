"""gpuinfer on a terminal: the chat of `run`, and the progress of long work."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from conftest import BINARY, DEMO, gpuinfer

SECONDS = 60


class Terminal:
    """`gpuinfer run`, or another command, behind a pseudo-terminal."""

    def __init__(self, *arguments, command="run"):
        self.primary, secondary = pty.openpty()
        self.process = subprocess.Popen(
            [BINARY, command, *map(str, arguments)], stdin=secondary, stdout=secondary, stderr=secondary,
            start_new_session=True)
        os.close(secondary)
        self.text = ""

    def wait_for(self, words, after=0):
        """Reads until `words` have come behind position `after`; gives the position behind them."""
        deadline = time.monotonic() + SECONDS
        while words not in self.text[after:]:
            ready, _, _ = select.select([self.primary], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {words!r} in:\n{self.text[after:]}"
            self.text += os.read(self.primary, 65536).decode(errors="replace").replace("\r", "")
        return self.text.index(words, after) + len(words)

    def say(self, line):
        os.write(self.primary, line.encode() + b"\n")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)


@pytest.fixture
def terminal():
    opened = []

    def start(*arguments, **options):
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.primary)


def test_a_chat_ends_at_an_empty_line(terminal):
    chat = terminal("--max-tokens", 8)
    chat.wait_for("\n> ")
    chat.say("")
    assert chat.process.wait(SECONDS) == 0


def test_a_chat_longer_than_the_context_forgets_its_start(terminal):
    chat = terminal("--max-tokens", 200, "--ignore-eos", "--temperature", 0)
    place = chat.wait_for("\n> ")
    for turn in range(8):
        chat.say(f"Tell me of day {turn}.")
        place = chat.wait_for("\n> ", place)
    chat.say("")
    assert chat.process.wait(SECONDS) == 0


def test_a_question_too_long_is_refused_and_the_chat_goes_on(terminal):
    chat = terminal("--max-tokens", 8, "--max-model-len", 64)
    place = chat.wait_for("\n> ")
    chat.say("why " * 100)
    place = chat.wait_for("\n> ", chat.wait_for("ask something shorter", place))
    chat.say("Who?")
    chat.wait_for("\n> ", place)


def test_an_interrupt_between_answers_ends_the_chat(terminal):
    chat = terminal()
    chat.wait_for("\n> ")
    chat.interrupt()
    assert chat.process.wait(SECONDS) == 128 + signal.SIGINT


def test_an_interrupt_stops_an_answer_and_not_the_chat(terminal):
    question = "Tell me everything."
    settings = ["--max-tokens", 1000, "--ignore-eos", "--temperature", 0]
    whole = gpuinfer("run", "--chat", "--prompt", question, *settings, check=0).stdout.decode()
    # On a busy machine the answer may be over before the signal arrives, which then ends the chat: try again.
    for _ in range(5):
        chat = terminal(*settings)
        place = chat.wait_for("\n> ")
        chat.say(question)
        start = chat.wait_for("\n", place)
        chat.wait_for(" ", start)
        chat.interrupt()
        end = chat.wait_for("\n> ", start)
        shown = chat.text[start:end].removesuffix("\n> ")
        if len(shown) < len(whole.rstrip("\n")):
            break
    assert whole.startswith(shown) and len(shown) < len(whole.rstrip("\n"))
    chat.say("And now?")
    chat.wait_for("\n> ", chat.wait_for("\n", end))


def test_an_empty_input_is_no_prompt():
    assert "standard input is empty" in gpuinfer("run", stdin="", check=65).stderr.decode()


def test_compression_shows_its_progress_and_can_be_interrupted(terminal, tmp_path):
    arguments = [
        DEMO, "--method", "gptq", "--calibration", DEMO / "calibration.safetensors", "--no-evaluation", "--output",
        tmp_path / "out"]
    first = terminal(*arguments, command="compress")
    # Before a layer is done nobody knows what one takes.
    start = first.wait_for("compressing layer 0/6")
    first.wait_for(" s left", first.wait_for("\x1b[Kcompressing layer ", start))
    assert "compressing layer 0/6, " not in first.text
    first.interrupt()
    assert first.process.wait(SECONDS) == os.EX_TEMPFAIL
    again = terminal(*arguments, command="compress")
    again.wait_for("compressing layer 6/6, 0 s left")
    assert again.process.wait(SECONDS) == 0
