"""Which addresses a provider's host may lead to: those of the public internet, unless its user said otherwise.

A base URL is text that somebody may edit, and a name leads wherever its owner's DNS says at that moment. So a host is judged
twice: as it is written, when its provider is described, and by each address that it resolves to, when a connection is made; the
address that was judged is the one that is connected to.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeVar

from providers.errors import BadProvider

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]  # what `getaddrinfo` gives
F = TypeVar("F", bound=Found)

# What is not public by IANA's registries of special-purpose addresses: https://www.iana.org/assignments/iana-ipv4-special-registry,
# https://www.iana.org/assignments/iana-ipv6-special-registry. Spelled out, because each Python's `is_global` is another one.
_SPECIAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_PUBLIC_6 = IPv6Network("2000::/3")
# Beside documentation: Teredo and 6to4, which hold an IPv4 address that would go unjudged.
_SPECIAL_6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")  # how a network with IPv6 alone reaches IPv4: judged by the address inside

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)

SWITCH = "'scorehouse providers set PROVIDER --allow-private' permits it"


class NotPermitted(Exception):
    """A host leads nowhere that it may; the text says why, without addresses."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as `urlsplit` gives it, is this machine."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # An IPv4 address inside an IPv6 one is another spelling of it, which nobody needs.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet: global unicast, and no detour to another kind."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _PUBLIC_6 and not any(address in network for network in _SPECIAL_6)


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as, None if it is a name.

    Raises BadProvider for what only some programs take for an address (2130706433, 0x7f.1, 127.1, 010.0.0.1, 10.0.0.1.): what is
    checked must be what is connected to.
    """
    if ":" not in host and not _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return None
    try:
        return ip_address(host)
    except ValueError:
        raise BadProvider(
            f"base_url's host '{host}' is an odd spelling of an address; write it as four decimal numbers, or as a name"
        ) from None


def check_host(host: str, *, is_private_allowed: bool) -> None:
    """Refuse a host that is written as an address which its provider may not have. A name is judged when it is resolved.

    Raises BadProvider.
    """
    address = literal(host)
    if not (address is None or is_private_allowed or is_loopback(host) or is_public(address)):
        raise BadProvider(
            f"base_url leads to {address}, which is no public address; if a provider of yours is there, add --allow-private"
        )


def permitted(host: str, found: Iterable[F], *, is_private_allowed: bool) -> list[F]:
    """Those of the addresses found for `host` that may be connected to.

    This machine, called by its name or address, is this machine alone (its requests may be in clear); any other host has public
    addresses, or with `is_private_allowed` whichever it has. Raises NotPermitted if that leaves none of them.
    """
    found = list(found)
    if is_loopback(host):
        kept = [one for one in found if _address(one).is_loopback]
        reason = f"{host} leads to another machine"
    else:
        kept = [one for one in found if is_private_allowed or is_public(_address(one))]
        reason = f"the host leads to an address that is not public; {SWITCH}"
    if found and not kept:
        raise NotPermitted(reason)
    return kept


def _address(found: Found) -> IPv4Address | IPv6Address:
    return ip_address(str(found[4][0]))
