"""Clients that leave, stall or overdo it, and a server that is told to stop."""

import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import DEMO, gpuinfer, serving

DEADLINE_SECONDS = 60


def eventually(condition, what):
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS)


def raw_request(body, path="/v1/completions", headers=""):
    data = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n{headers}\r\n"
    ).encode() + data


ENDLESS = {"prompt": "The boy", "max_tokens": 900, "temperature": 1, "ignore_eos": True}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_request(server, stream):
    finished = server.metric("vllm:num_requests_running")
    assert finished == 0
    connection = connect(server)
    connection.sendall(raw_request({**ENDLESS, "stream": stream, "n": 1}))
    eventually(lambda: server.metric("vllm:num_requests_running") == 1, "the request never started")
    connection.close()
    eventually(lambda: server.metric("vllm:num_requests_running") == 0, "the request outlived its client")
    eventually(lambda: server.metric("vllm:kv_cache_usage_perc") == 0, "blocks were not given back")


def test_a_half_closed_socket_still_gets_its_answer(server):
    connection = connect(server)
    connection.sendall(raw_request({"prompt": "The boy", "max_tokens": 4, "temperature": 0}, headers="Connection: close\r\n"))
    connection.shutdown(socket.SHUT_WR)
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    assert data == b"" or b" 200 OK" in data.split(b"\r\n", 1)[0]
    assert json.loads(server.get("/v1/models"))["data"]


def test_a_body_of_a_hundred_megabytes_is_refused_early(server):
    connection = connect(server)
    connection.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n"
    )
    block = b"[" * 65536
    answer = b""
    try:
        for _ in range(1600):
            connection.sendall(block)
    except OSError:
        pass
    try:
        answer = connection.recv(65536)
    except OSError:
        pass
    connection.close()
    assert answer == b"" or b" 413 " in answer.split(b"\r\n", 1)[0]
    assert json.loads(server.get("/v1/models"))["data"]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b'{"prompt": 1e400}', b"null", b"", b'{"prompt": "\\ud800"}'])
def test_malformed_bodies_are_client_errors(server, body):
    request = urllib.request.Request(
        server.url + "/v1/completions", data=body, headers={"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]["message"]


def test_a_flood_is_turned_away_and_the_rest_is_served():
    with serving("--max-queued-requests", 8, "--max-num-seqs", 2) as small:
        codes = []

        def one():
            request = urllib.request.Request(
                small.url + "/v1/completions",
                data=json.dumps({**ENDLESS, "max_tokens": 60}).encode(),
                headers={"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
                    codes.append(response.status)
            except urllib.error.HTTPError as error:
                assert error.code != 429 or int(error.headers["Retry-After"]) >= 1
                codes.append(error.code)

        threads = [threading.Thread(target=one) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(codes) <= {200, 429} and codes.count(200) >= 2, codes
        eventually(lambda: small.metric("vllm:num_requests_running") == 0, "requests were left behind")
        assert small.stop() == 0


def test_a_thousand_streams_are_held_at_once():
    with serving("--max-num-seqs", 1024, "--max-queued-requests", 2000, "--kv-cache-memory-bytes", "512M") as wide:
        connections = [connect(wide) for _ in range(1000)]
        request = raw_request({"prompt": "The boy", "max_tokens": 4, "temperature": 0, "stream": True},
                              headers="Connection: close\r\n")
        for connection in connections:
            connection.sendall(request)
        texts = set()
        for connection in connections:
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
            assert b"data: [DONE]" in data
            texts.add("".join(
                json.loads(line[6:])["choices"][0]["text"]
                for line in data.replace(b"\r\n", b"\n").split(b"\n")
                if line.startswith(b"data: {")
            ))
        assert len(texts) == 1
        eventually(lambda: wide.metric("vllm:kv_cache_usage_perc") == 0, "blocks were not given back")


def test_sigterm_finishes_what_runs_and_takes_nothing_new():
    with serving() as draining:
        connection = connect(draining)
        connection.sendall(raw_request({**ENDLESS, "max_tokens": 300, "stream": True}, headers="Connection: close\r\n"))
        first = connection.recv(65536)
        assert b"200 OK" in first
        draining.process.send_signal(signal.SIGTERM)
        data = first
        while chunk := connection.recv(65536):
            data += chunk
        assert b"data: [DONE]" in data
        assert draining.process.wait(DEADLINE_SECONDS) == 0


def batch_lines(count):
    return [
        {"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions",
         "body": {"prompt": f"Chapter {i}", "max_tokens": 24, "temperature": 0.8, "seed": i, "ignore_eos": True}}
        for i in range(count)
    ]


def results(path):
    return {entry["custom_id"]: entry for entry in map(json.loads, path.read_text().splitlines())}


def test_a_killed_batch_resumes_without_losing_or_repeating_a_line(tmp_path):
    import subprocess

    from conftest import BINARY

    lines = batch_lines(120)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    gpuinfer("batch", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "whole.jsonl", check=0)
    output = tmp_path / "out.jsonl"
    command = [BINARY, "batch", "--input", str(tmp_path / "in.jsonl"), "--output", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    eventually(lambda: output.exists() and output.read_text().count("\n") >= 10, "no line was written")
    process.kill()
    process.wait()
    with output.open("ab") as torn:
        torn.write(b'{"id":"half a li')
    gpuinfer("batch", "--input", tmp_path / "in.jsonl", "--output", output, check=0)
    written = output.read_text().splitlines()
    assert len(written) == len(lines)
    whole, resumed = results(tmp_path / "whole.jsonl"), results(output)
    assert set(resumed) == {line["custom_id"] for line in lines}
    for name in whole:
        assert (
            whole[name]["response"]["body"]["choices"][0]["text"]
            == resumed[name]["response"]["body"]["choices"][0]["text"]
        )


def test_batch_shards_divide_the_lines_and_bad_lines_get_an_error(tmp_path):
    lines = [json.dumps(line) for line in batch_lines(9)]
    lines[4] = "this is not json"
    lines[6] = json.dumps({"custom_id": "bad-url", "method": "POST", "url": "/v1/none", "body": {}})
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    total, failed = 0, 0
    for shard in range(3):
        output = tmp_path / f"out{shard}.jsonl"
        gpuinfer("batch", "--input", tmp_path / "in.jsonl", "--output", output, "--shard", f"{shard}/3", check=0)
        entries = [json.loads(line) for line in output.read_text().splitlines()]
        total += len(entries)
        failed += sum(1 for entry in entries if entry["error"] is not None)
    assert (total, failed) == (9, 2)
