"""The measurement against the simulated providers' own log: times, tokens and grades are those that really were."""

import uuid
from collections.abc import Iterator
from statistics import median

import pytest

from analytics.grading import grade
from flows import workloads
from providers import simulated
from providers.measure import measure
from providers.records import Deadlines
from providers.simulated import Simulated
from providers.transport import open_client


@pytest.fixture(scope="module")
def world() -> Iterator[Simulated]:
    with simulated.running(seed=4, gold=workloads.gold_files()) as running:
        yield running


@pytest.mark.parametrize(
    ("key", "model"),
    [("sim-aurora", "aurora-mini"), ("sim-borealis", "borealis-mini-free"), ("sim-cascade", "cascade-swift")],
)
async def test_what_is_measured_is_what_the_server_did(world: Simulated, key: str, model: str) -> None:
    spec = world.spec(key)
    seen = {}
    async with open_client(spec) as client:
        for item in workloads.load_workload("gold").items[:15]:
            name = str(uuid.uuid4())
            result = await measure(
                client, spec, model, item.prompt, api_key=None, deadlines=Deadlines(), request_id=name
            )
            seen[name] = (item, result)
    errors = []
    for name, (item, result) in seen.items():
        truth = world.truth(name)
        assert (result.outcome, result.token_source) == ("ok", "provider")
        assert (result.input_tokens, result.output_tokens) == (truth["input_tokens"], truth["output_tokens"])
        assert grade(item.grader or "", item.expected_answer or "", result.response_text or "") == truth["correct"]
        assert result.ttft_ms is not None
        errors.append(abs(result.ttft_ms - (truth["first_token_ns"] - truth["received_ns"]) / 1e6))
    assert median(errors) < 2.0
