"""The MCP server, driven by the official client: over stdio in a process of its own, and over HTTP on loopback."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from e2e.conftest import Run
from house import AURORA, House
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from analytics.routing import Evidence, Fallback, Lookup, Part, RouteQuery
from analytics.routing.records import TaskGuess
from analytics.serve import mcp as serve

COMMAND = str(Path(sys.executable).with_name("scorehouse"))
TOOLS = {"route_model", "explain_route", "compare_models", "model_performance", "record_feedback"}
OWN = {"age_s", "decision_id"}  # what no two answers share


@pytest.fixture
def scored(house: House, run: Run) -> House:
    """A measured and scored house with a rated message."""
    house.ready(AURORA)
    house.bench(workload="gold", sample=3)
    line = {
        "model": f"{AURORA}/aurora-mini",
        "task_type": "code",
        "success": True,
        "latency_ms": 80,
        "message_id": "m-1",
        "rating": 1.0,
    }
    Path("events.jsonl").write_text(json.dumps(line))
    assert run("events", "import", "events.jsonl").code == 0
    assert run("score").code == 0
    return house


def environment(house: House) -> dict[str, str]:
    return {**os.environ, "SCOREHOUSE_HOME": str(house.home)}


def over_stdio(house: House) -> Client:
    return Client(StdioServerParameters(command=COMMAND, args=["mcp"], env=environment(house)))


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert "Traceback" not in content.text
    return content.text


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in OWN}


def test_the_tools_know_every_field_of_queries_and_answers() -> None:
    parameters = {entry.name for entry in fields(RouteQuery) if entry.init}
    server = serve.make_server(Lookup(Path("nowhere")), serve.Services(dict, list, dict), version="1")  # type: ignore[arg-type]
    tools = {tool.name: tool for tool in asyncio.run(server.list_tools())}
    assert set(tools["route_model"].input_schema["properties"]) == parameters
    for result, record in (
        (serve.PartResult, Part),
        (serve.EvidenceResult, Evidence),
        (serve.FallbackResult, Fallback),
        (serve.TaskResult, TaskGuess),
    ):
        assert set(result.model_fields) == {entry.name for entry in fields(record)}


def test_over_stdio_every_tool_does_its_part(scored: House, run: Run) -> None:
    by_command = run("route", "--task", "code", "--min-samples", "1", "--top", "2", "--json").json
    query = RouteQuery(task="code", min_samples=1, top=2)
    by_python = Lookup.open(scored.home, watch=False).route(query).to_dict()
    assert comparable(json.loads(json.dumps(by_python))) == comparable(by_command)

    async def drive() -> None:
        async with over_stdio(scored) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == TOOLS
            for name, tool in tools.items():
                assert tool.output_schema is not None
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint is (name != "record_feedback")
                assert tool.input_schema["additionalProperties"] is False
            answer = await said(client, "route_model", task="code", min_samples=1, top=2)
            assert comparable(answer) == comparable(by_command)
            assert answer.keys() == by_command.keys()

            told = await said(client, "explain_route", decision_id=answer["decision_id"])
            assert told["answer"] == answer
            assert told["query"] == {"task": "code", "min_samples": 1, "top": 2}
            assert len(told["candidates"]) > len(answer["fallbacks"])

            keys = [f"{AURORA}/aurora-mini", "nobody/knows", f"{AURORA}/aurora-code"]
            compared = (await said(client, "compare_models", models=keys, task="code"))["compared"]
            assert {one["key"] for one in compared} == set(keys)
            assert (compared[-1]["key"], compared[-1]["answer"]["model"]) == ("nobody/knows", None)
            assert compared[0]["answer"]["score"] >= compared[1]["answer"]["score"]

            rows = (await said(client, "model_performance", task="code"))["models"]
            assert rows == run("performance", "--task", "code", "--json").lines
            await feedback(client)
            await mistakes(client)

    async def feedback(client: Client) -> None:
        about = {"task": "code", "allow": [f"{AURORA}/aurora-mini"]}
        before = await said(client, "route_model", **about)
        for number in range(4):
            recorded = await said(client, "record_feedback", message_id="m-1", rating=0.0, user=f"u{number}")
        assert (recorded["model"], recorded["rating"], recorded["task_type"]) == (f"{AURORA}/aurora-mini", 0.0, "code")
        after = await said(client, "route_model", **about)
        assert after["score"] < before["score"]
        assert "fresh_feedback" in after["reason_codes"]
        recorded = await said(client, "record_feedback", message_id="m-1", signal="abandon")
        assert recorded["rating"] is None

    async def mistakes(client: Client) -> None:
        assert "max_tire" in await refused(client, "route_model", max_tire="low")
        assert "max_tier" in await refused(client, "route_model", max_tier="cheap")
        assert "min_quality" in await refused(client, "route_model", min_quality=7)
        assert "output_tokens" in await refused(client, "route_model", input_tokens=10)
        assert "max_price" in await refused(client, "route_model", max_price={"reply": 1})
        assert "task" in await refused(client, "route_model", task=["a", "list"])
        assert "nonsense" in await refused(client, "explain_route", decision_id="nonsense")
        assert "models" in await refused(client, "compare_models", models=[])
        assert "rating" in await refused(client, "record_feedback", message_id="m-1", rating=2)
        assert "either a rating or a signal" in await refused(client, "record_feedback", message_id="m-1")
        assert "m-404" in await refused(client, "record_feedback", message_id="m-404", rating=1)
        assert "message's id is empty" in await refused(
            client, "record_feedback", message_id=" ", rating=1, model=f"{AURORA}/aurora-mini"
        )
        assert "gone/model" in await refused(client, "record_feedback", message_id="m", rating=1, model="gone/model")

    asyncio.run(drive())
    feedback_rows = scored.rows("feedback_events")
    assert len(feedback_rows) == 6


@pytest.fixture
def served(scored: House, unused_port: int) -> Iterator[str]:
    yield from serving(environment(scored), unused_port)


def serving(variables: dict[str, str], unused_port: int) -> Iterator[str]:
    process = subprocess.Popen(
        [COMMAND, "mcp", "--transport", "http", "--port", str(unused_port)],
        env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", unused_port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{unused_port}/mcp"
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert out == b"", "stdout is for data"
    assert b"Traceback" not in err


def test_over_http_the_same_answer_and_only_to_this_machine(served: str, run: Run) -> None:
    by_command = run("route", "--task", "code", "--json").json

    async def drive() -> None:
        async with Client(served) as client:
            assert comparable(await said(client, "route_model", task="code")) == comparable(by_command)
            assert "max_tier" in await refused(client, "route_model", max_tier="cheap")

    asyncio.run(drive())
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    for header in ({"Host": "evil.example"}, {"Host": "evil.example:8765"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
                   {"Host": "127.0.0.1.evil.example:80"}):  # fmt: skip
        answer = httpx.post(served, json=call, headers=accept | header, trust_env=False)
        assert answer.status_code in {403, 421}, header


SECRET = "a long random text of 40 characters or so"


@pytest.fixture
def guarded(scored: House, unused_port: int) -> Iterator[str]:
    yield from serving(environment(scored) | {"SCOREHOUSE_MCP_TOKEN": SECRET}, unused_port)


def test_with_a_token_only_those_who_send_it_are_answered(guarded: str) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    for given in (
        None,
        "",
        SECRET,
        f"Basic {SECRET}",
        "Bearer",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        "Bearer \u00e9",
    ):
        header = {} if given is None else {"Authorization": given.encode()}
        answer = httpx.post(guarded, json=call, headers=accept | header, trust_env=False)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), given
        assert "tools" not in answer.text
    twice = [*accept.items(), ("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer no")]
    assert httpx.post(guarded, json=call, headers=twice, trust_env=False).status_code == 401

    async def drive() -> None:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {SECRET}"}, trust_env=False)
        async with http, Client(streamable_http_client(guarded, http_client=http)) as client:
            assert (await said(client, "route_model", task="code"))["model"]

    asyncio.run(drive())


def test_beyond_loopback_a_token_must_be_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (None, "", "hunter2"):
        monkeypatch.delenv("SCOREHOUSE_MCP_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("SCOREHOUSE_MCP_TOKEN", token)
        ran = run("mcp", "--transport", "http", "--host", "0.0.0.0", "--remote-name", "house.internal")
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "SCOREHOUSE_MCP_TOKEN" in ran.err
        assert not token or token not in ran.err


def test_beyond_loopback_a_name_must_be_given(run: Run) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        ran = run("mcp", "--transport", "http", "--host", host)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "--remote-name" in ran.err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken_is_one_sentence(run: Run, unused_port: int, host: str) -> None:
    with socket.create_server(("127.0.0.1", unused_port)):
        ran = run("mcp", "--transport", "http", "--host", host, "--port", unused_port)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert f"Cannot listen at {host}, port {unused_port}: Address already in use. " in ran.err


def test_an_address_of_another_machine_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREHOUSE_MCP_TOKEN", SECRET)
    ran = run("mcp", "--transport", "http", "--host", "192.0.2.1", "--remote-name", "house.internal")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "Cannot listen at 192.0.2.1, port 8765: Cannot assign requested address. " in ran.err


def test_without_the_package_one_sentence_says_how_to_install_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "analytics.serve.mcp", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    ran = run("mcp")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "scorehouse[serve]" in ran.err
