"""Questions of others, kept in the home folder: one JSON Lines file per workload, whole or not at all."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from analytics.durable import make_directory, replace_file
from analytics.errors import BadRows
from analytics.store import Store, now_text
from flows.workloads.questions import read_lines, write_lines
from flows.workloads.records import GoldQuestion, domain

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def names(folder: Path) -> list[str]:
    """The workloads that were imported into `folder`."""
    return sorted(path.stem for path in folder.glob("*.jsonl"))


def questions(folder: Path, name: str) -> tuple[GoldQuestion, ...]:
    """The questions of one imported workload. Raises `BadRows` when somebody has changed the file into something else."""
    path = folder / f"{name}.jsonl"
    return read_lines(path.read_bytes(), path.name)


def read_foreign(file: Path, name: str, default_domain: str) -> tuple[GoldQuestion, ...]:
    """The questions of somebody's file, every line checked. Raises `BadRows` for a bad line, an empty file or a bad name."""
    for what in (name, default_domain):
        if not _NAME.fullmatch(what):
            raise BadRows(
                f"'{what}' cannot be a name: small letters, digits, '.', '_' and '-' can, at most 64; choose one by --name or --domain"
            )
    found = read_lines(file.read_bytes(), file.name, default_domain)
    if not found:
        raise BadRows(f"{file.name} holds no questions")
    return found


def keep(folder: Path, name: str, found: Sequence[GoldQuestion]) -> None:
    """Make `found` the questions of the workload `name`, in one step."""
    make_directory(folder)
    replace_file(folder / f"{name}.jsonl", write_lines(tuple(found)))


def add_rows(store: Store, found: Sequence[GoldQuestion], origin: str) -> list[str]:
    """Make the domains and questions known to the store; returns the domains that it did not know. May be repeated."""
    now = now_text()
    known = {row["name"] for row in store.read_all("domains")}
    new = sorted({question.domain for question in found} - known)
    store.write("domains", [{**asdict(domain(name, f"Imported from {origin}")), "created_at": now} for name in new])
    have = {row["id"] for row in store.read_all("domain_benchmarks")}
    store.write(
        "domain_benchmarks", [{**asdict(question), "created_at": now} for question in found if question.id not in have]
    )
    return new
