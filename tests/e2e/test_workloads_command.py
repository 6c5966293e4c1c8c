"""`scorehouse workloads`: what there is, and questions of others, all or none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from house import AURORA, House

Run = Callable[..., Any]

OURS = {"prompt": "Is a tomato a fruit? Answer with yes or no only.", "expected_answer": "yes", "grader": "exact", "domain": "botany", "difficulty": 2,
        "tags": ["plants"]}  # fmt: skip
GSM8K = {"question": "Ann has 1,200 pens and buys 34.", "answer": "1200 + 34 = <<1200+34=1234>>1234\n#### 1,234"}
MMLU = {"question": "Which is a gas?", "choices": ["iron", "neon", "salt"], "answer": 1, "subject": "chemistry"}


def lines(tmp_path: Path, *entries: Any, name: str = "mine.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(
        "".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in entries), "utf-8"
    )
    return path


def test_questions_of_three_shapes_become_a_workload_that_can_be_run(run: Run, house: House, tmp_path: Path) -> None:
    house.ready(AURORA)
    done = run("workloads", "import", lines(tmp_path, OURS, GSM8K, MMLU), "--json")
    assert (done.code, done.json["workload"], done.json["items"]) == (0, "mine", 3)
    assert done.json["domains"] == ["botany", "mine"]
    assert "new: botany, mine" in done.err

    shown = run("workloads", "show", "mine", "--json").json
    asked = {item["grader"]: (item["prompt"]["text"], item["expected_answer"]) for item in shown["items"]}
    assert asked["numeric"] == ("Ann has 1,200 pens and buys 34.\n\nAnswer with the number only.", "1234")
    assert asked["choice"] == ("Which is a gas?\nA) iron\nB) neon\nC) salt\n\nAnswer with the letter only.", "B")
    listed = {row["workload"]: row["origin"] for row in run("workloads", "list", "--json").lines}
    assert listed["mine"] == "imported"
    assert listed["gold"] == "own"

    assert {row["name"] for row in house.rows("domains")} >= {"botany", "mine"}
    assert len(house.rows("domain_benchmarks", domain="mine")) == 2
    ran = run("bench", "--workload", "mine", "--model", f"{AURORA}/aurora-mini", "--json")
    assert ran.json["requests"] == 3
    graded = house.rows("benchmark_results", workload_id="mine")
    assert {row["domain"] for row in graded} == {"botany", "mine"}
    assert all(row["correct"] is not None for row in graded)


def test_the_tables_for_a_person_name_what_there_is(run: Run) -> None:
    assert "long-context" in run("workloads", "list").out
    assert "lighthouse" in run("workloads", "show", "short").out


@pytest.mark.parametrize(
    ("entry", "because"),
    [
        ("{", "line 2: not JSON"),
        ({"question": "?", "answer": "42"}, "line 2: answer has no '#### '"),
        ({"question": "?", "answer": "#### many"}, "line 2: expected_answer 'many' is no number"),
        ({**MMLU, "choices": ["one"]}, "line 2: choices must be"),
        ({**MMLU, "answer": 3}, "line 2: answer must be"),
        ({**MMLU, "answer": "D"}, "line 2: answer must be"),
        ({**OURS, "grader": "magic"}, "line 2: grader 'magic' does not exist"),
        ({**OURS, "grader": "regex", "expected_answer": "("}, "line 2: expected_answer '(' is no pattern"),
        ({**OURS, "grader": "code", "expected_answer": "f(1)"}, "line 2: expected_answer: 'f(1)' is no assertion"),
        ({**OURS, "prompt": "half \ud800"}, "line 2: not JSON"),
        (OURS, "line 2: prompt is the one of line 1"),
    ],
)
def test_one_bad_line_leaves_everything_as_it_was(
    run: Run, house: House, tmp_path: Path, entry: Any, because: str
) -> None:
    before = len(house.rows("domains"))
    done = run("workloads", "import", lines(tmp_path, OURS, entry))
    assert done.code == 2
    assert f"mine.jsonl, {because}" in done.err
    assert len(house.rows("domains")) == before
    assert not house.settings.home.workloads.exists()


def test_it_says_how_many_lines_are_wrong(run: Run, tmp_path: Path) -> None:
    assert "(2 more lines are wrong)" in run("workloads", "import", lines(tmp_path, "{", "[]", "1", OURS)).err


def test_a_name_is_not_taken_twice_unless_asked(run: Run, house: House, tmp_path: Path) -> None:
    first = lines(tmp_path, OURS)
    assert run("workloads", "import", first).code == run("workloads", "import", first).code == 0
    version = run("workloads", "show", "mine", "--json").json["version"]
    other = lines(tmp_path, GSM8K, name="other.jsonl")
    refused = run("workloads", "import", other, "--name", "mine")
    assert (refused.code, "--replace" in refused.err) == (2, True)
    assert run("workloads", "show", "mine", "--json").json["version"] == version
    assert run("workloads", "import", other, "--name", "mine", "--replace", "--domain", "arithmetic").code == 0
    replaced = run("workloads", "show", "mine", "--json").json
    assert replaced["domains"] == ["arithmetic"]
    assert replaced["version"] != version


@pytest.mark.parametrize(
    ("name", "because"), [("gold", "Scorehouse itself"), ("../x", "cannot be a name"), ("", "cannot be a name")]
)
def test_a_name_that_cannot_be_is_refused(run: Run, house: House, tmp_path: Path, name: str, because: str) -> None:
    done = run(
        "workloads", "import", lines(tmp_path, OURS, name=f"{name.replace('/', '') or '.jsonl'}"), "--name", name or " "
    )
    assert (done.code, because in done.err) == (2, True)


def test_a_file_without_questions_or_none_at_all_is_refused(run: Run, tmp_path: Path) -> None:
    assert "holds no questions" in run("workloads", "import", lines(tmp_path, "")).err
    missing = run("workloads", "import", tmp_path / "nowhere.jsonl")
    assert (missing.code, "There is no file" in missing.err, "nowhere.jsonl" in missing.err) == (2, True, True)
    assert "there are short, default, gold" in run("workloads", "show", "nope").err
