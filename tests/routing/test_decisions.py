"""The decision log: what it holds, what it gives up, and that nobody waits for it."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from routing.worlds import NOW_S, configure, model, rating, score, scored

from analytics.errors import BadRows, StoreUnavailable, UnknownName
from analytics.routing import Lookup, RouteQuery
from analytics.routing.decisions import DecisionLog, Noted, row_of
from analytics.store import SqliteStore
from analytics.store.decisions import find_decision, land_decisions, told


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Seven models at three providers; those of `a` are rated, one has no context window that anybody knows."""
    keys = ["a/one", "a/two", "b/three", "b/four", "c/five", "c/six", "c/seven"]
    configure(tmp_path, [model(key, priority=90 - 10 * place) for place, key in enumerate(keys)])
    scored(
        tmp_path,
        [rating("a/one", "code", 0.9, 40), rating("a/two", "code", 0.4, 40), *(score(key, 0.5, 10) for key in keys)],
    )
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqliteStore(tmp_path / "store.sqlite")
    made.migrate()
    with made:
        yield made


def logged(home: Path) -> list[dict[str, Any]]:
    lines = [
        line for path in sorted((home / "spool/decisions").glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def opened(home: Path, **options: Any) -> Lookup:
    return Lookup.open(home, watch=False, clock=lambda: NOW_S + 60, **({"log": True} | options))


def test_a_decision_is_told_again_as_it_was_given(home: Path, store: SqliteStore) -> None:
    query = RouteQuery(
        task="code",
        user="u",
        tenant="t",
        min_context=100,
        max_price={"prompt": 5},
        weights={"quality": 1, "priority": 1},
    )
    with opened(home) as lookup:
        answer = lookup.route(query)
    directory = home / "spool" / "decisions"
    before = told(find_decision(answer.decision_id, directory, None))
    assert before["answer"] == json.loads(json.dumps(answer.to_dict()))
    assert land_decisions(directory, store).landed == 1
    assert list(directory.glob("*.jsonl")) == [], "nobody writes the file any more"
    after = told(find_decision(answer.decision_id, directory, store))
    assert after == before
    assert before["query"] == {
        "task": "code", "user": "u", "tenant": "t", "min_context": 100, "max_price": {"prompt": 5.0, "completion": None},
        "weights": {"priority": 1.0, "quality": 1.0, "latency": 0.0, "cost": 0.0, "reliability": 0.0},
    }  # fmt: skip
    assert before["passed"] == 7
    named = [candidate["model"] for candidate in before["candidates"]]
    assert named[: 1 + len(answer.fallbacks)] == [answer.model, *(fallback.model for fallback in answer.fallbacks)]
    assert len(named) == len(set(named)) == 5
    for candidate in before["candidates"]:
        assert sum(part["weight"] * part["value"] for part in candidate["parts"]) == pytest.approx(candidate["score"])
    (row,) = store.read_all("routing_decisions")
    assert (row["task_type"], row["tenant_id"], row["user_id"], row["task_source"]) == ("code", "t", "u", "query")
    assert row["configuration_id"].startswith("c")
    assert row["decision_ms"] > 0


def test_what_a_user_wrote_is_not_logged(home: Path) -> None:
    with opened(home) as lookup:
        lookup.route(RouteQuery(message="please review my secret diary"))
    (line,) = logged(home)
    assert "diary" not in json.dumps(line)
    assert line["decision"]["task_source"] == "keyword"


@pytest.mark.parametrize(
    ("query", "source"), [(RouteQuery(need=("wings",)), "none"), (RouteQuery(policy="nobody's"), "none"), (RouteQuery(agent="ghost"), "none")]
)  # fmt: skip
def test_a_decision_for_no_model_is_logged_too(home: Path, store: SqliteStore, query: RouteQuery, source: str) -> None:
    with opened(home) as lookup:
        answer = lookup.route(query)
    assert answer.source == source
    land_decisions(home / "spool/decisions", store)
    document = told(find_decision(answer.decision_id, home / "spool/decisions", store))
    assert document["answer"] == json.loads(json.dumps(answer.to_dict()))
    assert (document["candidates"], document["passed"]) == ([], 0)


def test_the_default_model_is_logged_before_there_are_scores(tmp_path: Path, store: SqliteStore) -> None:
    configure(tmp_path, [model("a/one")])
    with opened(tmp_path) as lookup:
        answer = lookup.route()
    land_decisions(tmp_path / "spool/decisions", store)
    document = told(find_decision(answer.decision_id, tmp_path / "spool/decisions", store))
    assert document["answer"] == json.loads(json.dumps(answer.to_dict()))
    assert document["answer"]["source"] == "default"


def test_beyond_the_bound_decisions_are_dropped_and_counted(home: Path, store: SqliteStore) -> None:
    log = DecisionLog(home / "spool/decisions", most=3)
    log._stop.set()  # the thread ends; nothing is written until close
    with opened(home, log=log) as lookup:
        for _ in range(10):
            lookup.route()
        assert log.dropped == 7
    assert (log.written, log.problem) == (3, None)
    done = land_decisions(home / "spool/decisions", store)
    assert (done.landed, done.dropped, done.refused) == (3, 7, ())


def test_the_oldest_files_go_when_the_log_is_full(home: Path) -> None:
    log = DecisionLog(home / "spool/decisions", file_bytes=1, total_bytes=30_000)
    with opened(home, log=log) as lookup:
        for _ in range(40):
            lookup.route()
    files = sorted((home / "spool/decisions").glob("*.jsonl"))
    assert sum(path.stat().st_size for path in files) < 40_000
    assert log.dropped + sum("decision" in line for line in logged(home)) == 40 or log.dropped > 0
    assert log.written == 40


def test_a_disk_that_refuses_costs_the_line_and_never_the_answer(home: Path) -> None:
    (home / "spool").write_text("a file is in its place")
    with opened(home) as lookup:
        assert lookup.route().model is not None
        log = lookup.log
    assert log is not None
    assert (log.written, log.dropped) == (0, 1)
    assert "spool/decisions" in str(log.problem)


def test_half_a_line_never_counted_and_a_bad_line_is_set_aside_alone(home: Path, store: SqliteStore) -> None:
    with opened(home) as lookup:
        answers = [lookup.route() for _ in range(3)]
    directory = home / "spool" / "decisions"
    (path,) = directory.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    poisoned = json.loads(lines[1])
    poisoned["decision"]["score"] = 7  # no store takes a score beyond 1
    path.write_bytes(
        lines[0] + json.dumps(poisoned).encode() + b"\n" + b"\xff{\n" + b"[1]\n" + lines[2] + lines[0][:40]
    )
    done = land_decisions(directory, store)
    assert done.landed == 2
    assert [where for where, _ in done.refused] == [
        f"{path.name}, line 3",
        f"{path.name}, line 4",
        answers[1].decision_id,
    ]
    assert not path.exists()
    assert len((directory / "refused.txt").read_text().splitlines()) == 3
    assert {row["id"] for row in store.read_all("routing_decisions")} == {
        answers[0].decision_id,
        answers[2].decision_id,
    }


def test_a_living_writers_file_is_landed_and_stays(home: Path, store: SqliteStore) -> None:
    directory = home / "spool" / "decisions"
    with opened(home) as lookup:
        lookup.route()
        assert lookup.log is not None
        lookup.log.flush()
        assert [land_decisions(directory, store).landed for _ in range(2)] == [1, 0]
        lookup.route()
        lookup.log.flush()
        assert land_decisions(directory, store).landed == 1
        assert len(list(directory.glob("*.jsonl"))) == 1
    assert land_decisions(directory, store).landed == 0
    assert list(directory.glob("*.jsonl")) == []


def test_while_the_store_is_away_the_log_stays(home: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(home) as lookup:
        lookup.route()
    with monkeypatch.context() as away:

        def unavailable(*_: object) -> int:
            raise StoreUnavailable("the store is away")

        away.setattr(store, "write", unavailable)
        with pytest.raises(StoreUnavailable):
            land_decisions(home / "spool/decisions", store)
    assert land_decisions(home / "spool/decisions", store).landed == 1


def test_an_unknown_decision_is_named(home: Path, store: SqliteStore) -> None:
    with pytest.raises(UnknownName, match="nobody"):
        find_decision("nobody", home / "spool/decisions", store)


def test_the_store_refuses_a_score_beyond_one(home: Path, store: SqliteStore) -> None:
    with opened(home, log=False) as lookup:
        row = row_of(Noted(RouteQuery(), lookup.route(), "c", 1), 5)
    with pytest.raises(BadRows):
        store.write("routing_decisions", [row | {"score": 7}])


def test_many_threads_share_a_log_and_lose_nothing(home: Path) -> None:
    with opened(home) as lookup:
        threads = [threading.Thread(target=lambda: [lookup.route() for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ids = [line["decision"]["id"] for line in logged(home)]
    assert len(set(ids)) == len(ids) == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that a process with threads forks is the point
def test_a_forked_process_logs_into_a_file_of_its_own(home: Path) -> None:
    with opened(home) as lookup:
        lookup.route()
        assert lookup.log is not None
        lookup.log.flush()
        child = os.fork()
        if child == 0:
            lookup.route()
            lookup.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        lookup.route()
    assert len(logged(home)) == 3
    assert len(list((home / "spool/decisions").glob("*.jsonl"))) == 2
