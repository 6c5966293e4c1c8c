"""Task types: what a message is about, from the tools it calls, what is attached, and the words it is made of.

The table is data: rows of (task type, source, pattern). A tool's pattern is its name; an attachment's a MIME type, where
`*` stands for anything after the slash; a keyword's a word or several, found as whole words, whatever their case.
The most certain source decides: tools, then attachments, then keywords. Within a source the task type with most hits wins
(a word or tool counts once), of several the one that comes first in the table. Rows of the user's come after the built-in ones.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .records import TaskGuess

Source = Literal["tool", "attachment", "keyword"]
SOURCES: tuple[Source, ...] = ("tool", "attachment", "keyword")  # from certain to less so
CONFIDENCE: dict[str, Literal["high", "medium"]] = {"tool": "high", "attachment": "high", "keyword": "medium"}

_READ = 8_000  # characters of a message: its beginning says what it is about
_WORD = re.compile(r"[^\W_]+")


class TaskRow(NamedTuple):
    """One row of the table."""

    task: str
    source: str
    pattern: str


_OFFICE = "application/vnd.openxmlformats-officedocument"
_BUILT_IN: dict[Source, dict[str, tuple[str, ...]]] = {
    "tool": {
        "code": ("code_execute",),
        "document": ("document_ingest",),
        "research": ("http_fetch",),
        "file_ops": ("file_read",),
        "canvas": ("canvas_append",),
        "image_gen": ("dalle3_image_gen",),
        "diagram": ("mermaid_diagram",),
        "screenshot": ("playwright_screenshot",),
    },
    "attachment": {
        "slides": ("application/vnd.ms-powerpoint", f"{_OFFICE}.presentationml.presentation"),
        "code": ("text/x-python", "text/javascript", "application/javascript", "text/x-c", "text/x-java-source"),
        "analysis": ("text/csv", "application/vnd.ms-excel", f"{_OFFICE}.spreadsheetml.sheet"),
        "image": ("image/*",),
        "document": ("application/pdf", "application/msword", f"{_OFFICE}.wordprocessingml.document", "text/plain"),
    },
    "keyword": {
        "slides": ("powerpoint", "ppt", "presentation", "slides"),
        "code": ("code", "program", "script", "function", "python", "javascript"),
        "analysis": ("analyze", "examine", "investigate", "review"),
        "summarization": ("summarize", "summary", "condense", "tldr"),
        "translation": ("translate", "translation"),
        "image": ("image", "picture", "photo", "diagram"),
        "document": ("document", "report", "paper", "pdf"),
    },
}
TABLE: tuple[TaskRow, ...] = tuple(
    TaskRow(task, source, pattern)
    for source, tasks in _BUILT_IN.items()
    for task, patterns in tasks.items()
    for pattern in patterns
)


class TaskTable:
    """The built-in rows and the user's, indexed by what is looked for."""

    def __init__(self, further: Iterable[TaskRow] = ()) -> None:
        """Raises `ValueError` for a row without task or pattern, or of another source."""
        self._place: dict[tuple[str, str], int] = {}
        self._exact: dict[str, dict[str, list[str]]] = {source: {} for source in SOURCES}
        self._kinds: dict[str, list[str]] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for row in (*TABLE, *further):
            self._add(row)

    def _add(self, row: TaskRow) -> None:
        if row.source not in SOURCES or not row.task or not row.pattern:
            raise ValueError(
                f"a task row needs a task, a pattern and a source of {', '.join(SOURCES)}, not {tuple(row)}"
            )
        self._place.setdefault((row.source, row.task), len(self._place))
        pattern = row.pattern.casefold()
        if row.source == "attachment" and pattern.endswith("/*"):
            self._kinds.setdefault(pattern[:-2], []).append(row.task)
        elif row.source == "keyword":
            words = tuple(_WORD.findall(pattern))
            if not words:
                raise ValueError(f"the keyword {row.pattern!r} has no word in it")
            self._phrases.setdefault(words[0], []).append((words, row.task))
        else:
            self._exact[row.source].setdefault(pattern, []).append(row.task)

    def guess(self, message: str | None, tools: tuple[str, ...], attachments: tuple[str, ...]) -> TaskGuess | None:
        """The task type of a message with the names of its tools and the MIME types of what is attached, if any shows."""
        found: tuple[tuple[Source, list[str]], ...] = (
            ("tool", [task for tool in tools for task in self._exact["tool"].get(tool.casefold(), ())]),
            ("attachment", [task for mime in attachments for task in self._of_mime(mime)]),
        )
        for source, tasks in found:
            if tasks:
                return TaskGuess(self._most(source, tasks), source, CONFIDENCE[source])
        tasks = self._of_words(message) if message else []
        return TaskGuess(self._most("keyword", tasks), "keyword", CONFIDENCE["keyword"]) if tasks else None

    def _of_mime(self, mime: str) -> Sequence[str]:
        """`text/plain; charset=utf-8` is `text/plain`; a type named whole comes before its kind."""
        name = mime.partition(";")[0].strip().casefold()
        return self._exact["attachment"].get(name) or self._kinds.get(name.partition("/")[0]) or ()

    def _of_words(self, message: str) -> list[str]:
        words = _WORD.findall(message[:_READ].casefold())
        places: dict[str, list[int]] = {}
        for place, word in enumerate(words):
            if word in self._phrases:
                places.setdefault(word, []).append(place)
        hits = []
        for first, starts in places.items():
            for phrase, task in self._phrases[first]:
                length = len(phrase)
                if length == 1 or any(tuple(words[start : start + length]) == phrase for start in starts):
                    hits.append(task)
        return hits

    def _most(self, source: Source, tasks: Sequence[str]) -> str:
        return max(dict.fromkeys(tasks), key=lambda task: (tasks.count(task), -self._place[source, task]))


def decode_tasks(rows: Iterable[Mapping[str, Any]]) -> TaskTable:
    """The table with the configuration's rows (`task_type`, `source`, `pattern`); raises `ValueError`."""
    return TaskTable(TaskRow(row["task_type"], row["source"], row["pattern"]) for row in rows)
