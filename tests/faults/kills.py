"""Kill bench and score (-9) at random moments, start them again, and look whether anything is lost, doubled or half.

    python -m tests.faults.kills --kills 200
    python -m tests.faults.kills --kills 1000 --store supabase

The calls are counted by the simulated providers, in a process that nobody kills. `--without` takes a support of the landing
protocol away in the killed processes: the same eyes must then see the damage. Exit code 1 says that something is wrong.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics.store import now_text, stable_id
from flows.settings import Settings, load_settings
from flows.warehouse import open_store
from flows.workloads import gold_files
from providers.simulated import Simulated, running
from providers.simulated.world import providers
from tests.faults.kills_readers import Readers
from tests.faults.kills_verdict import Findings, Verdict, judge, plans_in_the_spool
from tests.faults.kills_worker import PHASES, Order, Round

_AIMED = 0.25  # of the kills hit the landing, which is so short that moments drawn over a whole round hardly meet it
_PAUSE_S = 0.03  # between two looks at what is published
_BY_PAGES = 0.5  # of the extractions, where there is a way in bulk as well
_BEYOND = 1.1  # moments are drawn a little beyond a round's usual end, so that the last thing it does is hit as well
_SPARED = 8  # every eighth round lives: it publishes for the readers, and says how long a round takes on today's load
_OLD_S = 2 * 3600  # snapshots are made older than their grace: their removal is killed, too
_SHOWN = 5
_TITLES = {
    "begin": "before the plan",
    "bench": "during bench",
    "landing": "during landing",
    "extract": "during extraction",
    "score": "during score",
    "end": "at the end",
}


@dataclass(slots=True)
class Session:
    """The rounds so far. `lengths` are the seconds that each phase took when it was last seen whole: first a guess."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    planned: set[str] = field(default_factory=set)
    lengths: dict[str, float] = field(
        default_factory=lambda: dict(zip(PHASES, (0.2, 0.7, 0.05, 0.3, 2.0), strict=True))
    )

    def moment(self, draw: random.Random, during: str | None, *, extract: bool) -> Order:
        """When the next round is killed: anywhere in it, or anywhere in the phase `during`; now and then never.

        With `extract` a round that is to be killed ends with the extraction.
        """
        if self.rounds % _SPARED == _SPARED - 1:
            return Order()
        ending = {"extract": extract, "pages": extract and draw.random() < _BY_PAGES}
        if during is None and draw.random() < _AIMED:
            during = "landing"
        if during is None:
            left_out = "score" if extract else "extract"
            usual = sum(length for phase, length in self.lengths.items() if phase != left_out)
            return Order(phase="begin", delay=draw.uniform(0, usual * _BEYOND), **ending)
        return Order(phase=during, delay=draw.uniform(0, self.lengths[during]), **ending)

    def add(self, done: Round, spool: Path) -> None:
        """Note a round: where it died, what it had planned, how long its phases took."""
        self.rounds += 1
        self.planned |= {*done.planned, *plans_in_the_spool(spool)}
        entered = list(done.entered.items())
        for (phase, began), (_, ended) in pairwise(entered):
            self.lengths[phase] = ended - began
        if done.status == -9:
            self.kills[entered[-1][0] if entered else "begin"] += 1


class Worker:
    """The process that forks the rounds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def play(self, order: Order) -> Round:
        """Play one round; RuntimeError if it failed by itself, its traceback being on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        done = Round(**json.loads(self._process.stdout.readline()))
        if done.status not in {0, -9}:
            raise RuntimeError(f"a round ended by itself with exit code {done.status}, in {list(done.entered)}")
        return done


@contextmanager
def working(home: Path, without: str | None) -> Iterator[Worker]:
    """A worker on this home for the length of the block."""
    command = [sys.executable, "-m", "tests.faults.kills_worker", str(home)]
    command += ["--without", without] if without else []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Worker(process)
        # Leaving closes its input, which ends it.


def prepare(settings: Settings, simulated: Simulated) -> None:
    """Enter the simulated providers and their models into the store, as adding them and a sync would."""
    now = now_text()
    with open_store(settings) as store:
        rows = [{**row, "id": stable_id("provider", row["key"])} for row in simulated.providers]
        store.write("providers", [{**row, "created_at": now, "updated_at": now} for row in rows])
        for provider in providers():
            models = [
                {
                    "external_id": model.id,
                    "display_name": model.display_name,
                    "input_price_per_m": model.input_price_per_m,
                    "output_price_per_m": model.output_price_per_m,
                }
                for model in provider.models.values()
            ]
            store.apply_catalog(provider.key, models, now, active="all")


def age_snapshots(*roots: Path) -> None:
    """Make all snapshots older by more than their grace, in the same order as before."""
    for manifest in (path for root in roots for path in root.glob("[0-9]*/manifest.json")):
        made = manifest.parent.stat().st_mtime
        os.utime(manifest.parent, (made - _OLD_S, made - _OLD_S))


def hold(home: Path, kills: int, seed: int, *, without: str | None, during: str | None) -> bool:
    """One session of `kills` kills in an empty `home`; prints what came of it and says whether all is well."""
    settings = load_settings(home)
    draw, session, began = random.Random(seed), Session(), time.monotonic()
    folders, extract = settings.home, settings.supabase_url is not None
    with running(seed=seed, gold=gold_files()) as simulated:
        prepare(settings, simulated)
        pause_s = _PAUSE_S * (10 if extract else 1)  # there is little to see where most rounds publish nothing
        with working(home, without) as worker, Readers(home, pause_s) as readers:
            while session.kills.total() < kills:
                order = session.moment(draw, during, extract=extract)
                session.add(worker.play(order), folders.spool)
                age_snapshots(folders.scoring, folders.configuration)
                if session.rounds % 25 == 0:
                    print(f"{session.kills.total()} kills, {time.monotonic() - began:.0f} s", file=sys.stderr)
            worker.play(Order(bench=False))
        verdict = judge(settings, simulated.log(), session.planned)
    seen = {"seen by a reader": readers.wrong} if readers.wrong else {}
    print(f"{session.kills.total()} kills in {session.rounds} rounds, {time.monotonic() - began:.0f} s, seed {seed}")
    return _report(session, verdict, readers, {**verdict.findings, **seen})


def _report(session: Session, verdict: Verdict, readers: Readers, findings: Findings) -> bool:
    print(
        "killed "
        + ", ".join(f"{title} {session.kills[phase]}" for phase, title in _TITLES.items() if session.kills[phase])
    )
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(verdict.outcomes.items()))
    print(f"{verdict.runs} runs, {len(session.planned)} planned results, {verdict.calls} calls; rows: {outcomes}")
    print(f"{readers.reads} reads saw {len(readers.snapshots)} snapshots")
    for what, found in findings.items():
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        print(f"WRONG: {len(found)} {what}: {'; '.join(found[:_SHOWN])}{more}")
    if not findings:
        print("Every planned result is in store and lake once, every call has its row, every snapshot was whole.")
    return not findings


@contextmanager
def stored_in(store: str) -> Iterator[None]:
    """Where the environment says that results go, for the length of the block: a project of our own, or the home folder."""
    if store == "sqlite":
        yield
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from supabase_project import Projects
    from supabase_project.server import running as server

    with server() as postgres, Projects(postgres).fresh() as project:
        os.environ["SUPABASE_URL"] = project.url
        os.environ["SUPABASE_SERVICE_ROLE_KEY"] = project.service_key
        os.environ["SUPABASE_DB_URL"] = project.db_url
        yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of the moments and of the simulated world")
    parser.add_argument("--without", choices=("intent", "idempotence"), help="what to take out of the product")
    parser.add_argument("--during", choices=PHASES, help="kill in this phase only")
    parser.add_argument("--store", choices=("sqlite", "supabase"), default="sqlite")
    parser.add_argument("--home", type=Path, help="an empty folder that stays, instead of a temporary one")
    arguments = parser.parse_args()
    seed = random.randrange(2**31) if arguments.seed is None else arguments.seed
    with TemporaryDirectory(prefix="kills-") as scratch, stored_in(arguments.store):
        home = arguments.home or Path(scratch)
        is_well = hold(home, arguments.kills, seed, without=arguments.without, during=arguments.during)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
