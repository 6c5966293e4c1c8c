"""400 naming a parameter; 401, 402, 403, 404, 408, 413, 422, 429 (rate and money), 5xx, 529; Retry-After as seconds, date, absurd:
the row keeps status and the provider's code, and nothing is ever asked twice inside a measurement.
"""

import pytest
from house import House

from providers.simulated.faults import REFUSALS

EXPECTED = {
    "bad_400": (400, "bad_request"),
    "refuse_401": (401, "authentication"),
    "pay_402": (402, "payment"),
    "forbid_403": (403, "permission"),
    "missing_404": (404, "not_found"),
    "timeout_408": (408, "server"),
    "large_413": (413, "bad_request"),
    "invalid_422": (422, "bad_request"),
    "rate_429": (429, "rate_limit"),
    "rate_429_date": (429, "rate_limit"),
    "rate_429_absurd": (429, "rate_limit"),
    "quota_429": (429, "quota"),
    "error_500": (500, "server"),
    "error_503": (503, "overloaded"),
    "overloaded_529": (529, "overloaded"),
    "redirect_307": (307, "provider"),
}


@pytest.mark.parametrize("provider_type", ["custom", "anthropic"])
def test_every_refusal_is_a_row_with_status_and_code_asked_once(house: House, provider_type: str) -> None:
    house.home.mkdir()
    path = {"custom": "aurora", "anthropic": "cascade"}[provider_type]
    simulated = {"base_url": f"http://127.0.0.1:{house.simulated.port}/{path}/v1", "is_simulated": True}
    for name in EXPECTED:  # each its own provider: a refused key stops the rest of one
        house.add_gateway(name.replace("_", "-"), f"fault/{name}", provider_type=provider_type, **simulated)
    mark = house.mark
    house.bench(repeats=1)
    rows = {row["model"].partition("/fault/")[2]: row for row in house.rows("benchmark_results")}
    assert {name: (row["status_code"], row["error_type"]) for name, row in rows.items()} == EXPECTED
    assert {row["outcome"] for row in rows.values()} == {"failed"}
    for name, row in rows.items():
        _, kind, _, more = REFUSALS[name]  # a redirect is judged by its status alone
        assert row["error_code"] in ({None} if name == "redirect_307" else {kind, more.get("code", kind)})
        assert row["cost_usd"] is row["ttft_ms"] is row["tps"] is None
        assert row["dropped_parameters"] == []
    assert len(house.asked(mark)) == len(EXPECTED)
    waits = {name: (row["rate_limits"] or {}).get("retry_after_s") for name, row in rows.items()}
    assert {name: wait for name, wait in waits.items() if wait is not None} == {"rate_429": 2.0}
