"""What is sent to providers: prompts and gold questions, read from the data files beside this module, and questions of others."""

import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from analytics.errors import UnknownName
from flows.workloads import imported
from flows.workloads.questions import read_lines
from flows.workloads.records import NONCE, Domain, GoldQuestion, Item, Workload, domain, version_of
from providers.records import Prompt

__all__ = [
    "Domain",
    "GoldQuestion",
    "Item",
    "Workload",
    "domains",
    "gold_files",
    "gold_questions",
    "list_workloads",
    "load_workload",
    "make_workload",
    "read_questions",
    "task_domains",
]

_HERE = Path(__file__).parent
_IMPORTED = {"kind": "gold", "max_output_tokens": 512}


@cache
def domains() -> tuple[Domain, ...]:
    """The domains that are measured, in the order of `domains.toml`."""
    return tuple(domain(name, text) for name, text in _toml("domains.toml")["domains"].items())


@cache
def task_domains() -> Mapping[str, tuple[str, ...]]:
    """Task type -> the domains whose benchmarks speak for it."""
    return {task: tuple(names) for task, names in _toml("domains.toml")["task_domains"].items()}


def gold_files() -> tuple[Path, ...]:
    """The files of gold questions, one per domain."""
    return tuple(sorted((_HERE / "gold").glob("*.jsonl")))


def gold_questions(names: Collection[str] | None = None) -> tuple[GoldQuestion, ...]:
    """The gold questions of the named domains, or of all. Raises `UnknownName` for a domain without questions."""
    questions = tuple(question for path in gold_files() for question in _own_questions(path))
    if names is None:
        return questions
    known = {question.domain for question in questions}
    for name in names:
        if name not in known:
            raise UnknownName(
                f"domain '{name}' has no gold questions; those with questions are {', '.join(sorted(known))}"
            )
    return tuple(question for question in questions if question.domain in names)


def read_questions(path: Path) -> tuple[GoldQuestion, ...]:
    """The gold questions of a JSON Lines file with prompt, expected_answer, domain, grader and optionally difficulty and
    tags. Raises `BadRows` naming the line, the column and what is wrong.
    """
    return read_lines(path.read_bytes(), path.name)


@cache
def _own_questions(path: Path) -> tuple[GoldQuestion, ...]:
    # Their answers are checked by the tests; to compile patterns here would load Arrow before every command.
    return read_lines(path.read_bytes(), path.name, trusted=True)


def list_workloads(folder: Path | None = None) -> tuple[Workload, ...]:
    """Every workload, in the order of `workloads.toml`, and those that were imported into `folder`."""
    theirs = imported.names(folder) if folder else []
    return tuple(load_workload(name, folder) for name in [*_toml("workloads.toml"), *theirs])


def load_workload(name: str, folder: Path | None = None) -> Workload:
    """One workload by its id; ours, or one that was imported into `folder`. Raises `UnknownName` with the ids that exist."""
    known = _toml("workloads.toml")
    if name in known:
        return _own_workload(name)
    theirs = imported.names(folder) if folder else []
    if folder is None or name not in theirs:
        raise UnknownName(f"workload '{name}' does not exist; there are {', '.join([*known, *theirs])}")
    found = imported.questions(folder, name)
    items = tuple(_gold_item(question, _parameters(_IMPORTED)) for question in found)
    described = f"Imported questions of {', '.join(sorted({question.domain for question in found}))}"
    return Workload(name, version_of(items), "gold", described, items, origin="imported")


@cache
def _own_workload(name: str) -> Workload:
    return make_workload(name, _toml("workloads.toml")[name])


def make_workload(name: str, described: Mapping[str, Any]) -> Workload:
    """A workload of its description: kind prompt (with `prompts`, or `files` of texts/) or gold (with `domains`, or all of
    them), and `max_output_tokens`, `system`, `temperature` where somebody set them.

    With `unique` each prompt begins with a number that no other request of a run has; with `times` each goes out so often.
    """
    parameters = _parameters(described)
    description, times = described.get("description", ""), described.get("times", 1)
    if described["kind"] == "gold":
        items = tuple(_gold_item(question, parameters) for question in gold_questions(described.get("domains")))
        return Workload(name, version_of(items), "gold", description, items, times)
    texts = [
        *described.get("prompts", ()),
        *((_HERE / "texts" / file).read_text("utf-8") for file in described.get("files", ())),
    ]
    unique = described.get("unique", False)
    opening = f"Request {NONCE}.\n\n" if unique else ""
    items = tuple(Item(Prompt(opening + text.strip(), **parameters), is_unique=unique) for text in texts)
    return Workload(name, version_of(items), "prompt", description, items, times)


def _parameters(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: described.get(key) for key in ("system", "max_output_tokens", "temperature")}


def _gold_item(question: GoldQuestion, parameters: Mapping[str, Any]) -> Item:
    prompt = Prompt(question.prompt, **parameters)
    return Item(prompt, question.domain, question.id, question.expected_answer, question.grader)


@cache
def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((_HERE / name).read_text("utf-8"))
