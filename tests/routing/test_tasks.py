"""What a message is about: each row of the table, and what decides when several fit."""

import pytest

from analytics.routing.records import TaskGuess
from analytics.routing.tasks import TABLE, TaskRow, TaskTable

TOOLS = {
    "code_execute": "code", "document_ingest": "document", "http_fetch": "research", "file_read": "file_ops", "canvas_append": "canvas",
    "dalle3_image_gen": "image_gen", "mermaid_diagram": "diagram", "playwright_screenshot": "screenshot",
}  # fmt: skip
KEYWORDS = {
    "slides": "powerpoint ppt presentation slides",
    "code": "code program script function python javascript",
    "analysis": "analyze examine investigate review",
    "summarization": "summarize summary condense tldr",
    "translation": "translate translation",
    "image": "image picture photo diagram",
    "document": "document report paper pdf",
}
TASKS = TaskTable()


@pytest.mark.parametrize(("tool", "task"), TOOLS.items())
def test_a_tool_says_its_task_with_high_confidence(tool: str, task: str) -> None:
    assert TASKS.guess("translate this", (tool,), ()) == TaskGuess(task, "tool", "high")


@pytest.mark.parametrize(
    ("mime", "task"),
    [
        ("application/pdf", "document"),
        ("APPLICATION/PDF; version=1.7", "document"),
        ("image/png", "image"),
        ("image/svg+xml", "image"),
        ("text/csv", "analysis"),
        ("text/x-python", "code"),
        ("application/vnd.ms-powerpoint", "slides"),
        ("text/plain", "document"),
    ],
)
def test_an_attachment_says_its_task_with_high_confidence(mime: str, task: str) -> None:
    assert TASKS.guess("translate this", (), (mime,)) == TaskGuess(task, "attachment", "high")


@pytest.mark.parametrize(("word", "task"), [(word, task) for task, words in KEYWORDS.items() for word in words.split()])
def test_a_keyword_says_its_task_with_medium_confidence(word: str, task: str) -> None:
    for message in (word, f"Please, {word.upper()}!", f"a {word.title()}, now"):
        assert TASKS.guess(message, (), ()) == TaskGuess(task, "keyword", "medium"), message


@pytest.mark.parametrize(
    "message", ["decode", "scripture", "programme", "photograph", "previews", "reported", "", "   ", "hello"]
)
def test_a_part_of_a_word_is_no_keyword(message: str) -> None:
    assert TASKS.guess(message, (), ()) is None


@pytest.mark.parametrize(
    ("message", "task"),
    [
        ("review this python function", "code"),  # two against one
        ("review and examine this code", "analysis"),
        ("review this code", "code"),  # one each: the table's order
        ("code for my slides", "slides"),
        ("code code code: summary and tldr", "summarization"),  # the same word counts once
        ("a diagram of the report, as a picture", "image"),
        ("snake_case: code_review of python", "code"),
    ],
)
def test_most_hits_win_then_the_tables_order(message: str, task: str) -> None:
    found = TASKS.guess(message, (), ())
    assert found is not None
    assert found.task == task


def test_tools_come_before_attachments_before_words() -> None:
    assert TASKS.guess("python", ("http_fetch",), ("application/pdf",)) == TaskGuess("research", "tool", "high")
    assert TASKS.guess("python", ("some_other_tool",), ("application/pdf",)) == TaskGuess(
        "document", "attachment", "high"
    )
    assert TASKS.guess("python", ("some_other_tool",), ("x/y",)) == TaskGuess("code", "keyword", "medium")


def test_of_several_tools_most_hits_win() -> None:
    table = TaskTable([TaskRow("research", "tool", "web_search")])
    assert table.guess(None, ("code_execute", "http_fetch", "web_search"), ()) == TaskGuess("research", "tool", "high")


def test_a_user_extends_the_table() -> None:
    rows = [
        TaskRow("law", "keyword", "Contract"),
        TaskRow("law", "keyword", "terms of service"),
        TaskRow("law", "attachment", "application/x-brief"),
        TaskRow("sound", "attachment", "audio/*"),
        TaskRow("sql", "tool", "Run_SQL"),
    ]
    table = TaskTable(rows)
    assert table.guess("check this CONTRACT", (), ()) == TaskGuess("law", "keyword", "medium")
    assert table.guess("our Terms, of service", (), ()) == TaskGuess("law", "keyword", "medium")
    assert table.guess("terms of use, service", (), ()) is None
    assert table.guess("review the contract", (), ()) == TaskGuess(
        "analysis", "keyword", "medium"
    )  # built in comes first
    assert table.guess(None, (), ("audio/wav",)) == TaskGuess("sound", "attachment", "high")
    assert table.guess(None, ("run_sql",), ()) == TaskGuess("sql", "tool", "high")


@pytest.mark.parametrize(
    "row", [("law", "smell", "x"), ("", "tool", "x"), ("law", "tool", ""), ("law", "keyword", "?!")]
)
def test_a_row_that_makes_no_sense_is_refused(row: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"task row needs|has no word"):
        TaskTable([TaskRow(*row)])


def test_a_huge_message_is_read_from_its_beginning() -> None:
    assert TASKS.guess("translate " + "x " * 500_000 + "python code script", (), ()) == TaskGuess(
        "translation", "keyword", "medium"
    )


def test_the_table_is_data() -> None:
    assert {row.source for row in TABLE} == {"tool", "attachment", "keyword"}
    assert len(set(TABLE)) == len(TABLE)
