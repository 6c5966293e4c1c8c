"""Workloads as data: readable, graded by a grader that exists, and with ids that never move."""

import json
from pathlib import Path

import pytest

from analytics.errors import BadRows, UnknownName
from analytics.grading import GRADERS, grade
from flows import workloads
from providers.records import Prompt

# What a right reply says where the expected answer is a pattern or a set of tests.
SOLUTIONS = {
    entry["prompt"]: entry["solution"]
    for path in workloads.gold_files()
    for entry in map(json.loads, path.read_text("utf-8").splitlines())
    if "solution" in entry
}


def test_each_domain_has_at_least_forty_questions_of_its_own() -> None:
    for domain in workloads.domains():
        questions = workloads.gold_questions([domain.name])
        assert len(questions) >= 40
        assert {question.domain for question in questions} == {domain.name}
        assert {question.difficulty for question in questions} == {1, 2, 3, 4, 5}
        assert all(question.tags for question in questions)


def test_every_grader_is_asked_for() -> None:
    assert {question.grader for question in workloads.gold_questions()} == set(GRADERS)


def test_no_question_is_asked_twice() -> None:
    questions = workloads.gold_questions()
    assert (
        len({question.id for question in questions})
        == len({question.prompt for question in questions})
        == len(questions)
    )


@pytest.mark.parametrize("question", workloads.gold_questions(), ids=lambda question: question.prompt[:40])
def test_a_question_says_the_form_of_its_answer_and_accepts_it(question: workloads.GoldQuestion) -> None:
    assert "Answer with " in question.prompt
    assert " only" in question.prompt
    assert grade(question.grader, question.expected_answer, SOLUTIONS.get(question.prompt, question.expected_answer))
    assert not grade(question.grader, question.expected_answer, question.prompt)


def test_task_types_map_to_domains_that_exist() -> None:
    known = {domain.name for domain in workloads.domains()}
    assert workloads.task_domains()["code"] == ("coding",)
    assert {name for names in workloads.task_domains().values() for name in names} <= known


def test_ids_are_the_same_on_every_machine() -> None:
    assert workloads.domains()[0].id == "6f256403-01b3-5a59-84ff-c2c126cd51e7"
    questions = workloads.gold_questions()
    assert questions[0].id == "76d0e9c6-ff77-5ddf-b34c-d70df3a5a2bf"
    assert len({question.id for question in questions}) == len(questions)


def test_the_workloads_of_the_engine_are_there() -> None:
    assert [(workload.id, workload.kind) for workload in workloads.list_workloads()] == [
        ("short", "prompt"),
        ("default", "prompt"),
        ("gold", "gold"),
        ("long-output", "prompt"),
        ("long-context", "prompt"),
        ("unique", "prompt"),
        ("repeated", "prompt"),
    ]


def test_prompts_have_the_lengths_that_they_are_for() -> None:
    tokens = {
        name: len(workloads.load_workload(name).items[0].prompt.text) / 4
        for name in ("long-context", "unique", "repeated")
    }
    assert tokens["long-context"] > 8000
    assert tokens["unique"] > 1024  # less is not cached by anybody
    assert tokens["repeated"] > 1024
    assert workloads.load_workload("repeated").times > 1


def test_a_unique_prompt_begins_with_a_number_of_its_own() -> None:
    (item,) = workloads.load_workload("unique").items
    one, same, other = item.with_nonce(1, "m", 0, 0), item.with_nonce(1, "m", 0, 0), item.with_nonce(1, "m", 0, 1)
    assert one == same != other
    assert "{nonce}" in item.prompt.text[:40]
    assert "{nonce}" not in one.prompt.text
    assert one.prompt.text[:40] != other.prompt.text[:40]
    assert one.prompt.text[60:] == other.prompt.text[60:]


def test_other_prompts_are_sent_as_they_are() -> None:
    item = workloads.Item(Prompt("What does {nonce} mean?"))
    assert item.with_nonce(1) is item


def test_a_gold_workload_holds_each_question_with_its_answer() -> None:
    gold = workloads.load_workload("gold")
    assert [item.benchmark_id for item in gold.items] == [question.id for question in workloads.gold_questions()]
    assert all(item.expected_answer and item.grader and item.prompt.max_output_tokens for item in gold.items)


def test_a_prompt_workload_has_nothing_to_grade() -> None:
    (item,) = workloads.load_workload("default").items
    assert (item.domain, item.benchmark_id, item.expected_answer, item.grader) == (None, None, None, None)
    assert 400 <= len(item.prompt.text) / 4 <= 700


def test_a_changed_prompt_is_another_version() -> None:
    one, same, other = (
        workloads.make_workload("mine", {"kind": "prompt", "prompts": [text]}) for text in ("Hello", "Hello", "Hello!")
    )
    assert one.version == same.version != other.version


def test_unknown_names_are_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownName, match="short, default, gold"):
        workloads.load_workload("nope")
    with pytest.raises(UnknownName, match="coding, general, math, medical"):
        workloads.gold_questions(["law"])


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"prompt": "", "expected_answer": "1", "domain": "math", "grader": "numeric"}', "prompt must be"),
        ('{"prompt": "?", "expected_answer": 1, "domain": "math", "grader": "numeric"}', "expected_answer must be"),
        ('{"prompt": "?", "expected_answer": "x", "domain": "math", "grader": "numeric"}', "no number"),
        ('{"prompt": "?", "expected_answer": "x", "domain": "math", "grader": "magic"}', "does not exist"),
        (
            '{"prompt": "?", "expected_answer": "1", "domain": "math", "grader": "numeric", "difficulty": 0}',
            "difficulty",
        ),
        ('{"prompt": "?", "expected_answer": "1", "domain": "math", "grader": "numeric", "tags": "a"}', "tags"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str, because: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("\n" + line + "\n", "utf-8")
    with pytest.raises(BadRows, match=rf"mine\.jsonl, line 2: .*{because}"):
        workloads.read_questions(path)
