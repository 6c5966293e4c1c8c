"""Whatever is wrong with Vault: no request reaches the provider, its results say why, and the environment is not asked instead."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from house import AURORA, House, files_of
from security.conftest import CANARY, GATEWAY, free_port, origin_of
from security.openbao import ROOT_TOKEN, OpenBao, running
from security.standins import StandIn, secret

from providers.simulated import Simulated

MONEY = "sk-of-the-environment-99"


@pytest.fixture(autouse=True)
def tempting(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key lies in the environment, where nobody may look."""
    monkeypatch.setenv("MY_GATEWAY_API_KEY", MONEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_TOKEN", "s.token-of-a-test")
    monkeypatch.setenv("NO_PROXY", "")


def refused(house: House, guarded: Simulated) -> str:
    """Bench and sync get no key: nothing is sent, and both say the same sentence, which is returned."""
    mark = len(guarded.log())
    results = house.bench(repeats=2).results
    assert {(result.outcome, result.error_type) for result in results} == {("skipped", "secret_unavailable")}
    (message,) = {result.error_message for result in results}
    (report,) = house.sync(GATEWAY)
    assert report.error == message
    assert guarded.log()[mark:] == []
    assert message is not None
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 300
    assert not [name for name, data in files_of(house.home).items() if MONEY.encode() in data or b"s.token-of" in data]
    return message


@contextmanager
def sealed(bao: OpenBao, _: pytest.MonkeyPatch) -> Iterator[None]:
    with bao.sealed():
        yield


@contextmanager
def expired(bao: OpenBao, patch: pytest.MonkeyPatch) -> Iterator[None]:
    token = bao.token("1s")
    patch.setenv("VAULT_TOKEN", token)
    time.sleep(1.2)  # it is OpenBao's clock that must pass
    yield


@contextmanager
def revoked(bao: OpenBao, patch: pytest.MonkeyPatch) -> Iterator[None]:
    token = bao.token("10m")
    patch.setenv("VAULT_TOKEN", token)
    bao.call("POST", "auth/token/revoke", {"token": token})
    yield


@contextmanager
def without_policy(bao: OpenBao, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setenv("VAULT_TOKEN", bao.token("10m", policy=None))
    yield


@contextmanager
def deleted(bao: OpenBao, _: pytest.MonkeyPatch) -> Iterator[None]:
    bao.call("DELETE", f"secret/data/llm/{GATEWAY}")
    yield


@contextmanager
def missing(bao: OpenBao, _: pytest.MonkeyPatch) -> Iterator[None]:
    bao.call("DELETE", f"secret/metadata/llm/{GATEWAY}")
    yield


@contextmanager
def without_field(bao: OpenBao, _: pytest.MonkeyPatch) -> Iterator[None]:
    bao.put(GATEWAY, key=CANARY, token=CANARY)
    yield


@contextmanager
def without_origin(bao: OpenBao, _: pytest.MonkeyPatch) -> Iterator[None]:
    bao.put(GATEWAY, api_key=CANARY)
    yield


@contextmanager
def wrong_app_role(_: OpenBao, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.delenv("VAULT_TOKEN")
    patch.setenv("VAULT_ROLE_ID", "nobody")
    patch.setenv("VAULT_SECRET_ID", "nothing")
    yield


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (sealed, "is sealed or standing by; unseal it"),
        (expired, "expired, was revoked or has no policy for it; renew it"),
        (revoked, "expired, was revoked or has no policy for it; renew it"),
        (without_policy, "expired, was revoked or has no policy for it; renew it or widen the policy"),
        (deleted, f"Vault has none at secret/llm/{GATEWAY}; store it with 'scorehouse keys set {GATEWAY}'"),
        (missing, f"Vault has none at secret/llm/{GATEWAY}; store it with 'scorehouse keys set {GATEWAY}'"),
        (without_field, f"The secret secret/llm/{GATEWAY} has no usable field 'api_key'"),
        (without_origin, "is bound to no origin and is sent nowhere"),
        (wrong_app_role, "does not accept the AppRole of VAULT_ROLE_ID"),
    ],
)
def test_a_fault_of_vault_stops_the_provider(
    bao: OpenBao, gateway: House, guarded: Simulated, monkeypatch: pytest.MonkeyPatch, fault: object, words: str
) -> None:
    bao.put(GATEWAY, api_key=CANARY, origin=origin_of(guarded))
    bao.app_role()
    with fault(bao, monkeypatch):  # type: ignore[operator]
        assert words in refused(gateway, guarded)


@pytest.mark.parametrize("tls", [False, True])
def test_a_vault_that_goes_away_or_is_not_trusted_stops_the_provider(
    gateway: House, guarded: Simulated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls: bool
) -> None:
    """A server of its own, with a key that opens the provider as long as it runs and is trusted."""
    with running(tmp_path, free_port(), tls=tls) as bao:
        bao.put(GATEWAY, api_key=CANARY, origin=origin_of(guarded))
        monkeypatch.setenv("VAULT_ADDR", bao.address)
        monkeypatch.setenv("VAULT_TOKEN", ROOT_TOKEN)
        if tls:
            assert "no certificate that can be trusted" in refused(gateway, guarded)
            monkeypatch.setenv("VAULT_CACERT", str(bao.ca_file))
        mark = len(guarded.log())
        assert {result.outcome for result in gateway.bench().results} == {"ok"}
        assert len(guarded.log()) > mark
    assert "cannot be reached" in refused(gateway, guarded)


STAND_INS: dict[str, tuple[StandIn, str]] = {
    "silence": (StandIn(is_silent=True), "did not answer within 0.3 s"),
    "a drip": (StandIn(body=secret(api_key=CANARY), drips=True), "did not answer within 0.3 s"),
    "a redirect": (StandIn(status=307, headers={"Location": "http://127.0.0.1:9/"}), "with a redirect, which is not followed"),
    "a page": (StandIn(body=b"<html>Sign in</html>"), "with something that is not a secret"),
    "no data": (StandIn(body=b'{"data": null}'), "with something that is not a secret"),
    "a list": (StandIn(body=b"[1, 2]"), "with something that is not a secret"),
    "other data": (StandIn(body=b'{"data": {"data": "text"}}'), "with something that is not a secret"),
    "no content": (StandIn(status=204), "with something that is not a secret"),
    "no key": (StandIn(body=secret(other=CANARY)), "no usable field 'api_key'"),
    "an empty key": (StandIn(body=secret(api_key="")), "no usable field 'api_key'"),
    "no JSON": (StandIn(body=b'{"data": {"data": {"api_key": "sk'), "with something that is not a secret"),
    "numbers that are none": (StandIn(body=b'{"data": {"data": {}, "renewable": true, "ttl": "x", "creation_ttl": []}}'), "no usable field"),
    "bottomless JSON": (StandIn(body=b"[" * 100_000 + b"]" * 100_000), "failed before an answer (RecursionError)"),
    "500": (StandIn(status=500, body=CANARY.encode()), "failed at"),
    "501": (StandIn(status=501), "is not initialized"),
    "502": (StandIn(status=502), "failed at"),
    "429": (StandIn(status=429), "failed at"),
    "473": (StandIn(status=473), "failed at"),
    "401": (StandIn(status=401), "renew it"),
}  # fmt: skip


@pytest.mark.parametrize("name", STAND_INS)
def test_an_answer_that_is_none_stops_the_provider(
    gateway: House, guarded: Simulated, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stand_in, words = STAND_INS[name]
    gateway.sections["vault"] = {"timeout_ms": 300}
    with stand_in.running() as address:
        monkeypatch.setenv("VAULT_ADDR", address)
        began = time.monotonic()
        message = refused(gateway, guarded)
        assert time.monotonic() - began < 5
    assert words in message
    assert address in message or GATEWAY in message
    assert CANARY not in message
    assert stand_in.asked


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}"}, "cannot be reached; see whether it runs"),
        ({"VAULT_ADDR": "https://{guarded}"}, "no certificate that can be trusted"),
        ({"VAULT_ADDR": "http://{guarded}", "VAULT_CACERT": "/nowhere/ca.pem"}, "has nothing for reading"),
        ({"VAULT_ADDR": "https://{guarded}", "VAULT_CACERT": "/nowhere/ca.pem"}, "VAULT_CACERT is a readable file"),
        ({"VAULT_ADDR": "http://vault.example.org:8200"}, "must begin with https://"),
        ({"VAULT_ADDR": "https://user:s.secret@vault.example.org"}, "not the address of a Vault"),
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}\n"}, "not the address of a Vault"),
        ({"VAULT_ADDR": "vault.example.org:8200"}, "not the address of a Vault"),
        ({"VAULT_ADDR": "https://vault.example.org:port"}, "not the address of a Vault"),
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}", "VAULT_TOKEN": ""}, "not who asks: set VAULT_TOKEN"),
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}", "VAULT_TOKEN": "", "VAULT_ROLE_ID": "r"}, "not who asks"),
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}", "VAULT_TOKEN": "s.secret\n"}, "is plain text"),
        ({"VAULT_ADDR": "http://127.0.0.1:{unused}", "VAULT_TOKEN": "s.secret☂"}, "is plain text"),
    ],
)
def test_an_access_that_cannot_work_stops_the_provider(
    gateway: House, guarded: Simulated, monkeypatch: pytest.MonkeyPatch, unused_port: int,
    variables: dict[str, str], words: str,
) -> None:  # fmt: skip
    with StandIn(status=404).running() as address:
        places = {"unused": str(unused_port), "guarded": address.removeprefix("http://")}
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value.format(**places))
        message = refused(gateway, guarded)
    assert words in message
    assert "s.secret" not in message


def test_the_others_are_measured_meanwhile(gateway: House, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{unused_port}")
    outcomes = {result.provider: result.outcome for result in gateway.ready(AURORA).bench().results}
    assert outcomes == {GATEWAY: "skipped", AURORA: "ok"}


def test_a_vault_that_comes_back_opens_the_provider(bao: OpenBao, gateway: House, guarded: Simulated) -> None:
    bao.put(GATEWAY, api_key=CANARY, origin=origin_of(guarded))
    for seal, outcome in ((bao.sealed(), "skipped"), (nullcontext(), "ok")):
        with seal:
            assert {result.outcome for result in gateway.bench().results} == {outcome}


def test_nothing_else_of_the_environment_leads_to_a_vault(
    gateway: House, guarded: Simulated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hvac would ask on this machine with the token of ~/.vault-token by itself."""
    (tmp_path / ".vault-token").write_text("s.token-of-a-file")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "set VAULT_ADDR and store one with 'scorehouse keys set my-gateway'" in refused(gateway, guarded)
