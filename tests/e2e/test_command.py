"""The command's contract: exit codes, one sentence per error, data on stdout and nothing else there."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Run
from house import AURORA, House, files_of
from typer.main import get_command

from analytics.store import Row
from flows.cli import make_app
from providers.simulated import Simulated


def commands() -> list[tuple[str, ...]]:
    """Every command and group by its words."""
    found: list[tuple[str, ...]] = [()]
    open_groups: list[tuple[tuple[str, ...], Any]] = [((), get_command(make_app()))]
    while open_groups:
        words, group = open_groups.pop()
        for name, command in sorted(group.commands.items()):
            found.append((*words, name))
            if hasattr(command, "commands"):
                open_groups.append(((*words, name), command))
    return found


def test_the_command_has_exactly_the_words_of_its_contract() -> None:
    assert {" ".join(words) for words in commands()} - {""} == {
        "demo", "providers", "providers list", "providers show", "providers add", "providers set", "providers disable", "providers enable", "providers test",
        "keys", "keys set", "keys check", "workloads", "workloads list", "workloads show", "workloads import",
        "models", "models list", "models show", "models sync", "models add", "models set", "models enable", "models disable",
        "prices", "prices list", "prices show", "prices set", "prices clear", "prices accept", "prices reprice", "bench", "score", "route", "explain", "performance",
        "agents", "agents list", "agents models", "agents enable", "agents disable", "agents priority",
        "policies", "policies list", "policies show", "policies add", "policies activate",
        "budgets", "budgets list", "budgets set", "audit",
        "events", "events import", "feedback", "query", "export", "mcp", "status", "prune", "db", "db migrate", "db check", "db restore", "deploy",
    }  # fmt: skip


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words, "--help")
    assert ran.code == 0
    assert "Usage:" in ran.out
    assert ran.err == ""


def test_without_a_word_it_shows_its_commands_and_that_is_bad_usage(run: Run) -> None:
    ran = run()
    assert ran.code == 2
    assert "Usage:" in ran.out


BAD_USAGE: list[tuple[str, str]] = [
    ("nonsense", "No such command 'nonsense'"),
    ("providers nonsense", "No such command 'nonsense'"),
    ("bench --nonsense", "No such option"),
    ("bench --repeats none", "'--repeats': Input should be a valid integer"),
    ("bench --repeats 0", "'--repeats': Input should be greater than or equal to 1"),
    ("bench --max-usd -1", "'--max-usd': Input should be greater than or equal to 0"),
    ("bench --max-usd nan", "'--max-usd'"),
    ("mcp --transport smoke", "Invalid value for '--transport': 'smoke' is not one of 'stdio', 'http'."),
    ("prune --table nope", "Invalid value for '--table': 'nope' is not one of 'benchmark_results', "),
    ("bench --workload nothing", "workload 'nothing' does not exist; there are short, default, gold"),
    ("bench --provider nobody", "There is no provider 'nobody'"),
    ("bench --model sim-aurora/nothing", "no available chat model 'sim-aurora/nothing'"),
    ("bench --provider sim-aurora --model sim-cascade/cascade-swift", "'sim-cascade/cascade-swift'"),
    ("providers add", "Missing argument 'ID'"),
    ("providers add x", "Missing option '--type'"),
    ("providers add x --type nonsense", "--type 'nonsense' is not a provider type"),
    ("providers add x --type custom --base-url ftp://example.org", "base_url must begin with https://"),
    ("providers add x --type custom --base-url http://example.org/v1", "in clear"),
    ("providers add x --type custom --base-url https://user:pw@example.org", "user name or password"),
    ("providers add x --type custom --base-url https://", "names no host"),
    ("providers add x --type custom --base-url https://10.0.0.5:8000/v1", "10.0.0.5, which is no public address"),
    ("providers add x --type custom --base-url https://0x7f.1/v1", "odd spelling of an address"),
    ("providers add x --type azure", "needs --base-url"),
    ("providers set nobody --rate-limit-rpm 5", "There is no provider 'nobody'"),
    ("providers set sim-aurora", "Nothing to set"),
    ("providers set sim-aurora --base-url https://169.254.169.254", "must be on loopback"),
    ("providers add a/b --type openai", "cannot be used"),
    ("providers add sim-aurora --type openai", "There is a provider 'sim-aurora' already"),
    (
        "providers add x --type openai --rate-limit-rpm 0",
        "'--rate-limit-rpm': Input should be greater than or equal to 1",
    ),
    ("providers show nobody", "There is no provider 'nobody'"),
    ("providers disable nobody", "There is no provider 'nobody'"),
    ("providers test nobody", "'nobody'"),
    ("models show nothing", "There is no model 'nothing'"),
    ("models sync nobody", "There is no provider 'nobody'"),
    ("models list --cost-tier cheap", "--cost-tier 'cheap' is not free, low, standard or premium"),
    ("models list --provider nobody", "There is no provider 'nobody'"),
    ("models add noslash", "write provider/name"),
    ("models add nobody/m", "There is no provider 'nobody'"),
    ("models add sim-aurora/aurora-mini", "already"),
    ("models add sim-aurora/new --input-price-per-m 1", "A price has two sides"),
    ("models set sim-aurora/aurora-mini", "Nothing to set"),
    ("models set sim-aurora/aurora-mini --priority 101", "'--priority': Input should be less than or equal to 100"),
    ("models set sim-aurora/aurora-mini --cost-tier cheap", "is not free, low, standard or premium"),
    ("models disable nothing", "There is no model 'nothing'"),
    ("route --sort beauty", "--sort 'beauty' is not one of"),
    ("route --max-tier cheap", "max_tier"),
    ("route --min-quality 2", "min_quality"),
    ("route --top 0", "top"),
    ("route --max-price 3", "--max-price '3' is not of the form NAME=VALUE"),
    ("route --max-price prompt=dear", "a number was expected, not 'dear'"),
    ("route --max-price input=3", "max_price"),
    ("agents models nobody", "There is no agent 'nobody'"),
    ("agents enable writer", "Nothing to enable"),
    ("agents enable writer --model nothing", "There is no model 'nothing'"),
    ("agents enable writer --cost-tier cheap", "--cost-tier 'cheap' is not free, low, standard or premium"),
    ("agents disable writer", "Nothing to disable"),
    ("agents disable nobody --all", "There is no agent 'nobody'"),
    ("agents priority writer 101 --model sim-aurora/aurora-mini", "less than or equal to 100"),
    ("agents priority writer --model sim-aurora/aurora-mini", "Give either a priority from 0 to 100 or --clear"),
    ("agents priority writer 5 --clear --cost-tier low", "Give either a priority"),
    ("agents priority writer 5", "Nothing to set"),
    ("policies show nothing", "There is no policy 'nothing' of this owner"),
    ("policies show best --version 2", "There is no policy 'best' of this owner in version 2"),
    ("policies add house", "A policy without rules says nothing"),
    ("policies add house --weight quality", "--weight 'quality' is not of the form NAME=VALUE"),
    ("policies add house --weight beauty=1", "weights must be numbers by name"),
    ("policies add house --weight quality=-1", "weights must be a finite number, 0 or more, not -1"),
    ("policies add house --limit max_beauty=1", "there is no rule or limit max_beauty"),
    ("policies add house --limit max_tier=cheap", "max_tier must be one of free, low, standard, premium"),
    ("policies add house --limit min_tps=fast", "a number was expected, not 'fast'"),
    ("policies add house --sort beauty", "sort must be one of"),
    ("policies add house --sort price --weight cost=1", "--sort ranks by one figure alone"),
    ("policies add house --fades-k -1", "fades_k must be a finite number"),
    ("policies add house --sort price --user u --agent a", "a user's or an agent's, not both"),
    ("policies activate nothing", "no policy 'nothing'; it has: none yet"),
    ("policies activate best --version 2", "no policy 'best' in version 2"),
    ("workloads import nowhere.jsonl", "There is no file 'nowhere.jsonl'"),
    ("events import nowhere.jsonl", "There is no file 'nowhere.jsonl'"),
    ("feedback m1", "Give either --rating or --signal"),
    ("feedback m1 --rating 1 --signal copy", "Give either --rating or --signal"),
    ("feedback m1 --rating 2", "'--rating': Input should be less than or equal to 1"),
    ("feedback m1 --rating 1", "name the model"),
    ("feedback m1 --signal shout --model sim-aurora/aurora-mini", "'shout' is none of"),
    ("feedback m1 --rating 1 --model nosuch", "There is no model 'nosuch'"),
    ("query nothing", "there is no query 'nothing'"),
    ("query run_results", "wants run_id"),
    ("query run_results --param nonsense", "not of the form NAME=VALUE"),
    ("export nothing --out x.csv", "There is no table 'nothing'"),
    ("export runs --out x.doc", "must end in .parquet, .csv or .jsonl"),
    ("prune --older-than 0", "'--older-than': Input should be greater than or equal to 1"),
    ("prune --older-than 99999999", "less than or equal to 36500"),
    ("models add sim-aurora/x --input-price-per-m 1 --output-price-per-m inf", "--output-price-per-m"),
    ("bench --repeats 999999999", "less than or equal to 10000"),
    ("export runs --out \udcff.csv", "is not UTF-8 text"),
    ("deploy", "prefect.yaml"),
    ("db nonsense", "No such command 'nonsense'"),
]


@pytest.fixture(scope="module")
def furnished(
    simulated_world: Simulated, tmp_path_factory: pytest.TempPathFactory
) -> tuple[House, dict[str, list[Row]]]:
    """A home with its catalogs synced, for tests that change nothing; and what its tables hold."""
    house = House(tmp_path_factory.mktemp("furnished"), simulated_world).ready()
    return house, {name: house.rows(name) for name in TABLES}


def test_an_empty_base_url_is_not_the_types_own_address(run: Run) -> None:
    ran = run("providers", "add", "gateway", "--type", "openai", "--base-url", "")
    assert ran.code == 2
    assert "--base-url is empty" in ran.err


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.strip()) == (0, metadata.version("scorehouse"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_a_closed_stream_is_no_error(closed: str, tmp_path: Path) -> None:
    environment = os.environ | {"SCOREHOUSE_HOME": str(tmp_path / "home")}
    command = f"{Path(sys.executable).with_name('scorehouse')} status {closed}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


@pytest.mark.parametrize(("words", "sentence"), BAD_USAGE)
def test_bad_usage_is_one_sentence_and_exit_2_and_changes_nothing(
    run: Run, furnished: tuple[House, dict[str, list[Row]]], monkeypatch: pytest.MonkeyPatch, words: str, sentence: str
) -> None:
    house, before = furnished
    monkeypatch.setenv("SCOREHOUSE_HOME", str(house.home))
    mark = house.mark
    ran = run(*words.split())
    assert ran.code == 2
    assert sentence in ran.err
    assert ran.err.startswith("scorehouse: ")
    assert ran.err.count("\n") == 1
    assert ran.err.rstrip().endswith((".", "?", "!"))
    assert ran.out == ""
    assert {name: house.rows(name) for name in TABLES} == before
    assert [entry for entry in house.simulated.log()[mark:] if entry["model"]] == []


TABLES = (
    "providers",
    "models",
    "model_overrides",
    "prices",
    "runs",
    "benchmark_results",
    "request_events",
    "feedback_events",
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[benchmark", "scorehouse.toml is not valid TOML"),
        ("[benchmark]\nmax_ust = 1", "benchmark.max_ust"),
        ("[benchmark]\nmax_usd = 'much'", "benchmark.max_usd"),
    ],
)
@pytest.mark.parametrize("words", ["status", "bench", "providers list", "route", "db check"])
def test_a_mistake_in_the_configuration_is_one_sentence_and_exit_2(
    run: Run, house: House, words: str, text: str, sentence: str
) -> None:
    Path("scorehouse.toml").write_text(text)
    ran = run(*words.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert sentence in ran.err
    assert not house.home.exists()


def test_a_bad_value_in_the_environment_names_the_variable(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "perhaps")
    ran = run("status")
    assert (ran.code, ran.out) == (2, "")
    assert "environment variable SCOREHOUSE_DEV" in ran.err
    assert not house.home.exists()


def test_a_home_that_cannot_be_is_one_sentence_and_exit_1(run: Run, house: House) -> None:
    house.home.write_text("a file is in its place")
    for words in ("providers list", "score", "bench", "export runs --out x.csv"):
        ran = run(*words.split())
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), words
        assert str(house.home) in ran.err


def test_a_damaged_store_is_one_sentence_and_exit_1(run: Run, house: House) -> None:
    house.home.mkdir()
    house.settings.home.store.write_bytes(b"this is no database, however long it may be" * 100)
    ran = run("models", "list")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "store.sqlite" in ran.err
    assert run("status").code == 1
    assert run("status", "--json").json["healthy"] is False


def test_without_a_model_to_answer_with_route_exits_3(run: Run) -> None:
    ran = run("route", "--json")
    assert ran.code == 3
    assert ran.json["source"] == "none"
    assert ran.json["model"] is None


def test_with_nothing_to_measure_bench_says_what_to_do(run: Run) -> None:
    ran = run("bench")
    assert (ran.code, ran.out) == (1, "")
    assert "scorehouse providers add" in ran.err


def test_a_check_of_a_store_that_is_not_there_does_not_make_it(run: Run, house: House) -> None:
    ran = run("db", "check")
    assert ran.code == 1
    assert "db migrate" in ran.err
    assert not house.home.exists()
    assert run("db", "migrate").code == 0
    assert run("db", "migrate").err == "The schema is up to date.\n"
    assert run("db", "check").code == 0


def test_a_sync_that_fails_exits_1_and_reports_it(run: Run, house: House) -> None:
    house.ready(AURORA)
    house.misbehave(AURORA, "error_503")
    ran = run("models", "sync", "--json")
    assert ran.code == 1
    (report,) = ran.lines
    assert report["error"]
    assert "The last known catalog stays in use." in ran.err
    assert run("bench", "--workload", "short").code == 1  # all failed


NASTY = "\x1b[2J\x1b[Hevil\r\nfake line\u202e"


def test_control_characters_in_names_cannot_move_the_cursor(run: Run, house: House) -> None:
    house.ready(AURORA)
    house.add_gateway("local", f"m{NASTY}", provider_type="custom", name=f"Local{NASTY}")
    for words in (["models", "list"], ["providers", "list"], ["models", "show", f"local/m{NASTY}"], ["bench", "--model", f"local/m{NASTY}", "--run-name", NASTY],
                  ["bench", "--model", NASTY], ["providers", "show", NASTY], [NASTY], ["route", "--task", NASTY], ["score"], ["status"],
                  ["export", "runs", "--out", f"{NASTY}.csv"], ["feedback", NASTY, "--rating", "1", "--model", NASTY]):  # fmt: skip
        ran = run(*words)
        for text in (ran.out, ran.err):
            assert all(character == "\n" or character.isprintable() for character in text), (words, text)
            assert not any(line.startswith("fake line") for line in text.splitlines())


def test_markup_in_names_is_text(run: Run, house: House) -> None:
    house.ready(AURORA)
    ran = run("bench", "--workload", "short", "--run-name", "[bold]x[/nope]", "--model", f"{AURORA}/aurora-mini")
    assert ran.code == 0
    assert "Run [bold]x[/nope]" in ran.out


def test_an_argument_that_is_no_text_gives_no_traceback(run: Run, house: House) -> None:
    no_text = b"\xff\xfe".decode("utf-8", "surrogateescape")  # as the arguments of a process arrive
    ran = run("providers", "show", no_text)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    house.ready(AURORA)
    ran = run("bench", "--workload", "short", "--run-name", no_text, "--json")
    assert (ran.code, "is not UTF-8 text" in ran.err) == (2, True)
    assert house.rows("runs") == []


# -- as processes ------------------------------------------------------------------------------------------------------------


def scorehouse(house: House, words: str, *, shell: bool = False) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("scorehouse")
    environment = {**os.environ, "SCOREHOUSE_HOME": str(house.home)}
    line = f"set -o pipefail; {command} {words}"
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        env=environment,
        cwd=house.home.parent,
        timeout=60,
        check=False,
    )


def test_a_reader_that_leaves_early_gives_no_traceback(house: House) -> None:
    house.ready()
    for words in ("models list --json | true", "models list | head -1"):
        done = scorehouse(house, words)
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
        assert done.stderr == "", words


def test_routing_starts_quickly_because_it_loads_neither_duckdb_nor_prefect(house: House) -> None:
    code = "import sys\nfrom flows.cli import main\ntry: main(['route'])\nexcept SystemExit: pass\nprint(sorted({'duckdb','prefect','httpx','pyarrow.dataset'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "SCOREHOUSE_HOME": str(house.home)},
        check=True,
    )
    loaded = done.stdout.splitlines()[-1]
    assert "duckdb" not in loaded
    assert "prefect" not in loaded


@pytest.mark.parametrize(
    ("words", "loaded"),
    [("--version", set()), ("route", {"routing", "limits", "options"}), ("budgets list", {"budgets", "options"})],
)
def test_a_command_loads_no_other_command(house: House, words: str, loaded: set[str]) -> None:
    code = (
        f"import sys\nfrom flows.cli import main\ntry: main({words.split()})\nexcept SystemExit: pass\n"
        "print(*(name.removeprefix('flows.commands.') for name in sys.modules if name.startswith('flows.commands.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "SCOREHOUSE_HOME": str(house.home)},
        check=True,
    )
    assert set(done.stdout.splitlines()[-1].split()) == loaded


def test_a_run_that_is_interrupted_exits_130_and_keeps_what_was_measured(house: House) -> None:
    import signal
    import time

    house.ready()
    command = Path(sys.executable).with_name("scorehouse")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who ignores it hands that on to its children
    process = subprocess.Popen(
        [command, "bench", "--workload", "gold"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SCOREHOUSE_HOME": str(house.home)},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    mark, deadline = house.mark, time.monotonic() + 30
    while len(house.asked(mark)) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "scorehouse: Interrupted; what was measured so far is kept."
    assert "Traceback" not in err
    assert out == ""
    rows = house.rows("benchmark_results")
    assert sum(row["outcome"] == "ok" for row in rows) >= 3
    (planned,) = house.rows("runs")
    assert len(rows) == planned["planned"]
    assert files_of(house.settings.home.spool) == {}
