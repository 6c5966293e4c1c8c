"""Readers that look at what is published, over and over, while its publishers are killed."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from analytics.routing import Lookup
from analytics.routing.published import SnapshotUnreadable, read_published

_STAMP = 16  # a snapshot's id begins with its as_of, to the second
_UNREADABLE = {
    f"{noun}_{cause}" for noun in ("snapshot", "configuration") for cause in ("missing", "dangling", "corrupt")
}


class Readers:
    """A thread that reads the simulated scores whole and verified, by a lookup that stays open, and by one that has just come.

    `wrong` collects what no reader may ever see: half a snapshot, none where there was one, an older one than before.
    """

    def __init__(self, home: Path, pause_s: float = 0.03) -> None:
        self._pause_s = pause_s
        self.reads = 0
        self.snapshots: set[str] = set()
        self.wrong: list[str] = []
        self._home = home
        self._newest = ""
        self._configured = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def look(self, open_since_long: Lookup) -> None:
        """Each of the three readers looks once."""
        self._read()
        open_since_long.reload()
        self._ask(open_since_long)
        with Lookup.open(self._home, simulated=True, watch=False) as new:
            self._ask(new)
        self.reads += 3

    def _run(self) -> None:
        try:
            with Lookup.open(self._home, simulated=True, watch=False) as open_since_long:
                while not self._stop.wait(self._pause_s):
                    self.look(open_since_long)
        except Exception as error:  # noqa: BLE001  # a reader that dies has seen nothing: that is a finding, too
            self.wrong.append(f"a reader died: {type(error).__name__}: {error}")

    def _read(self) -> None:
        try:
            published = read_published(self._home / "scoring", "CURRENT-simulated", verify=True)
        except SnapshotUnreadable as error:
            if error.cause != "missing" or self._newest:
                self.wrong.append(f"a reader saw: {error.cause}: {error}")
            return
        as_of = str(published.meta["as_of"])
        if as_of < self._newest:
            self.wrong.append(f"a reader saw the scores go back from {self._newest} to {as_of}")
        self._newest = as_of
        self.snapshots.add(published.snapshot_id)

    def _ask(self, lookup: Lookup) -> None:
        # What was readable a moment ago must still be; what has never been published may be missing.
        allowed = {"snapshot_missing"} if not self._newest else set()
        allowed |= {"configuration_missing"} if not self._configured else set()
        answer = lookup.route()
        seen = _UNREADABLE & set(answer.reason_codes)
        self._configured |= "configuration_missing" not in seen
        if seen - allowed:
            self.wrong.append(f"a lookup said {sorted(seen)}: {' '.join(answer.reasons)}")
        if self._newest and answer.snapshot_id is not None:
            newest = self._newest[:19].replace("-", "").replace(":", "") + "Z"
            if answer.snapshot_id[:_STAMP] < newest:
                self.wrong.append(f"a lookup went back to {answer.snapshot_id} after {newest}")
