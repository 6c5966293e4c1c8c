"""`scorehouse keys`: a key comes from stdin or a hidden prompt, goes to Vault, and is never shown."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest
from house import AURORA, House
from security.conftest import CANARY, GATEWAY, Run, origin_of
from security.openbao import OpenBao
from security.test_canary import typed
from supabase_project import Fault, Project

from providers.simulated import Simulated


def test_a_key_from_stdin_is_stored_for_the_providers_origin_alone(
    bao: OpenBao, gateway: House, guarded: Simulated, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(f"{CANARY}\n"))
    ran = run("keys", "set", GATEWAY, "--json")
    assert ran.code == 0
    assert ran.json == {
        "provider": GATEWAY,
        "api_key_vault_path": f"secret/llm/{GATEWAY}",
        "origin": origin_of(guarded),
    }
    assert f"for requests to {origin_of(guarded)} alone" in ran.err
    assert bao.get(GATEWAY) == {"api_key": CANARY, "origin": origin_of(guarded)}
    assert CANARY not in ran.out + ran.err


def test_a_key_typed_at_a_terminal_is_not_shown(bao: OpenBao, gateway: House, guarded: Simulated) -> None:
    ours, theirs = pty.openpty()
    terminal = os.ttyname(theirs)
    program = f"exec {sys.executable} -m flows.cli keys set {GATEWAY} <{terminal} >{terminal} 2>&1"
    # A session of its own opens the terminal by name, so that it is the one that a hidden prompt asks for.
    with subprocess.Popen(["sh", "-c", program], start_new_session=True) as process:
        seen = b""
        while b"(hidden): " not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, f"{CANARY}\n".encode())
        assert process.wait(30) == 0
    os.set_blocking(ours, False)
    seen += os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    assert b"Stored in Vault" in seen
    assert CANARY.encode() not in seen
    assert bao.get(GATEWAY)["api_key"] == CANARY


@pytest.mark.parametrize("key", ["", "\n", "two words", "a\nb", "☂", "x" * 9000, f"{CANARY}\x00", "\ufeffsk-1"])
def test_what_is_no_key_is_refused_unrepeated_and_changes_nothing(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(key))
    ran = run("keys", "set", GATEWAY)
    assert ran.code == 2
    assert not key.strip() or key.strip() not in ran.err
    assert bao.names() == []


def test_a_key_cannot_be_an_option_or_an_argument(bao: OpenBao, gateway: House, run: Run) -> None:
    assert run("keys", "set", GATEWAY, "--key", CANARY).code == 2
    assert run("keys", "set", GATEWAY, CANARY).code == 2
    assert bao.names() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [("nobody", "There is no provider 'nobody'"), (AURORA, "is simulated and needs no key")],
)
def test_a_key_is_stored_for_a_provider_that_wants_one(
    bao: OpenBao, house: House, run: Run, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    house.register(AURORA)
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    ran = run("keys", "set", words)
    assert (ran.code, said in ran.err) == (2, True)
    assert bao.names() == []


def test_without_a_vault_a_key_has_no_place(gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    ran = run("keys", "set", GATEWAY)
    assert ran.code == 2
    assert "No Vault is configured: set VAULT_ADDR" in ran.err
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    assert "development mode reads MY_GATEWAY_API_KEY" in run("keys", "set", GATEWAY).err


def test_a_vault_that_does_not_take_the_key_is_an_error(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    with bao.sealed():
        ran = run("keys", "set", GATEWAY)
    assert ran.code == 1
    assert "is sealed or standing by" in ran.err
    assert CANARY not in ran.err


class Piped(io.TextIOWrapper):
    """Standard input with the canary; something happens while it is read."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        class Pipe(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                meanwhile()
                return super().read(size)

        super().__init__(Pipe(CANARY.encode()))


def test_who_set_a_key_is_in_the_audit_log_and_nothing_of_the_key_is(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    assert run("keys", "set", GATEWAY, "--by", "anna", "--reason", "the old one leaked").code == 0
    (provider,) = gateway.rows("providers", key=GATEWAY)
    (row,) = gateway.rows("audit_log")
    assert (row["actor_id"], row["actor_role"], row["reason"]) == ("anna", "platform_admin", "the old one leaked")
    assert (row["action"], row["object_type"], row["object_id"]) == ("set_key", "providers", provider["id"])
    assert (row["old_value"], row["new_value"]) == (None, {"provider": GATEWAY})
    shown = run("audit", "--entity", "providers")
    assert "set_key" in shown.out
    assert CANARY not in shown.out


@pytest.mark.parametrize("option", ["--by", "--reason"])
def test_a_key_is_no_reason(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    ran = run("keys", "set", GATEWAY, option, f"now {CANARY}.")
    assert (ran.code, ran.err.count("\n"), "has the key in it" in ran.err, CANARY in ran.err) == (2, 1, True, False)
    assert bao.names() == []
    assert gateway.rows("audit_log") == []


def test_no_key_is_stored_while_nobody_can_say_whose_it_is(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gateway.settings.home.store
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    file.mkdir()
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    ran = run("keys", "set", GATEWAY)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"scorehouse: No key of {GATEWAY} was stored: ")
    assert sys.stdin.read() == CANARY, "the key was not even read"
    assert bao.names() == []


def test_a_key_is_set_though_the_store_has_gone(
    bao: OpenBao, gateway: House, guarded: Simulated, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gateway.settings.home.store

    def go() -> None:
        for part in file.parent.glob(f"{file.name}*"):
            part.unlink()
        file.mkdir()

    monkeypatch.setattr(sys, "stdin", Piped(go))
    ran = run("keys", "set", GATEWAY, "--json")
    assert (ran.code, ran.json["provider"]) == (0, GATEWAY)
    stored, untold = ran.err.splitlines()
    assert stored.startswith("Stored in Vault at ")
    assert untold.startswith("The key is set, but the audit log does not say so: ")
    assert bao.get(GATEWAY) == {"api_key": CANARY, "origin": origin_of(guarded)}
    assert CANARY not in ran.err


def test_a_key_is_set_though_the_project_is_away(
    bao: OpenBao, gateway: House, guarded: Simulated, project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    gateway.add_gateway(GATEWAY, "aurora-mini", at=guarded)
    monkeypatch.setattr("analytics.store.supabase.PATIENCE_S", 0.2)
    away = Fault("drop", times=1_000)
    monkeypatch.setattr(sys, "stdin", Piped(lambda: project.proxy.faults.append(away)))
    ran = run("keys", "set", GATEWAY)
    assert ran.code == 0
    assert "The key is set, but the audit log does not say so: " in ran.err.splitlines()[1]
    assert bao.get(GATEWAY) == {"api_key": CANARY, "origin": origin_of(guarded)}
    project.proxy.faults.clear()
    assert gateway.rows("audit_log") == []
    monkeypatch.setattr(sys, "stdin", typed(CANARY))
    assert run("keys", "set", GATEWAY).err.count("\n") == 1
    assert [row["action"] for row in gateway.rows("audit_log")] == ["set_key"]


def test_check_says_present_absent_void_or_not_needed_and_from_where(
    bao: OpenBao, house: House, guarded: Simulated, run: Run
) -> None:
    for key in ("absent-one", "moved", "present-one"):
        house.add_gateway(key, at=guarded)
    house.add_gateway("own", at=guarded, provider_type="custom")
    house.register(AURORA)
    bao.put("present-one", api_key=CANARY, origin=origin_of(guarded))
    bao.put("moved", api_key=CANARY, origin="https://where.it.was")
    ran = run("keys", "check", "--json")
    assert ran.code == 1
    states = {line["provider"]: line["key"] for line in ran.lines}
    assert states == {
        "absent-one": "absent", "moved": "void", "own": "not needed", "present-one": "present", AURORA: "not needed"
    }  # fmt: skip
    assert {line["source"] for line in ran.lines if line["key"] == "present"} == {"Vault, secret/llm/present-one"}
    assert "absent-one: No key for provider absent-one: Vault has none at secret/llm/absent-one" in ran.err
    table = run("keys", "check")
    assert "present-one  present     Vault, secret/llm/present-one" in table.out
    assert CANARY not in ran.out + ran.err + table.out + table.err


def test_check_of_one_provider_fails_only_for_its_own_key(
    bao: OpenBao, house: House, guarded: Simulated, run: Run
) -> None:
    house.add_gateway("absent-one", at=guarded)
    house.add_gateway("present-one", at=guarded)
    bao.put("present-one", api_key=CANARY, origin=origin_of(guarded))
    assert run("keys", "check", "present-one").code == 0
    assert run("keys", "check", "absent-one").code == 1
    assert run("keys", "check", "nobody").code == 2
    with bao.sealed():
        ran = run("keys", "check", "present-one", "--json")
    assert (ran.code, ran.json["key"]) == (1, "unavailable")


def test_a_key_that_is_not_there_is_one_line_however_many_models_wait(bao: OpenBao, house: House, run: Run) -> None:
    house.add_gateway(GATEWAY, "aurora-mini", "aurora-plus", "aurora-code")
    ran = run("bench", "--workload", "short", "--repeats", "2")
    assert ran.code == 1
    assert ran.err.count("Vault has none at") == 1
    assert f"{GATEWAY}: secret_unavailable: No key for provider {GATEWAY}" in ran.err


def test_development_mode_says_so_whenever_keys_are_used(
    gateway: House, guarded: Simulated, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("MY_GATEWAY_API_KEY", CANARY)
    told = "Development mode (SCOREHOUSE_DEV): keys are read from the environment, not from Vault."
    for words in (
        ("keys", "check"),
        ("models", "sync"),
        ("bench", "--workload", "short"),
        ("providers", "test", GATEWAY),
    ):
        ran = run(*words)
        assert ran.code == 0, ran.err
        assert told in ran.err
    assert "the environment, MY_GATEWAY_API_KEY" in run("keys", "check").out
    (log,) = (gateway.home / "logs").glob("*.log")
    assert '"event":"development mode: the key is not from Vault"' in log.read_text("utf-8")


def test_development_mode_with_a_vault_says_that_vault_wins(
    bao: OpenBao, gateway: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("MY_GATEWAY_API_KEY", CANARY)
    ran = run("keys", "check", GATEWAY)
    assert ran.code == 1
    assert "keys come from Vault alone" in ran.err
