"""Keys in a real OpenBao: where they lie, who may have them, how long a token lasts."""

import random
import time
from pathlib import Path

import pytest
from house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from security.conftest import CANARY, GATEWAY, free_port, origin_of
from security.openbao import OpenBao, running

from flows.errors import SecretUnavailable
from flows.keys import find_key, origin, secret_path, store_key
from flows.vault import Access, Vault
from providers.errors import BadProvider
from providers.records import ProviderSpec
from providers.simulated import Simulated
from providers.specs import make_spec


def spec_of(key: str, base_url: str = "https://api.example.org/v1", provider_type: str = "openai") -> ProviderSpec:
    return make_spec({"key": key, "provider_type": provider_type, "base_url": base_url})


def test_a_stored_key_opens_the_provider(bao: OpenBao, gateway: House, guarded: Simulated) -> None:
    bao.put(GATEWAY, api_key=CANARY, origin=origin_of(guarded))
    assert [report.error for report in gateway.sync()] == [None]
    assert {result.outcome for result in gateway.bench(models=(f"{GATEWAY}/aurora-mini",)).results} == {"ok"}


def test_the_secret_holds_the_key_and_its_origin(bao: OpenBao, house: House) -> None:
    bound_to = store_key(house.settings, spec_of("groq"), SecretStr(CANARY))
    assert bao.get("groq") == {"api_key": CANARY, "origin": "https://api.example.org:443"}
    assert bound_to == "https://api.example.org:443"
    found = find_key(house.settings, spec_of("groq"))
    assert (found.value, found.source) == (SecretStr(CANARY), "Vault, secret/llm/groq")
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    "provider",
    ["a b", "..", ".", "...", "a*b", "+", "openrouter/google/gemma:free", "../x", "%2e%2e", "%", "data", "ünïcode ☂", "?x=1#y", "a\\b",
     "metadata", "~", "x" * 200, "x" * 201, "☂" * 67, "a\nb", "-", "sha256:00", "\udcff", "llm//x", "&;$(id)"],
)  # fmt: skip
def test_an_odd_id_has_a_secret_of_its_own(bao: OpenBao, house: House, provider: str) -> None:
    bao.put("neighbour", api_key="of-the-neighbour")
    store_key(house.settings, spec_of(provider), SecretStr(CANARY))
    found = find_key(house.settings, spec_of(provider))
    assert found.value == SecretStr(CANARY)
    assert len(bao.names()) == 2
    assert bao.get("neighbour") == {"api_key": "of-the-neighbour"}


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=300), st.text(st.characters(), min_size=1, max_size=300))
def test_a_path_is_one_folder_deep_short_and_of_one_id_alone(one: str, other: str) -> None:
    path = secret_path(one)
    prefix, _, name = path.rpartition("/")
    assert prefix == "secret/llm"
    assert name.strip(".")
    assert name.isascii()
    assert not set(name) & set(" *?#\\&;")
    assert len(name) <= 3 * 200
    assert (path == secret_path(other)) == (one == other)


def test_a_hundred_thousand_ids_have_as_many_paths() -> None:
    draw = random.Random(5)
    letters = "ab./%:~ *?é☂\\\0-_2eEfF"
    ids = {"".join(draw.choices(letters, k=draw.choice((1, 2, 3, 5, 8, 70, 250)))) for _ in range(110_000)}
    while len(ids) < 100_000:
        ids.add("".join(draw.choices(letters, k=8)))
    assert len({secret_path(one) for one in ids}) == len(ids) >= 100_000


BOUND = "https://api.example.org/v1"
SAME = (
    BOUND, "https://api.example.org:443/v1", "HTTPS://API.EXAMPLE.ORG/v1", "https://api.example.org", "https://api.example.org/other/v1/",
    "https://api.example.org/v1/chat/completions",
)  # fmt: skip
ELSEWHERE = (
    "https://evil.example", "https://api.example.org.evil.example/v1", "https://evil.example/api.example.org", "https://api.example.org:8443/v1",
    "http://api.example.org/v1", "http://127.0.0.1/v1", "http://localhost:443/v1", "https://api.example.org./v1", "https://xapi.example.org",
    "https://example.org", "https://api-example.org", "https://api.example.orgevil/v1", "https://user@api.example.org", "https://api.example.org@evil.example",
    "https://api.example.org:443@evil.example", "https://evil.example#@api.example.org", "https://evil.example?@api.example.org", "https://evil.example\\@api.example.org",
    "https://api.example.org\\.evil.example", "https://evil.example;api.example.org", "https://api.example.org%2eevil.example", "https://api.example.org%00.evil.example",
    "https://api.example.org\t.evil.example", "https://api.example.org .evil.example", "https://api.example.org\n.evil.example", "https://[::1]/v1", "https://169.254.169.254/v1",
    "https://api。example。org/v1", "https://\u0430pi.example.org/v1", "//api.example.org/v1", "api.example.org/v1", "ftp://api.example.org/v1",
    "file:///api.example.org", "https:api.example.org", "https:///api.example.org", "https://api.example.org:0/v1", "https://api.example.org:99999/v1",
    "https://2130706433/v1", "https://0x7f.1/v1", "https://xn--pi-7kc.example.org/v1", "http://[::ffff:127.0.0.1]:443/v1", "wss://api.example.org/v1",
)  # fmt: skip


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_key_does_not_follow_a_base_url_that_leads_elsewhere(bao: OpenBao, house: House, url: str) -> None:
    bao.put("bound", api_key=CANARY, origin=origin(BOUND))
    with pytest.raises((SecretUnavailable, BadProvider)) as caught:
        find_key(house.settings, spec_of("bound", url))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", SAME)
def test_a_key_stays_with_its_origin_however_it_is_written(bao: OpenBao, house: House, url: str) -> None:
    bao.put("bound", api_key=CANARY, origin=origin(BOUND))
    assert find_key(house.settings, spec_of("bound", url)).value == SecretStr(CANARY)


def test_a_moved_provider_gets_no_request_until_its_key_is_stored_again(
    bao: OpenBao, gateway: House, guarded: Simulated
) -> None:
    mark = len(guarded.log())
    bao.put(GATEWAY, api_key=CANARY, origin="https://where.it.was:443")
    (result,) = gateway.bench().results
    assert (result.outcome, result.error_type) == ("skipped", "secret_unavailable")
    message = result.error_message or ""
    assert "bound to https://where.it.was:443" in message
    assert f"is at {origin_of(guarded)} now" in message
    assert f"'scorehouse keys set {GATEWAY}'" in message
    assert guarded.log()[mark:] == []
    store_key(gateway.settings, spec_of(GATEWAY, f"{origin_of(guarded)}/aurora/v1"), SecretStr(CANARY))
    assert [result.outcome for result in gateway.bench().results] == ["ok"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"api_key": CANARY}, "bound to no origin"),
        ({"api_key": CANARY, "origin": ""}, "something that is no address"),
        ({"api_key": CANARY, "origin": "api.example.org"}, "something that is no address"),
        ({"api_key": CANARY, "origin": "https://user:secret@api.example.org"}, "something that is no address"),
        ({"key": CANARY, "origin": "https://api.example.org"}, "no usable field 'api_key'"),
        ({"api_key": "", "origin": "https://api.example.org"}, "no usable field 'api_key'"),
        ({"api_key": f"{CANARY}\n", "origin": "https://api.example.org"}, "no usable field 'api_key'"),
        ({"api_key": "☂", "origin": "https://api.example.org"}, "no usable field 'api_key'"),
    ],
)
def test_a_secret_that_is_not_whole_is_no_key(bao: OpenBao, house: House, fields: dict[str, str], words: str) -> None:
    bao.put("odd", **fields)
    with pytest.raises(SecretUnavailable, match=words) as caught:
        find_key(house.settings, spec_of("odd"))
    assert caught.value.state == "void"
    assert CANARY not in str(caught.value)


def test_a_provider_that_works_without_a_key_needs_none_in_vault_but_gets_the_one_there(
    bao: OpenBao, house: House
) -> None:
    own = spec_of("own", "https://api.example.org/v1", "custom")
    assert find_key(house.settings, own).value is None
    bao.put("own", api_key=CANARY, origin="https://api.example.org")
    assert find_key(house.settings, own).value == SecretStr(CANARY)


def test_vault_wins_over_the_environment_even_in_development_mode(
    bao: OpenBao, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("GROQ_API_KEY", "sk-of-the-environment")
    with pytest.raises(SecretUnavailable, match="Vault has none at secret/llm/groq"):
        find_key(house.settings, spec_of("groq"))
    bao.put("groq", api_key=CANARY, origin="https://api.example.org")
    assert find_key(house.settings, spec_of("groq")).value == SecretStr(CANARY)


def asking(bao: OpenBao, token: str) -> Vault:
    return Vault(Access(bao.address, 5.0, SecretStr(token)))


def logging_in(bao: OpenBao, role_id: str, secret_id: str) -> Vault:
    return Vault(Access(bao.address, 5.0, role_id=SecretStr(role_id), secret_id=SecretStr(secret_id)))


@pytest.fixture
def stored(bao: OpenBao) -> OpenBao:
    """With one secret to read."""
    bao.put("x", api_key=CANARY)
    return bao


def test_an_app_role_logs_in_once_for_many_secrets(stored: OpenBao) -> None:
    role_id, secret_id = stored.app_role(token_ttl="10m", secret_id_num_uses=1)
    vault = logging_in(stored, role_id, secret_id)
    assert [vault.read("secret/llm/x") for _ in range(3)] == [{"api_key": CANARY}] * 3
    second = logging_in(stored, role_id, secret_id)
    with pytest.raises(SecretUnavailable, match="does not accept the AppRole of VAULT_ROLE_ID"):
        second.read("secret/llm/x")


def test_an_app_roles_token_is_renewed_at_half_its_life(stored: OpenBao) -> None:
    role_id, secret_id = stored.app_role(token_ttl="1s", secret_id_num_uses=1)
    vault = logging_in(stored, role_id, secret_id)
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert vault.read("secret/llm/x") == {"api_key": CANARY}
        time.sleep(0.2)  # twice the token's first life must pass; the secret id does not log in again


def test_an_app_role_whose_token_was_revoked_logs_in_again(stored: OpenBao) -> None:
    role_id, secret_id = stored.app_role(token_ttl="10m", secret_id_num_uses=0)
    vault = logging_in(stored, role_id, secret_id)
    vault.read("secret/llm/x")
    stored.call("PUT", "sys/leases/revoke-prefix/auth/approle/login")
    assert vault.read("secret/llm/x") == {"api_key": CANARY}


def test_a_token_past_half_its_life_is_renewed(stored: OpenBao) -> None:
    token = stored.token("2s", explicit_max_ttl="1h")
    vault = asking(stored, token)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert vault.read("secret/llm/x") == {"api_key": CANARY}
        time.sleep(0.3)


def test_a_token_that_may_only_read_keys_is_enough(stored: OpenBao) -> None:
    vault = asking(stored, stored.token("10m", no_default_policy=True))
    assert vault.read("secret/llm/x") == {"api_key": CANARY}
    with pytest.raises(SecretUnavailable, match=r"refuses writing secret/llm/x.*widen the policy"):
        vault.write("secret/llm/x", {"api_key": "other"})


def test_tls_needs_an_authority_that_is_trusted(tmp_path: Path) -> None:
    with running(tmp_path, free_port(), tls=True) as bao:
        bao.put("x", api_key=CANARY)
        token = SecretStr(bao.token("10m"))
        with pytest.raises(SecretUnavailable, match="no certificate that can be trusted; set VAULT_CACERT"):
            Vault(Access(bao.address, 5.0, token)).read("secret/llm/x")
        trusting = Vault(Access(bao.address, 5.0, token, ca_file=str(bao.ca_file)))
        assert trusting.read("secret/llm/x") == {"api_key": CANARY}


def test_an_error_carries_nothing_of_the_request_along(bao: OpenBao, unused_port: int) -> None:
    """The errors of HTTP clients hold URLs and headers, and a chain of errors is printed and stored whole."""
    nowhere = Vault(Access(f"http://127.0.0.1:{unused_port}", 5.0, SecretStr("s.secret\u2602")))
    for vault in (nowhere, asking(bao, "s.secret")):
        with pytest.raises(SecretUnavailable) as caught:
            vault.read("secret/llm/x")
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        assert "s.secret" not in repr(vault) + str(caught.value)
