"""What is published may be missing, stale, broken or in motion: the lookup answers, and says so."""

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from routing.publishing import publish
from routing.worlds import NOW_S, configure, enabled, flip, model, score, scored

from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.routing.published import read_snapshot

ONE, TWO = model("a/one", priority=80), model("b/two", priority=60)
SCORES = (score("a/one", 0.5, 100), score("b/two", 0.9, 100))


def ask(home: Path, now: float = NOW_S, **fields: Any) -> RouteAnswer:
    return Lookup.open(home, watch=False, clock=lambda: now).route(RouteQuery(**fields))


class TestMissing:
    def test_nothing_at_all_answers_none(self, tmp_path: Path) -> None:
        answer = ask(tmp_path / "nowhere")
        assert (answer.model, answer.source, answer.snapshot_id, answer.age_s) == (None, "none", None, None)
        assert answer.reason_codes == ("configuration_missing", "snapshot_missing", "no_default_model")
        assert answer.reasons == (
            "No configuration has been published yet: there is no configuration/CURRENT.",
            "Nothing has been scored yet: there is no scoring/CURRENT.",
            "No default model is configured, so there is nothing to answer with.",
        )

    def test_without_scores_the_default_model_stands_in(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        answer = ask(tmp_path)
        assert (answer.model, answer.source, answer.score) == ("a/one", "default", 0.8)
        assert answer.reason_codes == ("default_model", "snapshot_missing")
        assert answer.reasons[0] == "One is the default model; it stands in until there are scores."
        assert not answer.is_simulated

    @pytest.mark.parametrize(
        ("limit", "code", "said"),
        [
            ({"max_tier": "low"}, "max_tier", "it is of a higher or unknown cost tier (the limit was tier <= low)."),
            ({"deny": ["a/one"]}, "deny", "it is denied (the limit was deny = a/one)."),
            (
                {"max_ttft_p95_ms": 900},
                "max_ttft_p95_ms",
                "it takes longer to the first word, or was never timed (the limit was ttft_p95_ms <= 900).",
            ),
            ({"agent": "stranger"}, "agent", "it is not enabled for this agent."),
            ({"model_type": "embedding"}, "model_type", "it is of another type."),
        ],
    )
    def test_the_default_model_must_pass_every_limit(
        self, tmp_path: Path, limit: dict[str, Any], code: str, said: str
    ) -> None:
        configure(tmp_path, [ONE, TWO])
        answer = ask(tmp_path, **limit)
        assert (answer.model, answer.source, answer.rejected) == (None, "none", {code: 1})
        assert answer.reasons[-1] == f"The default model One cannot stand in: {said}"

    def test_limits_that_nobody_can_check_pass_when_unknown_is_allowed(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE], [enabled("scribe", "a/one")])
        assert ask(tmp_path, max_ttft_p95_ms=900, agent="scribe", allow_unknown=True).model == "a/one"

    @pytest.mark.parametrize(
        ("change", "code"), [({"is_available": False}, "unavailable"), ({"is_enabled": False}, "disabled")]
    )
    def test_a_default_model_that_may_not_answer_does_not(
        self, tmp_path: Path, change: dict[str, Any], code: str
    ) -> None:
        configure(tmp_path, [model("a/one", **change)])
        assert ask(tmp_path).rejected == {code: 1}
        assert ask(tmp_path, deny=["b/two"]).rejected == {code: 1}

    def test_a_default_model_outside_the_catalog_cannot_stand_in(self, tmp_path: Path) -> None:
        configure(tmp_path, [TWO])
        answer = ask(tmp_path)
        assert (answer.source, answer.reason_codes[-1]) == ("none", "default_unlisted")

    def test_without_configuration_a_default_may_be_given_by_the_caller(self, tmp_path: Path) -> None:
        scored(tmp_path, SCORES)
        with Lookup.open(tmp_path, watch=False, default_model="x/y/z") as lookup:
            answer = lookup.route()
            assert (answer.model, answer.provider, answer.source, answer.score) == ("x/y/z", "x", "default", None)
            assert lookup.route(RouteQuery(only=("x",), deny=("a/one",))).model == "x/y/z"
            assert lookup.route(RouteQuery(ignore=("x",))).rejected == {"ignore": 1}
            assert lookup.route(RouteQuery(max_tier="premium")).rejected == {"max_tier": 1}
            assert lookup.route(RouteQuery(max_tier="premium", allow_unknown=True)).model == "x/y/z"
            assert lookup.route(RouteQuery(agent="scribe")).rejected == {"agent": 1}

    def test_the_home_comes_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        configure(tmp_path, [ONE])
        monkeypatch.setenv("SCOREHOUSE_HOME", str(tmp_path))
        assert Lookup.open(watch=False).route().model == "a/one"


class TestStaleAndAhead:
    def test_old_scores_are_used_and_said_to_be_old(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES)
        answer = ask(tmp_path, NOW_S + 3 * 86_400)
        assert (answer.model, answer.is_stale, answer.age_s) == ("b/two", True, 3 * 86_400)
        assert answer.reasons[-1] == "The scores are 3 days old; they count as stale after 6 hours."
        assert "stale" in answer.reason_codes

    def test_a_query_may_insist_on_fresh_evidence(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES)
        now = [NOW_S + 100]
        lookup = Lookup.open(tmp_path, watch=False, clock=lambda: now[0])
        query = RouteQuery(max_age_s=3_600)
        assert lookup.route(query).model == "b/two"
        now[0] += 7_200
        answer = lookup.route(query)
        assert (answer.model, answer.rejected, answer.age_s) == (None, {"max_age_s": 2}, 7_300)
        assert answer.reason_codes[:2] == ("nothing_fits", "relax_max_age_s")

    def test_a_scorer_whose_clock_is_ahead_makes_no_negative_age(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES)
        answer = ask(tmp_path, NOW_S - 600)
        assert (answer.model, answer.age_s, answer.is_stale) == ("b/two", 0, False)
        assert (
            answer.reasons[-1]
            == "The scores are dated 10 minutes ahead of this machine's clock, so their age counts as 0."
        )


class TestCorrupt:
    @pytest.mark.parametrize("file", ["routing_scores.parquet", "manifest.json"])
    def test_a_damaged_snapshot_gives_the_default_model(self, tmp_path: Path, file: str) -> None:
        configure(tmp_path, [ONE, TWO])
        damaged = scored(tmp_path, SCORES) / file
        damaged.write_bytes(damaged.read_bytes()[:-1])
        answer = ask(tmp_path)
        assert (answer.model, answer.source) == ("a/one", "default")
        assert answer.reason_codes == ("default_model", "snapshot_corrupt")
        assert file in answer.reasons[1]

    def test_a_damaged_configuration_answers_none_without_a_default(self, tmp_path: Path) -> None:
        flip(configure(tmp_path, [ONE]) / "models.parquet")
        scored(tmp_path, SCORES)
        answer = ask(tmp_path)
        assert (answer.model, answer.reason_codes[0]) == (None, "configuration_corrupt")

    def test_a_dangling_pointer_gives_the_default_model(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        shutil.rmtree(scored(tmp_path, SCORES))
        answer = ask(tmp_path)
        assert (answer.source, answer.reason_codes) == ("default", ("default_model", "snapshot_dangling"))

    @pytest.mark.parametrize(
        ("meta", "said"),
        [
            ({"as_of": "yesterday"}, "as_of is not a time"),
            ({"as_of": None}, "as_of makes no sense"),
            ({"is_simulated": True}, "not of the kind that CURRENT stands for"),
        ],
    )
    def test_a_manifest_that_makes_no_sense_gives_the_default_model(
        self, tmp_path: Path, meta: dict[str, Any], said: str
    ) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES, **{"as_of": "2026-11-21T02:00:00Z"} | meta)
        answer = ask(tmp_path)
        assert answer.source == "default"
        assert said in answer.reasons[1]

    def test_tables_or_columns_that_are_not_there_are_named(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        about: dict[str, Any] = {"is_simulated": False, "as_of": "2026-11-21T02:00:00Z"}
        publish(tmp_path / "scoring", "t1", {"other": pa.table({"model": ["a/one"]})}, **about)
        assert "it has no table routing_scores" in ask(tmp_path).reasons[1]
        publish(tmp_path / "scoring", "t2", {"routing_scores": pa.table({"model": ["a/one"]})}, **about)
        assert "table routing_scores has no column scope, task_type" in ask(tmp_path).reasons[1]

    def test_columns_of_another_type_are_no_reason_to_fall(self, tmp_path: Path) -> None:
        configuration = configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES)
        tables = read_snapshot(configuration).tables
        for column in ("capabilities", "priority", "is_available", "id", "ctx_length"):
            position = tables["models"].column_names.index(column)
            changed = tables["models"].set_column(position, column, pa.array(["{}", "?"]))
            changed = changed.set_column(position, column, pa.array([b"\xff", b"\xfe"])) if column == "id" else changed
            publish(tmp_path / "configuration", f"c-{column}", dict(tables) | {"models": changed})
            answer = ask(tmp_path)
            assert (answer.source, answer.reason_codes[0]) == ("none", "configuration_corrupt"), column
            assert "a column is not of the agreed type" in answer.reasons[0]

    def test_two_rows_for_one_thing_are_refused(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, [*SCORES, SCORES[0]])
        assert "two rows for one model" in ask(tmp_path).reasons[1]

    @pytest.mark.parametrize(
        ("models", "meta", "said"),
        [
            ([ONE, ONE], {}, "a model is listed twice"),
            ([model("a/one", priority=101)], {}, "priority is not a number from 0 to 100"),
            ([model("a/one", priority=None)], {}, "priority is not a number from 0 to 100"),
            ([model("a/one", provider_id=None)], {}, "column provider_id has empty cells"),
            ([ONE], {"tie_delta": -1}, "tie_delta makes no sense"),
            ([ONE], {"policies": [0.3, 0.7]}, "policies makes no sense"),
            ([ONE], {"policies": {"default": {"priority": -0.3}}}, "policy 'default': weights must be a finite number"),
            ([ONE], {"policies": {"default": {"beauty": 1}}}, "policy 'default': weights must be numbers by name"),
            ([ONE], {"default_model": 5}, "default_model makes no sense"),
        ],
    )
    def test_a_configuration_that_makes_no_sense_is_refused(
        self, tmp_path: Path, models: Any, meta: dict[str, Any], said: str
    ) -> None:
        configure(tmp_path, models, **meta)
        scored(tmp_path, SCORES)
        answer = ask(tmp_path)
        assert (answer.source, answer.reason_codes[0]) == ("none", "configuration_corrupt")
        assert said in answer.reasons[0]

    @pytest.mark.parametrize("poison", [-999.0, float("nan"), float("inf"), 1e308, 1.0000001])
    def test_a_poisoned_figure_counts_as_unknown_and_never_wins(self, tmp_path: Path, poison: float) -> None:
        configure(tmp_path, [model("a/one", pricing_input=-1.0), TWO])
        scored(tmp_path, [score("a/one", poison, 100, tps_mean=-poison, latency_p50_ms=-1.0), score("b/two", 0.9, 100)])
        answer = ask(tmp_path, min_quality=0.1)
        assert (answer.model, answer.fallbacks, answer.rejected) == ("b/two", (), {"min_quality": 1})
        assert ask(tmp_path, sort="price").model == "b/two"


class TestKinds:
    def test_simulated_evidence_is_used_only_where_there_is_no_real_one(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, model("s/one", is_simulated=True)])
        scored(tmp_path, [score("s/one", 0.9, 10)], simulated=True)
        answer = ask(tmp_path)
        assert (answer.model, answer.is_simulated, answer.fallbacks) == ("s/one", True, ())
        assert answer.reasons[-1] == "The evidence is simulated: it says nothing about real providers."
        scored(tmp_path, [score("a/one", 0.9, 10)])
        answer = ask(tmp_path)
        assert (answer.model, answer.is_simulated, answer.fallbacks) == ("a/one", False, ())

    def test_a_real_snapshot_that_is_broken_is_not_replaced_by_a_simulated_one(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, model("s/one", is_simulated=True)])
        scored(tmp_path, [score("s/one", 0.9, 10)], simulated=True)
        shutil.rmtree(scored(tmp_path, [score("a/one", 0.9, 10)]))
        assert (ask(tmp_path).model, ask(tmp_path).source) == ("a/one", "default")

    def test_the_kind_can_be_insisted_on(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, model("s/one", is_simulated=True)])
        scored(tmp_path, [score("s/one", 0.9, 10)], simulated=True)
        scored(tmp_path, [score("a/one", 0.9, 10)])
        for simulated, expected in ((True, "s/one"), (False, "a/one")):
            lookup = Lookup.open(tmp_path, simulated=simulated, watch=False)
            assert lookup.route().model == expected


def test_the_memory_of_questions_is_bounded(tmp_path: Path) -> None:
    configure(tmp_path, [ONE, TWO])
    scored(tmp_path, SCORES)
    lookup = Lookup.open(tmp_path, watch=False)
    for n in range(5_000):
        lookup.route(RouteQuery(min_context=n))
        lookup.route(RouteQuery(min_context=n))
    board = lookup._state.board
    assert board is not None
    assert 0 < len(board.settled) <= 4_096
    for n in range(4_200):
        assert lookup.route(RouteQuery(task=f"task {n}")).reasons
    assert 0 < len(board.kinds) <= 1_000
    assert all(len(kind.told) <= 16 and len(kind.named) <= 64 for kind in board.kinds.values())
    small = dataclasses.replace(board, kinds={}, cache_bytes=0)
    for n in range(100):
        small.ranking(board.catalog.policies.active(RouteQuery()).policy, None, f"task {n}", None)
    assert 0 < len(small.kinds) <= 16


def test_two_hundred_kinds_of_damage_raise_nothing(tmp_path: Path) -> None:
    """Random bytes are changed or cut in any published file; each time there is an answer, one JSON document."""
    rng = random.Random(7)
    configure(tmp_path, [ONE, TWO], [enabled("scribe", "a/one")], [("code", "coding")])
    scored(tmp_path, SCORES)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for _ in range(200):
        path = rng.choice(files)
        before = path.read_bytes()
        data = bytearray(before)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        answer = ask(tmp_path, task="code", top=2)
        assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))["source"] == answer.source
        assert answer.reasons
        path.write_bytes(before)
