"""What is published while somebody asks: taken up whole, or not at all."""

import gc
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from routing.publishing import point
from routing.worlds import NOW_S, configure, flip, model, rating, score, scored

from analytics.routing import Lookup, RouteQuery

ONE, TWO = model("a/one", priority=80), model("b/two", priority=60)
SCORES = (score("a/one", 0.5, 100), score("b/two", 0.9, 100))


class TestReload:
    def test_an_explicit_reload_takes_what_is_new(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
        assert lookup.route().source == "default"
        scored(tmp_path, SCORES)
        assert lookup.route().source == "default"
        assert lookup.reload()
        assert (lookup.route().model, lookup.problems) == ("b/two", ())
        assert not lookup.reload()

    def test_refresh_reads_only_when_a_pointer_moved(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        first = scored(tmp_path, SCORES)
        lookup = Lookup.open(tmp_path, watch=False)
        assert not lookup.refresh()
        scored(tmp_path, [])
        assert lookup.refresh()
        point(tmp_path / "scoring", first.name)
        assert lookup.refresh()
        assert lookup.snapshot_id == first.name

    @pytest.mark.parametrize("how", ["corrupt", "dangling", "missing", "senseless"])
    def test_a_broken_new_snapshot_leaves_the_old_one_in_use(self, tmp_path: Path, how: str) -> None:
        configure(tmp_path, [ONE, TWO])
        good = scored(tmp_path, SCORES)
        lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
        if how == "missing":
            (tmp_path / "scoring" / "CURRENT").unlink()
        elif how == "senseless":
            scored(tmp_path, SCORES, as_of="soon")
        else:
            bad = scored(tmp_path, [score("a/one", 1.0, 10)])
            flip(bad / "routing_scores.parquet") if how == "corrupt" else shutil.rmtree(bad)
        for _ in range(2):
            lookup.reload()
            answer = lookup.route()
            assert (answer.model, answer.source, answer.snapshot_id) == ("b/two", "snapshot", good.name)
            assert f"snapshot_{'corrupt' if how == 'senseless' else how}" in answer.reason_codes
            assert answer.reasons[-1].endswith("The one before it stays in use.")

    def test_a_broken_new_configuration_leaves_the_old_one_in_use(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES)
        lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
        configure(tmp_path, [ONE, ONE])
        lookup.reload()
        newest = scored(tmp_path, [score("a/one", 1.0, 10)])
        lookup.reload()
        answer = lookup.route()
        assert (answer.model, answer.snapshot_id) == ("a/one", newest.name)
        assert "configuration_corrupt" in answer.reason_codes

    def test_when_both_new_snapshots_are_broken_both_old_ones_stay_in_use(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        good = scored(tmp_path, SCORES)
        lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
        configure(tmp_path, [ONE, ONE])
        scored(tmp_path, SCORES, as_of="soon")
        assert not lookup.reload()
        answer = lookup.route()
        assert (answer.model, answer.snapshot_id) == ("b/two", good.name)
        assert answer.reason_codes[-2:] == ("configuration_corrupt", "snapshot_corrupt")

    def test_scores_of_a_first_snapshot_that_make_no_sense_stay_a_problem(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, TWO])
        scored(tmp_path, SCORES, as_of="soon")
        lookup = Lookup.open(tmp_path, watch=False)
        for _ in range(2):
            assert "snapshot_corrupt" in lookup.route().reason_codes
            lookup.reload()
        scored(tmp_path, SCORES)
        lookup.reload()
        assert (lookup.route().model, lookup.problems) == ("b/two", ())

    def test_removed_real_evidence_does_not_turn_into_simulated(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE, model("s/one", is_simulated=True)])
        scored(tmp_path, [score("s/one", 0.9, 10)], simulated=True)
        scored(tmp_path, [score("a/one", 0.9, 10)])
        lookup = Lookup.open(tmp_path, watch=False)
        (tmp_path / "scoring" / "CURRENT").unlink()
        lookup.reload()
        assert lookup.route().model == "a/one"

    def test_the_watcher_swaps_while_questions_are_asked_and_no_answer_is_torn(self, tmp_path: Path) -> None:
        """Each snapshot holds one quality for both models: an answer of two snapshots would show."""
        configure(tmp_path, [ONE, TWO])
        rng = random.Random(1)
        made: dict[str, float] = {}

        def publish_next() -> str:
            quality = rng.randint(1, 64) / 64
            name = scored(tmp_path, [rating(key, "code", quality, 50) for key in ("a/one", "b/two")]).name
            made[name] = quality
            return name

        last = publish_next()
        with Lookup.open(tmp_path, poll_s=0.001, clock=lambda: NOW_S) as lookup:
            seen = set()
            for _ in range(30):
                last = publish_next()
                deadline = time.monotonic() + 20
                while lookup.snapshot_id != last:
                    answer = lookup.route(RouteQuery(task="code"))
                    seen.add(answer.snapshot_id)
                    assert answer.snapshot_id is not None
                    assert answer.evidence is not None
                    assert answer.evidence.quality == made[answer.snapshot_id]
                    assert time.monotonic() < deadline
            assert len(seen) > 5

    def test_the_watcher_ends_with_its_lookup(self, tmp_path: Path) -> None:
        lookup = Lookup.open(tmp_path, poll_s=0.001)
        thread = watcher()
        del lookup
        gc.collect()
        thread.join(timeout=20)
        assert not thread.is_alive()

    def test_close_stops_the_watcher_and_the_lookup_still_answers(self, tmp_path: Path) -> None:
        configure(tmp_path, [ONE])
        with Lookup.open(tmp_path, poll_s=60) as lookup:
            thread = watcher()
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert lookup.route().model == "a/one"

    def test_what_could_not_be_read_is_tried_again(self, tmp_path: Path) -> None:
        """The snapshot arrives after its pointer did, as it may on a shared disk."""
        configure(tmp_path, [ONE, TWO])
        directory = scored(tmp_path, SCORES)
        away = directory.rename(tmp_path / "away")
        with Lookup.open(tmp_path, poll_s=0.001, retry_s=0) as lookup:
            assert lookup.route().source == "default"
            away.rename(directory)
            deadline = time.monotonic() + 20
            while lookup.problems:
                assert time.monotonic() < deadline
            assert lookup.route().source == "snapshot"


def watcher() -> threading.Thread:
    return next(thread for thread in threading.enumerate() if thread.name == "scorehouse-lookup")


@pytest.fixture(autouse=True)
def no_watcher_outlives_its_test() -> Iterator[None]:
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "scorehouse-lookup":
            thread.join(timeout=20)
            assert not thread.is_alive()
