"""The nouns of a workload."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from analytics.store import stable_id
from providers.records import Prompt

NONCE = "{nonce}"


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a workload; without an expected answer there is nothing to grade.

    `is_unique`: the prompt holds a place for a number that differs from request to request.
    """

    prompt: Prompt
    domain: str | None = None
    benchmark_id: str | None = None
    expected_answer: str | None = None
    grader: str | None = None
    is_unique: bool = False

    def with_nonce(self, *causes: object) -> "Item":
        """The item as it is sent: its number follows from `causes`, so that the same run can be repeated to the letter."""
        if not self.is_unique:
            return self
        digest = hashlib.sha256("\0".join(map(str, causes)).encode()).hexdigest()
        return replace(self, prompt=replace(self.prompt, text=self.prompt.text.replace(NONCE, digest[:24], 1)))


@dataclass(frozen=True, slots=True)
class Workload:
    """What a benchmark runs. `version` is a digest of the items: results of different prompts never share one.

    `times` is how often each item goes to each model in one repeat of the run; `origin` says whose questions they are.
    """

    id: str
    version: str
    kind: Literal["prompt", "gold"]
    description: str
    items: tuple[Item, ...]
    times: int = 1
    origin: Literal["own", "imported"] = "own"


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question with its one right answer: a row of `domain_benchmarks`. `difficulty` is 1 (easy) and up."""

    id: str
    domain: str
    prompt: str
    expected_answer: str
    grader: str
    difficulty: int = 1
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """A row of `domains`."""

    id: str
    name: str
    description: str


def domain(name: str, description: str) -> Domain:
    """A domain by its name."""
    return Domain(stable_id("domain", name), name, description)


def version_of(items: tuple[Item, ...]) -> str:
    """The digest of what is sent and expected."""
    content = json.dumps([asdict(item) for item in items], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:12]
