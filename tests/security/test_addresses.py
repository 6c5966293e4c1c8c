"""Where a key may travel: however a URL is written and whatever its name resolves to, no byte reaches an address that was not judged.

The resolver is replaced at `getaddrinfo`, the edge of the wire: names lead where an attacker's DNS would lead them.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import pytest
from house import House
from security.conftest import Run
from wire.loopback import CHAT, SOON, Conversation, request, serving

from flows.commands.providers import _spec_of
from providers import addresses, loop
from providers.catalog import fetch_catalog
from providers.errors import BadProvider, ConnectFailed, WireError
from providers.specs import make_spec
from providers.transport import open_client

KEY = "sk-canary-of-addresses-51f0"
PUBLIC = "93.184.216.34"


@dataclass
class Stranger:
    """A second host: it counts who comes, and keeps what is said."""

    port: int = 0
    connections: int = 0
    heard: bytearray = field(default_factory=bytearray)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """Listens on loopback, which stands for any address that a name should not lead to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Stranger(listener.getsockname()[1])

        def listen() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                found.connections += 1
                with peer:
                    peer.settimeout(5)
                    found.heard += peer.recv(1 << 16)

        thread = threading.Thread(target=listen)
        thread.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@dataclass
class Resolver:
    """What each name resolves to, look-up by look-up (the last answer stays); addresses are themselves, others unknown."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def getaddrinfo(self, real: Callable[..., Any], host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            # The system's own reading of numbers (0x7f.1), and nothing of a network.
            return real(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(family[ip_address(one).version], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    double, real = Resolver(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: double.getaddrinfo(real, *given, **more))
    return double


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were connected to; those beyond this machine are unreachable, as without a network."""
    seen: list[str] = []
    plain = asyncio.selector_events.BaseSelectorEventLoop
    real = plain.sock_connect

    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> None:
        seen.append(address[0])
        if not ip_address(address[0]).is_loopback:
            raise OSError(errno.ENETUNREACH, "unreachable")
        await real(self, sock, address)

    monkeypatch.setattr(plain, "sock_connect", sock_connect)
    return seen


# Which addresses


@pytest.mark.parametrize("address", [
    PUBLIC, "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255",
    "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "64:ff9b::808:808",
])  # fmt: skip
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert addresses.is_public(ip_address(address))


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "fd00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.5", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a00:5", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1",
])  # fmt: skip
def test_every_other_address_is_not(address: str) -> None:
    assert not addresses.is_public(ip_address(address))


# However it is written: {p} is the stranger's port, and every name leads to the stranger

NAMES = (
    "api.example.org", "localtest.me", "127.0.0.1.nip.io", "metadata.google.internal", "foo.localhost", "localhost.", "localhost.example.org",
    "xn--80ak6aa92e.com", "xn--pi-7kc.example.org", "api.example.org.", "a_b.example.org", "0x7f.example.org", "intranet",
)  # fmt: skip
URLS = (
    *(f"https://{name}:{{p}}/v1" for name in NAMES),
    "HTTPS://LOCALTEST.ME:{p}/V1", "https://LocalTest.Me:{p}",
    # numbers
    "https://2130706433:{p}/v1", "https://017700000001:{p}/v1", "https://0x7f000001:{p}/v1", "https://0X7F.0.0.1:{p}/v1", "https://0x7f.1:{p}/v1",
    "https://0177.0.0.1:{p}/v1", "https://127.1:{p}/v1", "https://127.0.1:{p}/v1", "https://127.0.0.01:{p}/v1", "https://0:{p}/v1",
    "https://127.0.0.1.:{p}/v1", "https://0.0.0.0:{p}/v1", "https://127.0.0.1.0x1:{p}/v1",
    # IPv6
    "https://[::ffff:127.0.0.1]:{p}/v1", "http://[::ffff:127.0.0.1]:{p}/v1", "https://[::ffff:7f00:1]:{p}/v1", "https://[::127.0.0.1]:{p}/v1",
    "https://[64:ff9b::7f00:1]:{p}/v1", "https://[2002:7f00:1::]:{p}/v1", "https://[::]:{p}/v1", "https://[::1%25lo]:{p}/v1",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{p}/v1", "https://::1:{p}/v1",
    # other networks
    "https://10.0.0.5:{p}/v1", "https://192.168.0.1:{p}", "https://172.16.9.9:{p}/v1", "https://169.254.169.254/latest", "https://100.64.0.1:{p}",
    "https://[fd00:ec2::254]:{p}/v1", "https://[fe80::1]:{p}/v1", "https://[ff02::1]:{p}/v1", "https://224.0.0.1:{p}/v1", "https://255.255.255.255:{p}",
    # two hosts in one
    "https://api.example.org@127.0.0.1:{p}/v1", "https://127.0.0.1:{p}@api.example.org/v1", "https://a:b@localtest.me:{p}/v1",
    "https://api.example.org\\@127.0.0.1:{p}/v1", "https://127.0.0.1:{p}\\.api.example.org/v1", "https://127.0.0.1:{p}#@api.example.org/v1",
    "https://127.0.0.1:{p}?@api.example.org/v1", "https://127.0.0.1:{p}%2f@api.example.org", "https://%31%32%37.0.0.1:{p}/v1",
    "https://127.0.0.1%00.api.example.org:{p}/v1", "https://127.0.0.1;api.example.org:{p}/v1", "https://127.0.0.1:{p},api.example.org/v1",
    "https://api.example.org\t@127.0.0.1:{p}/v1", "https://api.example.org\r\nHost: 127.0.0.1:{p}", "https://127.0.0.1 :{p}/v1",
    # letters that look like others
    "https://①②⑦.⓪.⓪.①:{p}/v1", "https://127。0。0。1:{p}/v1", "https://\uff11\uff12\uff17.0.0.1:{p}/v1", "https://ⓛocalhost:{p}/v1",
    "https://\u0430pi.example.org:{p}/v1", "https://api\u2024example\u2024org:{p}/v1",
    # schemes and ports
    "http://api.example.org:{p}/v1", "http://localtest.me:{p}/v1", "http://10.0.0.5:{p}/v1", "//127.0.0.1:{p}/v1", "https:127.0.0.1:{p}/v1",
    "https:///127.0.0.1:{p}/v1", "ftp://127.0.0.1:{p}/v1", "file://127.0.0.1:{p}/v1", "gopher://127.0.0.1:{p}/v1", "ws://127.0.0.1:{p}/v1",
    "unix:127.0.0.1:{p}", "https://api.example.org:443:{p}/v1", "https://localtest.me:{p}{p}/v1", "https://localtest.me:0{p}/v1", "127.0.0.1:{p}",
)  # fmt: skip


async def tried(row: Mapping[str, Any], describe: Callable[[Mapping[str, Any]], Any]) -> str:
    """What came of asking a provider with this row for its models, with a key: bad URL, or the type of the error."""
    try:
        spec = describe(row)
    except BadProvider as error:
        return "bad URL" if "\n" not in str(error) else "a sentence of several lines"
    async with open_client(spec) as client:
        with pytest.raises(WireError) as caught:
            await fetch_catalog(client, spec, KEY)
    return caught.value.error_type


@pytest.mark.parametrize("url", URLS)
async def test_no_spelling_of_a_url_brings_a_key_to_another_host(
    url: str, stranger: Stranger, resolver: Resolver, connected: list[str]
) -> None:
    resolver.names = {name: [["127.0.0.1"]] for name in NAMES}
    row = {"key": "p", "provider_type": "custom", "base_url": url.replace("{p}", str(stranger.port))}
    assert await tried(row, _spec_of) in {"bad URL", "address", "dns"}
    assert await tried(row, make_spec) in {"bad URL", "address", "dns"}, "as a row that was there before"
    assert (stranger.connections, bytes(stranger.heard), connected) == (0, b"", [])


def test_there_are_enough_spellings() -> None:
    assert len(set(URLS)) >= 40


def test_the_loop_that_measures_judges_alike(stranger: Stranger) -> None:
    """The resolver of uvloop is its own, and not replaced here: addresses only, in all their spellings."""
    outcomes = set()
    for url in URLS:
        if not any(name.lower() in url.lower() for name in NAMES):
            row = {"key": "p", "provider_type": "custom", "base_url": url.replace("{p}", str(stranger.port))}
            outcomes.add(loop.run(tried(row, make_spec)))
    assert outcomes <= {"bad URL", "address", "dns"}
    assert "address" in outcomes
    assert (stranger.connections, bytes(stranger.heard)) == (0, b"")


async def test_a_refused_address_is_a_row_with_one_sentence(stranger: Stranger, resolver: Resolver) -> None:
    resolver.names = {"gateway.example.org": [["127.0.0.1"]]}
    spec = replace(CHAT, base_url=f"https://gateway.example.org:{stranger.port}")
    async with open_client(spec) as client:
        seen = await request(client, spec, api_key=KEY)
    assert (seen.outcome, seen.error_type, seen.status_code, seen.connect_ms) == ("failed", "address", None, None)
    assert seen.error_message == (
        "the host leads to an address that is not public; 'scorehouse providers set PROVIDER --allow-private' permits it"
    )
    assert stranger.connections == 0


async def test_the_instrument_hears_a_key_where_private_addresses_are_allowed(
    stranger: Stranger, resolver: Resolver
) -> None:
    resolver.names = {"gateway.example.org": [["127.0.0.1"]]}
    spec = replace(CHAT, base_url=f"http://gateway.example.org:{stranger.port}", is_private_allowed=True)
    async with open_client(spec) as client:
        await request(client, spec, api_key=KEY, deadlines=SOON)
    assert stranger.connections == 1
    assert KEY.encode() in stranger.heard


# Rebinding: what was judged is what is connected to


async def test_a_name_that_changes_its_mind_gets_nothing(
    stranger: Stranger, resolver: Resolver, connected: list[str]
) -> None:
    """The first look-up is public, every later one is the stranger: there is one look-up a connection, and each is judged."""
    resolver.names = {"rebind.example.org": [[PUBLIC], ["127.0.0.1"]]}
    spec = replace(CHAT, base_url=f"https://rebind.example.org:{stranger.port}")
    async with open_client(spec) as client:
        seen = [await request(client, spec, api_key=KEY) for _ in range(5)]
    assert [one.error_type for one in seen] == ["connect"] + ["address"] * 4
    assert connected == [PUBLIC]
    assert resolver.asked == ["rebind.example.org"] * 5
    assert (stranger.connections, bytes(stranger.heard)) == (0, b"")


async def test_of_several_addresses_only_the_public_ones_are_tried(
    stranger: Stranger, resolver: Resolver, connected: list[str]
) -> None:
    resolver.names = {"mixed.example.org": [["127.0.0.1", PUBLIC, "10.0.0.5", "::1", "fd00::1", "2606:4700::1111"]]}
    spec = replace(CHAT, base_url=f"https://mixed.example.org:{stranger.port}")
    async with open_client(spec) as client:
        seen = await request(client, spec, api_key=KEY)
    assert (seen.error_type, seen.error_message) == ("connect", "Network is unreachable")
    assert connected == [PUBLIC, "2606:4700::1111"]
    assert stranger.connections == 0


async def test_the_name_of_this_machine_leads_to_this_machine_alone(
    stranger: Stranger, resolver: Resolver, connected: list[str]
) -> None:
    """Requests to it may be in clear, so no switch lets it lead elsewhere."""
    resolver.names = {"localhost": [["10.0.0.5", PUBLIC]]}
    for allowed in (False, True):
        spec = replace(CHAT, base_url=f"http://localhost:{stranger.port}", is_private_allowed=allowed)
        async with open_client(spec) as client:
            seen = await request(client, spec, api_key=KEY)
        assert (seen.error_type, seen.error_message) == ("address", "localhost leads to another machine")
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_provider_on_this_machine_needs_no_switch(host: str) -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "application/json", b'{"data": [{"id": "m"}]}')

    async with serving(script) as provider:
        spec = _spec_of({"key": "p", "provider_type": "custom", "base_url": f"http://{host}:{provider.port}/v1"})
        async with open_client(spec) as client:
            assert [found.external_id for found in (await fetch_catalog(client, spec, KEY)).models] == ["m"]


# Redirects


@pytest.mark.parametrize("location", [
    "http://127.0.0.1:{p}/v1/models", "https://127.0.0.1:{p}/v1/models", "//127.0.0.1:{p}/v1/models", "http://localhost:{p}/v1", "/v1/other",
    "http://key:{key}@127.0.0.1:{p}/", "\\\\127.0.0.1:{p}\\v1", "file:///etc/passwd",
])  # fmt: skip
@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_no_redirect_of_a_models_endpoint_is_followed(stranger: Stranger, location: str, status: str) -> None:
    where = location.format(p=stranger.port, key=KEY)

    async def script(c: Conversation) -> None:
        await c.answer(status, "text/plain", b"", f"location: {where}", f"refresh: 0; url={where}")

    async with serving(script) as provider, open_client(CHAT) as client:
        with pytest.raises(WireError) as caught:
            await fetch_catalog(client, provider.spec(), KEY)
    assert caught.value.status_code == int(status[:3])
    assert KEY not in str(caught.value)
    assert len(provider.requests) == 1
    assert (stranger.connections, bytes(stranger.heard)) == (0, b"")


# The command


def test_a_provider_in_a_private_network_is_added_only_with_the_switch(house: House, run: Run) -> None:
    words = ("providers", "add", "lan", "--type", "custom", "--base-url", "https://10.0.0.5:8000/v1")
    ran = run(*words)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert (
        "base_url leads to 10.0.0.5, which is no public address; if a provider of yours is there, add --allow-private"
        in ran.err
    )
    assert house.rows("providers") == []
    assert run(*words, "--allow-private").code == 0
    assert [row["is_private_allowed"] for row in house.rows("provider_registry")] == [True]
    assert run("providers", "set", "lan", "--public-only").code == 2, "it is there, after all"
    assert run("providers", "set", "lan", "--base-url", "https://api.example.org/v1", "--public-only").code == 0
    assert [row["is_private_allowed"] for row in house.rows("provider_registry")] == [False]


def test_a_name_that_leads_into_a_private_network_gets_no_key_until_its_user_says_so(
    house: House, run: Run, resolver: Resolver, stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.names = {"gateway.example.org": [["127.0.0.1"]]}
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("LAN_API_KEY", KEY)
    url = f"https://gateway.example.org:{stranger.port}/v1"
    assert run("providers", "add", "lan", "--type", "openai", "--base-url", url).code == 0
    assert run("models", "add", "lan/m").code == 0
    ran = run("models", "sync", "lan")
    assert ran.code == 1
    assert f"lan: No connection to {url}: the host leads to an address that is not public" in ran.err
    (result,) = house.bench().results
    assert (result.outcome, result.error_type) == ("failed", "address")
    assert (stranger.connections, resolver.asked) == (0, ["gateway.example.org"] * 2), "and it is not asked again"
    assert run("providers", "set", "lan", "--allow-private").code == 0
    house.sections["catalog"] = {"timeout_ms": 2000.0, "attempts": 1}
    (report,) = house.sync()
    assert "No connection" in (report.error or ""), "TLS is not spoken there"
    assert stranger.connections == 1
    assert KEY.encode() not in stranger.heard


def test_a_refusal_is_no_matter_of_patience() -> None:
    assert not ConnectFailed("address", "no").is_transient
