"""What is sent to providers: prompts and gold questions, read from the data files beside this module."""

import hashlib
import json
import tomllib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from analytics.errors import BadRows, UnknownName
from analytics.grading import grade
from providers.records import Prompt

_HERE = Path(__file__).parent
_NAMESPACE = uuid.UUID("6f0f8c1e-6f1d-5d0a-9f5e-2b8a4f1f7c11")


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a workload; without an expected answer there is nothing to grade."""

    prompt: Prompt
    domain: str | None = None
    benchmark_id: str | None = None
    expected_answer: str | None = None
    grader: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """What a benchmark runs. `version` is a digest of the items: results of different prompts never share one."""

    id: str
    version: str
    kind: Literal["prompt", "gold"]
    description: str
    items: tuple[Item, ...]


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


def stable_id(*names: str) -> str:
    """The UUIDv5 of a thing that is known by its names: the same on every machine."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(names)))


@cache
def domains() -> tuple[Domain, ...]:
    """The domains that are measured, in the order of `domains.toml`."""
    named = _toml("domains.toml")["domains"]
    return tuple(Domain(stable_id("domain", name), name, text) for name, text in named.items())


@cache
def task_domains() -> Mapping[str, tuple[str, ...]]:
    """Task type -> the domains whose benchmarks speak for it."""
    return {task: tuple(names) for task, names in _toml("domains.toml")["task_domains"].items()}


def gold_files() -> tuple[Path, ...]:
    """The files of gold questions, one per domain."""
    return tuple(sorted((_HERE / "gold").glob("*.jsonl")))


def gold_questions(names: Collection[str] | None = None) -> tuple[GoldQuestion, ...]:
    """The gold questions of the named domains, or of all. Raises `UnknownName` for a domain without questions."""
    questions = tuple(question for path in gold_files() for question in read_questions(path))
    if names is None:
        return questions
    known = {question.domain for question in questions}
    for name in names:
        if name not in known:
            raise UnknownName(
                f"domain '{name}' has no gold questions; those with questions are {', '.join(sorted(known))}"
            )
    return tuple(question for question in questions if question.domain in names)


@cache
def read_questions(path: Path) -> tuple[GoldQuestion, ...]:
    """The gold questions of a JSON Lines file with prompt, expected_answer, domain, grader and optionally difficulty and
    tags. Raises `BadRows` naming the line, the column and what is wrong.
    """
    lines = path.read_text("utf-8").split("\n")
    return tuple(_question(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip())


def list_workloads() -> tuple[Workload, ...]:
    """Every workload, in the order of `workloads.toml`."""
    return tuple(load_workload(name) for name in _toml("workloads.toml"))


@cache
def load_workload(name: str) -> Workload:
    """One workload by its id. Raises `UnknownName` with the ids that exist."""
    known = _toml("workloads.toml")
    if name not in known:
        raise UnknownName(f"workload '{name}' does not exist; there are {', '.join(known)}")
    return make_workload(name, known[name])


def make_workload(name: str, described: Mapping[str, Any]) -> Workload:
    """A workload of its description: kind prompt (with `prompts`) or gold (with `domains`, or all of them), and
    `max_output_tokens`, `system`, `temperature` where somebody set them.
    """
    parameters = {key: described.get(key) for key in ("system", "max_output_tokens", "temperature")}
    kind: Literal["prompt", "gold"]
    items: Sequence[Item]
    if described["kind"] == "gold":
        kind, items = (
            "gold",
            [_gold_item(question, parameters) for question in gold_questions(described.get("domains"))],
        )
    else:
        kind, items = "prompt", [Item(Prompt(text.strip(), **parameters)) for text in described["prompts"]]
    content = json.dumps([asdict(item) for item in items], sort_keys=True).encode()
    version = hashlib.sha256(content).hexdigest()[:12]
    return Workload(name, version, kind, described.get("description", ""), tuple(items))


def _gold_item(question: GoldQuestion, parameters: Mapping[str, Any]) -> Item:
    prompt = Prompt(question.prompt, **parameters)
    return Item(prompt, question.domain, question.id, question.expected_answer, question.grader)


def _question(line: str, where: str) -> GoldQuestion:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise BadRows(f"{where}: not JSON ({error})") from error
    if not isinstance(entry, dict):
        raise BadRows(f"{where}: not a JSON object")
    texts = {}
    for column in ("prompt", "expected_answer", "domain", "grader"):
        value = entry.get(column)
        if not isinstance(value, str) or not value.strip():
            raise BadRows(f"{where}: {column} must be a text that is not empty")
        texts[column] = value.strip()
    difficulty, tags = entry.get("difficulty", 1), entry.get("tags", [])
    if not isinstance(difficulty, int) or difficulty < 1:
        raise BadRows(f"{where}: difficulty must be a whole number from 1 up")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadRows(f"{where}: tags must be a list of texts")
    try:
        grade(texts["grader"], texts["expected_answer"], "")
    except BadRows as error:
        raise BadRows(f"{where}: {error}") from error
    identity = stable_id("question", texts["domain"], texts["prompt"])
    return GoldQuestion(identity, difficulty=difficulty, tags=tuple(tags), **texts)


@cache
def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((_HERE / name).read_text("utf-8"))
