"""Drives the built binary from outside, as a user's shell and clients do.

GPUINFER names the binary; Scripts/test sets it.
"""

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import threading
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
DEMO = FIXTURES / "demo"
BINARY = os.environ.get("GPUINFER", str(ROOT / ".build" / "release" / "gpuinfer"))
STARTUP_SECONDS = 60
COMMAND_SECONDS = 240


def gpuinfer(*arguments, stdin=None, check=None, env=None):
    """Runs one command to its end; `check` is the exit code it must have."""
    result = subprocess.run(
        [BINARY, *map(str, arguments)],
        input=stdin if isinstance(stdin, bytes) else (stdin or "").encode(),
        capture_output=True,
        timeout=COMMAND_SECONDS,
        env={**os.environ, **(env or {})},
    )
    if check is not None:
        assert result.returncode == check, (
            f"{arguments}: exit {result.returncode}, expected {check}\n{result.stderr.decode(errors='replace')}"
        )
    return result


class Server:
    """A `gpuinfer serve` on a free port, and what it logged."""

    def __init__(self, *arguments, model=None):
        self.log = []
        self._ready = queue.Queue()
        command = [BINARY, "serve", *([str(model)] if model else []), "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self._ready.get(timeout=STARTUP_SECONDS)
        assert self.url, "the server ended before it was ready:\n" + "".join(self.log)

    def _read(self):
        for line in self.process.stderr:
            text = line.decode(errors="replace")
            self.log.append(text)
            if "listening on http://" in text:
                self._ready.put("http://" + text.split("http://", 1)[1].split()[0].rstrip("/"))
        self._ready.put(None)

    def get(self, path, headers=None):
        request = urllib.request.Request(self.url + path, headers=headers or {})
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read().decode()

    def metric(self, name):
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + "{") or line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def stop(self, how=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout)


@contextlib.contextmanager
def serving(*arguments, model=None):
    server = Server(*arguments, model=model)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    state = tmp_path_factory.mktemp("server") / "state"
    with serving("--generation-config", "vllm", "--state-dir", state) as instance:
        yield instance
        assert instance.stop() == 0, "".join(instance.log)
