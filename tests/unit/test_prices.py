"""What the price library says of a model, and of whose models it is asked."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version

import pytest

from analytics.errors import BadRows
from analytics.store.pricing import Offer, PriceLimits, histories, judge, later, offer_of
from providers.prices import library_price
from providers.specs import make_spec

NOW = datetime(2026, 11, 21, tzinfo=UTC)
T0, T1 = "2026-11-21T02:00:00.000000Z", "2026-11-21T03:00:00.000000Z"


def figures(provider: str, model: str, at: datetime = NOW) -> tuple[str | None, ...] | None:
    found = library_price(provider, model, at)
    if found is None:
        return None
    prices = (found.input_price_per_m, found.output_price_per_m, found.cached_input_price_per_m)
    return tuple(None if price is None else str(price) for price in prices)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini", ("0.15", "0.6", "0.075")),
        ("groq", "llama-3.1-8b-instant", ("0.05", "0.08", None)),
        ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1", ("0.9", "0.9", None)),
        ("openrouter", "openai/gpt-4o-mini", ("0.15", "0.6", "0.075")),
        ("openai", "text-embedding-3-small", ("0.02", None, None)),
    ],
)
def test_a_known_model_has_its_price_per_million_tokens(
    provider: str, model: str, expected: tuple[str | None, ...]
) -> None:
    assert figures(provider, model) == expected


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [("anthropic", "claude-sonnet-4-5", ("3", "15", "0.3")), ("openai", "gpt-5.5", ("5", "30", "0.5"))],
)
def test_the_price_is_the_base_price_and_not_that_of_a_million_tokens_at_once(
    provider: str, model: str, expected: tuple[str, ...]
) -> None:
    """Pricing a usage of 1M tokens would answer 6 / 22.5 and 10 / 45: the step for long prompts."""
    assert figures(provider, model) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-unknown"), ("groq", "moonshotai/kimi-k2-0905"), ("nobody", "gpt-4o"), ("openrouter", "openrouter/auto"), ("openai", "whisper-1"),
     ("azure", "our-deployment")],
)  # fmt: skip
def test_what_the_library_does_not_know_or_does_not_price_by_the_token_is_unknown(provider: str, model: str) -> None:
    assert figures(provider, model) is None


def test_the_librarys_own_id_and_version_are_kept() -> None:
    found = library_price("anthropic", "claude-haiku-4-5-20251001", NOW)
    assert found is not None
    assert (found.matched_model, found.library_version) == ("claude-haiku-4-5", version("genai-prices"))


def test_the_price_is_that_of_its_date() -> None:
    before, after = (figures("openai", "o3", datetime(2025, month, 1, tzinfo=UTC)) for month in (5, 7))
    assert (before, after) == (("10", "40", "0.5"), ("2", "8", "0.5"))


def test_the_library_is_imported_on_first_use_and_never_reaches_for_the_network() -> None:
    program = """
import socket, sys, threading
from datetime import UTC, datetime
import flows.jobs.prices, providers.prices
from flows.cli import make_app
make_app()
assert "genai_prices" not in sys.modules
before = threading.active_count()
def refuse(*_, **__): raise AssertionError("it asked for a socket")
socket.socket.connect = socket.getaddrinfo = refuse
assert providers.prices.library_price("openai", "gpt-4o-mini", datetime.now(UTC)) is not None
assert "genai_prices" in sys.modules and threading.active_count() == before
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("provider_type", "base_url", "asked_as"),
    [
        ("openai", None, "openai"),
        ("openai", "https://eu.api.openai.com/v1", "openai"),
        ("groq", None, "groq"),
        ("together", "https://api.together.ai/v1", "together"),
        ("together", None, "together"),
        ("openrouter", None, "openrouter"),
        ("anthropic", None, "anthropic"),
        ("azure", "https://mine.openai.azure.com/openai/v1", "azure"),
        ("azure", "https://mine.services.ai.azure.com/openai/v1", "azure"),
        ("openai", "https://gateway.example.com/v1", None),
        ("openai", "https://api.openai.com.example.com/v1", None),
        ("openai", "https://notapi.openai.com/v1", None),
        ("openai", "http://127.0.0.1:4000/v1", None),
        ("custom", "https://api.openai.com/v1", None),
    ],
)
def test_the_library_is_asked_for_a_vendors_own_models_and_for_no_gateways(
    provider_type: str, base_url: str | None, asked_as: str | None
) -> None:
    spec = make_spec({"key": "p", "provider_type": provider_type, "base_url": base_url})
    assert spec.genai_provider == asked_as


def test_a_simulated_provider_is_nobody_to_the_library() -> None:
    row = {"key": "p", "provider_type": "openai", "base_url": "http://127.0.0.1:1/v1", "is_simulated": True}
    assert make_spec(row).genai_provider is None


# -- judging: pure ---------------------------------------------------------------------------------------------


def verdict(offer: Offer, *rows: tuple[object, ...]) -> tuple[tuple[object, ...] | None, bool]:
    """Input price, source and doubt of the row that would be added, and whether the offer counts.

    `rows` are (source, input price, why it is in quarantine) of the model's history, oldest first.
    """
    known = histories([("m", source, price, 2.0, None, reason, T0) for source, price, reason in rows])
    found = judge(offer, known.get("m"), model_id="m", provider_id="p", moment=T1, limits=PriceLimits())
    row = found.row
    return (None if row is None else (row["input_price_per_m"], row["source"], row["quarantine_reason"])), found.counts


def api(price: float | None) -> Offer:
    return Offer("provider_api", (price, 2.0, None) if price is not None else (None, None, None))


def test_a_first_price_counts_and_no_price_is_no_row() -> None:
    assert verdict(api(1.0)) == ((1.0, "provider_api", None), True)
    assert verdict(api(None)) == (None, True)


def test_the_leap_is_told_in_figures() -> None:
    row, counts = verdict(api(600.0), ("provider_api", 2.5, None))
    assert row is not None
    assert row[2] == "the input price went from 2.5 to 600 USD per 1M tokens: more than 10 times"
    assert not counts


def test_prices_of_the_user_are_no_measure_of_a_leap() -> None:
    assert verdict(api(1.0), ("provider_api", 1.5, None), ("settings", 900.0, None)) == (
        (1.0, "provider_api", None),
        True,
    )


def test_an_unknown_side_is_no_leap() -> None:
    offer = Offer("provider_api", (1.0, None, 0.5))
    assert verdict(offer, ("provider_api", 1.0, None))[1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1, True, "1", 10**400, Decimal("sNaN"), Decimal("-0.1")])
def test_an_entrys_figure_that_is_no_price_leaves_none(bad: object) -> None:
    offer = offer_of({"external_id": "m", "input_price_per_m": 1.0, "output_price_per_m": bad}, "provider_api")
    assert offer.figures == (None, None, None)
    assert offer.problem is not None
    assert offer.problem.startswith("the output price ")


def test_an_entry_may_name_its_own_source_of_those_that_there_are() -> None:
    library = {"price_source": "genai-prices", "source_version": "0.2.3", "matched_model": "x"}
    offer = offer_of({"input_price_per_m": Decimal("0.5"), "output_price_per_m": 1, **library}, "provider_api")
    assert offer == Offer("genai-prices", (0.5, 1.0, None), None, "0.2.3", "x")
    with pytest.raises(BadRows, match="price_source"):
        offer_of({"price_source": "rumour"}, "provider_api")


def test_rows_of_one_model_follow_each_other() -> None:
    assert later(T0, T1) == T1
    assert later(T1, T0) == "2026-11-21T03:00:00.000001Z"
    assert later(T0, T0) == "2026-11-21T02:00:00.000001Z"
