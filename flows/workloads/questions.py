"""Questions as JSON Lines: our own shape, and the shapes of GSM8K and MMLU, which are told by their keys.

::

    {"prompt", "expected_answer", "grader", "domain", "difficulty", "tags"}     ours
    {"question", "answer": "... #### 42"}                                       as GSM8K: a number
    {"question", "choices": [...], "answer": 2 or "C", "subject"}               as MMLU: a letter
"""

import json
from collections.abc import Mapping
from typing import Any

from analytics.errors import BadRows
from analytics.grading import check
from analytics.store import stable_id
from flows.workloads.records import GoldQuestion

_LETTERS = "ABCDEFGHIJ"
_LONGEST_LINE = 1 << 20


def read_lines(
    content: bytes, name: str, default_domain: str | None = None, *, trusted: bool = False
) -> tuple[GoldQuestion, ...]:
    """The questions of a file called `name`. A line without a domain belongs to `default_domain`.

    Raises `BadRows` that names the line, the column and what is wrong, and how many more lines are wrong. A `trusted` file is
    taken to have expected answers that their graders can use.
    """
    questions: list[GoldQuestion] = []
    lines: dict[str, int] = {}
    wrong: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            question = _question(line, default_domain, trusted=trusted)
        except BadRows as error:
            wrong.append(f"{name}, line {number}: {error}")
            continue
        if question.id in lines:
            wrong.append(f"{name}, line {number}: prompt is the one of line {lines[question.id]}")
            continue
        lines[question.id] = number
        questions.append(question)
    if wrong:
        more = f" ({len(wrong) - 1} more lines are wrong)" if len(wrong) > 1 else ""
        raise BadRows(wrong[0] + more)
    return tuple(questions)


def write_lines(questions: tuple[GoldQuestion, ...]) -> bytes:
    """The questions in our own shape."""
    columns = ("prompt", "expected_answer", "domain", "difficulty", "tags", "grader")
    rows = ({name: getattr(question, name) for name in columns} for question in questions)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _question(line: bytes, default_domain: str | None, *, trusted: bool) -> GoldQuestion:
    entry = {"domain": default_domain, **_entry(line)}
    if "prompt" not in entry and "question" in entry:
        entry = _from_mmlu(entry) if "choices" in entry else _from_gsm8k(entry)
    texts = {column: _text(entry, column) for column in ("prompt", "expected_answer", "domain", "grader")}
    difficulty, tags = entry.get("difficulty", 1), entry.get("tags", [])
    if not isinstance(difficulty, int) or isinstance(difficulty, bool) or difficulty < 1:
        raise BadRows("difficulty must be a whole number from 1 up")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadRows("tags must be a list of texts")
    if not trusted:
        check(texts["grader"], texts["expected_answer"])
    identity = stable_id("question", f"{texts['domain']}\0{texts['prompt']}")
    return GoldQuestion(identity, difficulty=difficulty, tags=tuple(tags), **texts)


def _entry(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise BadRows("longer than 1 MiB")
    try:
        entry = json.loads(line)
        json.dumps(entry, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise BadRows(f"not JSON ({error})") from None
    if not isinstance(entry, dict):
        raise BadRows("not a JSON object")
    return entry


def _text(entry: Mapping[str, Any], column: str) -> str:
    value = entry.get(column)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadRows(f"{column} must be a text that is not empty")
    return value.strip()


def _from_gsm8k(entry: dict[str, Any]) -> dict[str, Any]:
    _, mark, result = _text(entry, "answer").rpartition("####")
    if not mark:
        raise BadRows("answer has no '#### ' before its result, and there are no choices")
    prompt = f"{_text(entry, 'question')}\n\nAnswer with the number only."
    return {**entry, "prompt": prompt, "expected_answer": result.strip().replace(",", ""), "grader": "numeric"}


def _from_mmlu(entry: dict[str, Any]) -> dict[str, Any]:
    choices, answer = entry["choices"], entry.get("answer")
    if (
        not isinstance(choices, list)
        or not 2 <= len(choices) <= len(_LETTERS)
        or not all(isinstance(one, str) for one in choices)
    ):
        raise BadRows(f"choices must be a list of 2 to {len(_LETTERS)} texts")
    letters = _LETTERS[: len(choices)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        answer = letters[answer]
    if not isinstance(answer, str) or len(answer.strip()) != 1 or answer.strip().upper() not in letters:
        raise BadRows(f"answer must be a number from 0 to {len(choices) - 1} or a letter from A to {letters[-1]}")
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(letters, choices, strict=True))
    prompt = f"{_text(entry, 'question')}\n{listed}\n\nAnswer with the letter only."
    tags = [entry["subject"]] if isinstance(entry.get("subject"), str) and entry["subject"] else entry.get("tags", [])
    return {**entry, "prompt": prompt, "expected_answer": answer.strip().upper(), "grader": "choice", "tags": tags}
