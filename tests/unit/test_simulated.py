"""The simulated providers over real sockets: both dialects, true times, every fault, and an end with its parent."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flows import workloads
from providers import simulated
from providers.simulated import Simulated, faults
from providers.simulated.world import models, read_questions

ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def world() -> Iterator[Simulated]:
    with simulated.running(seed=11, gold=workloads.gold_files()) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


def post(
    client: httpx.Client,
    world: Simulated,
    model: str,
    *,
    key: str = "sim-aurora",
    prompt: str = "Hello",
    timeout: float = 5,
    **more: Any,
) -> httpx.Response:
    spec = world.spec(key, fault=more.pop("fault", None))
    headers = {**spec.headers, "X-Request-ID": more.pop("request_id", "none"), **more.pop("headers", {})}
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True, "max_tokens": 200} | more
    return client.post(spec.base_url + spec.chat_path, json=body, headers=headers, timeout=timeout)


def events(response: httpx.Response) -> list[Any]:
    data = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in data]


def test_a_chat_stream_has_role_text_finish_usage_and_terminator(world: Simulated, client: httpx.Client) -> None:
    response = post(client, world, "aurora-mini", stream_options={"include_usage": True}, request_id="chat-1")
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *middle, last, usage, done = events(response)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(event["choices"][0]["delta"]["content"] for event in middle)
    assert text.endswith(".")
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == len(middle) == world.truth("chat-1")["tokens"]
    assert done == "[DONE]"


def test_chat_usage_comes_only_when_asked_for_but_together_always_meters(
    world: Simulated, client: httpx.Client
) -> None:
    assert not any("usage" in event for event in events(post(client, world, "aurora-mini"))[:-1])
    together = events(post(client, world, "borealis-large", key="sim-borealis"))
    assert together[-2]["usage"]["completion_tokens"] > 0


def test_a_messages_stream_has_blocks_that_open_and_close(world: Simulated, client: httpx.Client) -> None:
    response = post(client, world, "cascade-deep", key="sim-cascade", request_id="messages-1")
    kinds = [event["type"] for event in events(response)]
    assert kinds[:3] == ["message_start", "ping", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    deltas = [event["delta"]["type"] for event in events(response) if event["type"] == "content_block_delta"]
    assert deltas[:12] == ["thinking_delta"] * 12
    assert set(deltas[12:]) == {"text_delta"}
    usage = events(response)[-2]["usage"]
    assert usage["output_tokens"] == len(deltas)
    entry = world.truth("messages-1")
    assert entry["received_ns"] < entry["first_reasoning_ns"] < entry["first_token_ns"] < entry["last_token_ns"]


@pytest.mark.parametrize(("key", "model"), [("sim-aurora", "aurora-plus"), ("sim-cascade", "cascade-swift")])
def test_a_request_without_stream_gets_one_document(
    world: Simulated, client: httpx.Client, key: str, model: str
) -> None:
    answer = post(client, world, model, key=key, stream=False).json()
    text = answer["choices"][0]["message"]["content"] if key == "sim-aurora" else answer["content"][0]["text"]
    assert text.endswith(".")
    assert answer["model"] == model


def test_the_log_holds_the_true_times_on_the_clients_clock(world: Simulated, client: httpx.Client) -> None:
    before_ns = time.monotonic_ns()
    post(client, world, "aurora-mini", request_id="times-1")
    after_ns = time.monotonic_ns()
    entry = world.truth("times-1")
    assert (entry["provider"], entry["model"], entry["outcome"]) == ("sim-aurora", "aurora-mini", "ok")
    assert before_ns < entry["received_ns"] < entry["first_token_start_ns"] < entry["first_token_ns"]
    assert entry["first_token_ns"] < entry["last_token_ns"] < entry["end_ns"]
    assert entry["last_token_ns"] < after_ns
    true_ttft_ms = (entry["first_token_ns"] - entry["received_ns"]) / 1e6
    assert true_ttft_ms >= entry["intended_ttft_ms"]


def test_a_request_is_in_the_log_before_its_answer_begins(world: Simulated, client: httpx.Client) -> None:
    spec = world.spec("sim-aurora")
    body = {"model": "fault/stall_stream", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    url = spec.base_url + spec.chat_path
    with client.stream("POST", url, json=body, headers={"X-Request-ID": "early-1"}) as response:
        pieces = response.iter_raw()
        next(pieces)
        assert [entry["event"] for entry in world.log() if entry["request_id"] == "early-1"] == ["received"]
    assert world.truth("early-1")["outcome"] == "client_closed"


def test_gold_questions_are_answered_as_the_log_says(world: Simulated, client: httpx.Client) -> None:
    prompt, question = next(iter(read_questions(workloads.gold_files()).items()))
    for count in range(5):
        response = post(client, world, "aurora-plus", prompt=prompt, request_id=f"gold-{count}")
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events(response)[:-1])
        assert (question.expected_answer in text) == world.truth(f"gold-{count}")["correct"]


def test_two_servers_of_one_seed_answer_alike(client: httpx.Client) -> None:
    texts = []
    for _ in range(2):
        with simulated.running(seed=3) as world:
            texts.append([post(client, world, "aurora-mini").text.split("chatcmpl-")[-1] for _ in range(2)])
    assert texts[0] == texts[1]


def test_each_listing_has_its_providers_shape(world: Simulated, client: httpx.Client) -> None:
    answers = {row["key"]: client.get(row["base_url"] + "/models").json() for row in world.providers}
    assert [entry["pricing"]["prompt"] for entry in answers["sim-aurora"]["data"]] == [
        "0.0000001",
        "0.0000025",
        "0.0000008",
    ]
    assert [entry["pricing"]["input"] for entry in answers["sim-borealis"]] == [0.15, 3.0, 0]
    assert answers["sim-cascade"]["has_more"] is False
    listed = {
        entry["id"] for answer in answers.values() for entry in (answer if isinstance(answer, list) else answer["data"])
    }
    assert listed == set(models())


def test_an_anthropic_listing_comes_in_pages(world: Simulated, client: httpx.Client) -> None:
    url = world.spec("sim-cascade").base_url + "/models"
    first = client.get(url, params={"limit": 1}).json()
    second = client.get(url, params={"limit": 1, "after_id": first["last_id"]}).json()
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert [first["data"][0]["id"], second["data"][0]["id"]] == ["cascade-swift", "cascade-deep"]


@pytest.mark.parametrize("key", ["sim-aurora", "sim-cascade"])
@pytest.mark.parametrize("name", faults.REFUSALS)
def test_each_refusal_has_its_status_and_the_dialects_body(
    world: Simulated, client: httpx.Client, key: str, name: str
) -> None:
    response = post(client, world, f"fault/{name}", key=key, request_id=f"{key}-{name}")
    assert response.status_code == int(name.split("_")[1])
    assert response.json()["error"]["message"]
    assert ("type" in response.json()) == (key == "sim-cascade")
    assert world.truth(f"{key}-{name}")["outcome"] == name


@pytest.mark.parametrize("key", ["sim-aurora", "sim-cascade"])
@pytest.mark.parametrize("name", ["stall_headers", "stall_stream", "drip"])
def test_a_stall_outlives_the_readers_patience(world: Simulated, client: httpx.Client, key: str, name: str) -> None:
    with pytest.raises(httpx.TimeoutException):
        post(client, world, f"fault/{name}", key=key, timeout=0.04)


@pytest.mark.parametrize("name", ["cut_chunked", "reset_stream", "close_unanswered"])
def test_a_broken_connection_is_an_error_to_the_client(world: Simulated, client: httpx.Client, name: str) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        post(client, world, f"fault/{name}", request_id=name)
    assert world.truth(name)["outcome"] == name


def test_a_cut_close_delimited_stream_looks_whole_to_the_client(world: Simulated, client: httpx.Client) -> None:
    response = post(client, world, "fault/cut_stream")
    assert response.status_code == 200
    assert len(events(response)) == 4
    assert "[DONE]" not in response.text
    assert 'finish_reason":"' not in response.text


@pytest.mark.parametrize("key", ["sim-aurora", "sim-cascade"])
@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("garbage_json", '{"choices":[{"delta":\n', 'finish_reason":"stop'),
        ("garbage_bytes", "\ufffd", 'finish_reason":"stop'),
        ("html_200", "<!doctype html>", "data:"),
        ("error_200", "Something broke", "data:"),
        ("error_event", "Overloaded in mid-stream", "[DONE]"),
        ("no_usage", "data: ", "output_tokens"),
        ("no_done", "data: ", "[DONE]"),
        ("no_finish", "data: ", '"stop"'),
        ("empty", "data: ", '"text_delta"'),
        ("reasoning_only", 'g":"', '"text_delta"'),
        ("thinking", 'ing":"', "no such text"),
        ("tool_call", "look_up", '"text_delta"'),
        ("unicode", "\U0001f577", "no such text"),
        ("whole_200", '"role":"assistant"', "data:"),
        ("double_done", "data: ", "no such text"),
        ("crlf", "\r\n\r\n", "}\n\n"),
        ("comments", "\n\n: still working\n\n", "no such text"),
        ("no_space", "\ndata:{", "data: "),
    ],
)
def test_a_spoiled_answer_shows_its_fault(  # a table of cases
    world: Simulated, client: httpx.Client, key: str, name: str, present: str, absent: str
) -> None:
    response = post(client, world, f"fault/{name}", key=key, stream_options={"include_usage": True})
    assert response.status_code == 200
    assert present in response.text
    assert absent not in response.text


def test_every_fault_is_tested_here() -> None:
    tested = {"stall_headers", "stall_stream", "drip", "cut_stream", "cut_chunked", "reset_stream", "close_unanswered"}
    tested |= {"garbage_json", "garbage_bytes", "html_200", "html_502", "error_200", "error_event", "endless_line"}
    tested |= {
        "endless_stream",
        "gzip_bomb",
        "no_usage",
        "no_done",
        "no_finish",
        "empty",
        "reasoning_only",
        "thinking",
        "tool_call",
        "unicode",
        "whole_200",
    }
    tested |= {"double_done", "crlf", "comments", "no_space"}
    assert set(faults.FAULTS) == tested


@pytest.mark.parametrize("name", ["endless_line", "endless_stream", "gzip_bomb"])
def test_an_endless_answer_waits_for_its_reader_and_harms_nobody_else(
    world: Simulated, client: httpx.Client, name: str
) -> None:
    spec = world.spec("sim-aurora")
    body = {"model": f"fault/{name}", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with client.stream("POST", spec.base_url + spec.chat_path, json=body, headers={"X-Request-ID": name}) as response:
        wanted = 2_000_000 if name != "gzip_bomb" else 300_000
        for received in response.iter_raw():
            wanted -= len(received)
            if wanted < 0:
                break
        assert post(client, world, "aurora-mini").text.endswith("[DONE]\n\n")
    assert wanted < 0
    assert world.truth(name)["outcome"] == "client_closed"


def test_a_fault_in_the_path_spoils_the_listing_too(world: Simulated, client: httpx.Client) -> None:
    def models_url(fault: str) -> str:
        return world.spec("sim-aurora", fault=fault).base_url + "/models"

    assert client.get(models_url("error_500")).status_code == 500
    assert client.get(models_url("html_502")).status_code == 200
    assert client.get(models_url("html_200")).text.startswith("<!doctype")
    assert client.get(models_url("empty")).json() == {"data": []}
    assert post(client, world, "aurora-mini", fault="html_502").status_code == 502
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        client.get(models_url("garbage_json")).json()


@pytest.mark.parametrize(
    ("key", "model", "change", "status"),
    [
        ("sim-aurora", "no-such-model", {}, 404),
        ("sim-aurora", "fault/no-such-fault", {}, 404),
        ("sim-aurora", "cascade-deep", {}, 404),
        ("sim-aurora", "aurora-mini", {"messages": []}, 400),
        ("sim-cascade", "cascade-deep", {"max_tokens": None}, 400),
    ],
)
def test_an_unusable_request_is_refused(
    world: Simulated, client: httpx.Client, key: str, model: str, change: dict[str, Any], status: int
) -> None:
    assert post(client, world, model, key=key, **change).status_code == status


def test_a_key_is_wanted_only_if_one_was_set(client: httpx.Client) -> None:
    with simulated.running(key="canary") as world:
        assert post(client, world, "aurora-mini").status_code == 401
        assert post(client, world, "aurora-mini", headers={"Authorization": "Bearer canary"}).status_code == 200
        assert (
            post(client, world, "cascade-swift", key="sim-cascade", headers={"x-api-key": "canary"}).status_code == 200
        )
        assert client.get(world.providers[0]["base_url"] + "/models").status_code == 401
        assert "canary" not in world.log_path.read_text()


def test_one_connection_serves_one_request_after_another(world: Simulated) -> None:
    request = b"GET /aurora/v1/models HTTP/1.1\r\nHost: here\r\n\r\n"
    with socket.create_connection(("127.0.0.1", world.port), timeout=5) as connection:
        connection.sendall(request * 3)
        received = b""
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(b"]}"):
            chunk = connection.recv(65_536)
            assert chunk, f"the connection was closed after {received.count(b'HTTP/1.1 200')} answers"
            received += chunk


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000 + b"\r\n\r\n"]
)
def test_garbage_on_the_connection_is_refused(world: Simulated, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", world.port), timeout=5) as connection:
        connection.sendall(garbage)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 4")


async def test_a_hundred_streams_at_once_keep_their_times(world: Simulated) -> None:
    spec = world.spec("sim-aurora")
    body = {"model": "aurora-mini", "messages": [{"role": "user", "content": "Hello"}], "stream": True}

    async with httpx.AsyncClient(trust_env=False, timeout=20, limits=httpx.Limits(max_connections=None)) as client:
        url = spec.base_url + spec.chat_path
        answers = await asyncio.gather(
            *(client.post(url, json=body, headers={"X-Request-ID": f"many-{index}"}) for index in range(100))
        )
    assert all(answer.text.endswith("[DONE]\n\n") for answer in answers)
    truths = [world.truth(f"many-{index}") for index in range(100)]
    late = sorted((t["first_token_ns"] - t["received_ns"]) / 1e6 - t["intended_ttft_ms"] for t in truths)
    assert late[0] >= 0
    assert late[50] < 50


def test_the_server_ends_with_its_parent_however_that_dies() -> None:
    script = "from providers import simulated\nwith simulated.running() as w: print(w.pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        try:
            ended, _, _ = select.select([child], [], [], 10)
        finally:
            os.close(child)
    assert ended


def test_a_request_that_never_ends_has_no_truth(world: Simulated) -> None:
    with pytest.raises(TimeoutError, match="no request 'nobody'"):
        world.truth("nobody", within_s=0)


def test_a_server_that_cannot_start_says_why(world: Simulated) -> None:
    with (
        pytest.raises(RuntimeError, match=r"did not start: port \d+ cannot be listened on: .*in use$"),
        simulated.running(port=world.port),
    ):
        raise AssertionError("unreachable")
