"""A model that refuses a parameter is asked again without it: outside of the measurement, once per parameter, remembered."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from house import House
from wire.loopback import DONE, Conversation, Provider, data, said, serving

from analytics.errors import StoreUnavailable
from analytics.store import RunSpool, SqliteStore, from_text, new_id, now_text
from flows.jobs import benchmark as benchmark_job
from flows.jobs import provider as provider_job
from flows.jobs.benchmark import BenchmarkReport, BenchmarkRequest, run_benchmark
from providers.records import Prompt

MODEL = "acme/tiny"
REFUSED = {"type": "invalid_request_error", "code": "unsupported_parameter"}
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}

Choose = Callable[[dict[str, Any]], str | None]
Run = Callable[..., Awaitable[tuple[BenchmarkReport, Provider]]]


def refusing(*names: str) -> Choose:
    """A model that takes none of these and says so, one at a time."""
    return lambda body: next((name for name in names if name in body), None)


@pytest.fixture
def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Measure a model behind a provider that refuses whatever parameter `choose` names in a request's body."""
    house.home.mkdir()

    async def ask(
        choose: Choose,
        *,
        models: tuple[str, ...] = ("tiny",),
        message: str = "Unsupported parameter: '{}'.",
        **request: Any,
    ) -> tuple[BenchmarkReport, Provider]:
        async def script(c: Conversation) -> None:
            body = provider.requests[-1][2]
            if name := choose(body):
                error = {"error": {**REFUSED, "message": message.format(name)}}
                await c.answer("400 Bad Request", "application/json", json.dumps(error).encode())
            else:
                answer = data(said("A light for ships.", "stop")) + data(USAGE) + DONE
                await c.answer("200 OK", "text/event-stream", answer)

        async with serving(script) as provider:
            columns = {
                "provider_type": "custom",
                "base_url": f"http://127.0.0.1:{provider.port}/v1",
                **request.pop("columns", {}),
            }
            await asyncio.to_thread(lambda: house.add_gateway("acme", *models, **columns))
            asked = BenchmarkRequest(**{"workload": "short", "triggered_by": "manual", **request})
            return await run_benchmark(house.settings, asked), provider

    def asking_for_everything(*given: Any, **more: Any) -> Any:
        workload = plain(*given, **more)
        question = Prompt(workload.items[0].prompt.text, system="Be brief.", max_output_tokens=64, temperature=0.0)
        return replace(workload, items=(replace(workload.items[0], prompt=question),))

    plain = benchmark_job.load_workload
    monkeypatch.setattr(benchmark_job, "load_workload", asking_for_everything)
    return ask


def log_of(house: House) -> list[dict[str, Any]]:
    return [json.loads(line) for path in house.settings.home.logs.iterdir() for line in path.read_text().splitlines()]


def rejected(house: House) -> dict[str, Any]:
    (row,) = house.rows("models", key=MODEL)
    found: dict[str, Any] = row["rejected_parameters"]
    return found


async def test_the_row_is_wholly_that_of_the_attempt_that_was_accepted(run: Run, house: House) -> None:
    report, provider = await run(refusing("temperature"))
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["status_code"], row["error_type"]) == ("ok", 200, None)
    assert row["dropped_parameters"] == ["temperature"]
    assert len(report.results) == 1
    assert len(provider.requests) == 2
    assert provider.connections == 1
    assert row["connection_reused"] is True  # the refused attempt had opened it, and paid for that
    assert row["connect_ms"] is None
    assert row["call_latency_ms"] >= row["total_latency_ms"] >= row["ttft_ms"]
    (warning,) = (entry for entry in log_of(house) if "parameter was refused" in entry["event"])
    assert (warning["model"], warning["parameter"], warning["status_code"], warning["id"]) == (
        MODEL,
        "temperature",
        400,
        row["id"],
    )
    assert "Unsupported parameter" in warning["error_message"]
    assert from_text(row["created_at"]) > from_text(warning["timestamp"])


async def test_what_a_model_refused_is_not_sent_by_the_next_run(run: Run, house: House) -> None:
    await run(refusing("temperature", "stream_options"))
    known = rejected(house)
    assert set(known) == {"temperature", "stream_options"}
    assert all(from_text(at) for at in known.values())
    _, provider = await run(refusing("temperature", "stream_options"))
    assert len(provider.requests) == 1
    assert [row["dropped_parameters"] for row in house.rows("benchmark_results")] == [["temperature"]] * 2
    assert rejected(house) == known


async def test_the_output_limit_is_said_in_another_way_and_never_left_out(run: Run, house: House) -> None:
    words = "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead."
    _, provider = await run(refusing("max_tokens"), message=words)
    first, second = (body for _, _, body in provider.requests)
    assert (first["max_tokens"], second["max_completion_tokens"]) == (64, 64)
    assert "max_tokens" not in second
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["dropped_parameters"]) == ("ok", [])
    assert set(rejected(house)) == {"max_tokens"}


async def test_a_limit_that_is_refused_by_both_names_is_a_failed_row_and_nothing_to_remember(
    run: Run, house: House
) -> None:
    _, provider = await run(refusing("max_tokens", "max_completion_tokens"))
    assert len(provider.requests) == 2
    assert all({"max_tokens", "max_completion_tokens"} & set(body) for _, _, body in provider.requests)
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["status_code"], row["error_code"]) == ("failed", 400, "unsupported_parameter")
    assert rejected(house) == {}


async def test_a_role_falls_back_until_the_model_takes_it(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("ACME_API_KEY", "sk-acme")

    def choose(body: dict[str, Any]) -> str | None:
        return next((m["role"] for m in body["messages"] if m["role"] in {"developer", "system"}), None)

    _, provider = await run(
        choose,
        models=("o3-mini",),
        message="messages[0].role: '{}' is not supported",
        columns={"provider_type": "openai"},
    )
    assert [[message["role"] for message in body["messages"]] for _, _, body in provider.requests] == [
        ["developer", "user"],
        ["system", "user"],
        ["user"],
    ]
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["dropped_parameters"]) == ("ok", ["temperature"])  # by its family: it was never sent
    assert not any("temperature" in body for _, _, body in provider.requests)
    (model,) = house.rows("models", key="acme/o3-mini")
    assert set(model["rejected_parameters"]) == {"role.developer", "role.system"}


async def test_at_most_four_parameters_are_given_up(run: Run, house: House) -> None:
    def choose(body: dict[str, Any]) -> str | None:
        roles = {message["role"] for message in body["messages"]}
        names = [name for name in ("temperature", "stream_options", "max_tokens") if name in body]
        return next(
            iter([*names, *(f"role {role}" for role in ("developer", "system") if role in roles), "the whole of it"])
        )

    _, provider = await run(choose)
    assert len(provider.requests) == 5
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["status_code"], row["dropped_parameters"]) == ("failed", 400, ["temperature"])
    assert rejected(house) == {}


@pytest.mark.parametrize("name", ["logprobs", "model"])
async def test_a_refusal_that_names_nothing_we_chose_is_a_failed_row(run: Run, house: House, name: str) -> None:
    _, provider = await run(lambda _: name)
    assert len(provider.requests) == 1
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["status_code"], row["error_type"], row["error_code"]) == (
        "failed",
        400,
        "bad_request",
        "unsupported_parameter",
    )
    assert row["dropped_parameters"] == []


async def test_a_model_is_asked_once_for_what_the_rest_of_the_run_knows(run: Run, house: House) -> None:
    _, provider = await run(refusing("temperature"), repeats=5)
    assert len(provider.requests) == 6
    assert [row["outcome"] for row in house.rows("benchmark_results")] == ["ok"] * 5


async def test_requests_side_by_side_each_find_their_way(run: Run, house: House) -> None:
    _, provider = await run(refusing("temperature", "stream_options"), repeats=8, concurrency=4)
    assert [row["outcome"] for row in house.rows("benchmark_results")] == ["ok"] * 8
    assert 8 < len(provider.requests) <= 8 + 4 * 2
    assert set(rejected(house)) == {"temperature", "stream_options"}


async def test_one_models_refusal_says_nothing_of_another(run: Run, house: House) -> None:
    def choose(body: dict[str, Any]) -> str | None:
        return "temperature" if body["model"] == "tiny" and "temperature" in body else None

    await run(choose, models=("tiny", "large"))
    dropped = {row["model"]: row["dropped_parameters"] for row in house.rows("benchmark_results")}
    assert dropped == {"acme/tiny": ["temperature"], "acme/large": []}


async def test_with_the_store_out_of_reach_the_run_remembers_alone(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise StoreUnavailable("the disk went away")

    monkeypatch.setattr(SqliteStore, "note_rejected_parameters", gone)
    _, provider = await run(refusing("temperature"), repeats=3)
    assert len(provider.requests) == 4
    assert [row["outcome"] for row in house.rows("benchmark_results")] == ["ok"] * 3
    assert rejected(house) == {}
    assert any("could not be noted" in entry["event"] and entry["model"] == MODEL for entry in log_of(house))


async def test_every_attempt_takes_its_place_in_the_pace_and_in_the_turn(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    class Pace:
        def __init__(self, *_: object) -> None: ...

        async def acquire(self) -> None:
            taken.append("place")

    monkeypatch.setattr(provider_job, "AsyncLimiter", Pace)
    _, provider = await run(refusing("temperature"), repeats=2, sequential=True, columns={"rate_limit_rpm": 6})
    assert len(taken) == len(provider.requests) == 3


async def test_a_cold_attempt_has_a_connection_of_its_own(run: Run, house: House) -> None:
    _, provider = await run(refusing("temperature"), cold=True)
    (row,) = house.rows("benchmark_results")
    assert provider.connections == len(provider.requests) == 2
    assert row["connection_reused"] is False
    assert row["connect_ms"] is not None


async def test_one_intent_stands_for_all_attempts(run: Run, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    intended: list[str] = []
    intend = RunSpool.intend

    def counted(self: RunSpool, result_id: str) -> None:
        intended.append(result_id)
        intend(self, result_id)

    monkeypatch.setattr(RunSpool, "intend", counted)
    report, provider = await run(refusing("temperature", "stream_options"))
    assert len(provider.requests) == 3
    assert intended == [report.results[0].id]
    assert {headers["x-request-id"] for _, headers, _ in provider.requests} == set(intended)


async def test_a_refused_attempt_costs_nothing(run: Run, house: House) -> None:
    await run(lambda _: "model")  # the model is in the catalog now
    (model,) = house.rows("models", key=MODEL)
    price = {"id": new_id(), "provider_id": model["provider_id"], "model_id": model["id"], "source": "admin"}
    with house.store() as store:
        store.write(
            "prices", [{**price, "input_price_per_m": 1000.0, "output_price_per_m": 2000.0, "timestamp": now_text()}]
        )
    report, provider = await run(refusing("temperature"), max_usd=1.0)
    assert len(provider.requests) == 2
    assert [result.outcome for result in report.results] == ["ok"]
    assert report.cost_usd == pytest.approx((9 * 1000 + 3 * 2000) / 1e6)


async def test_an_interrupted_second_attempt_is_an_aborted_row(run: Run, house: House) -> None:
    def choose(body: dict[str, Any]) -> str | None:
        if "temperature" not in body:
            task.cancel()
        return "temperature" if "temperature" in body else None

    task = asyncio.ensure_future(run(choose))
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = house.rows("benchmark_results")
    assert row["outcome"] == "aborted"
    assert rejected(house) == {}
