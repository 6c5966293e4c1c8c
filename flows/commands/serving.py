"""`scorehouse mcp`: the lookup for agents that speak the Model Context Protocol."""

import asyncio
import errno
import os
import socket
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows import render
from flows.commands.decisions import find
from flows.errors import FlowError, UsageError
from flows.settings import Settings, load_settings
from flows.warehouse import open_store

if TYPE_CHECKING:
    from analytics.serve.mcp import Services

TOKEN = "SCOREHOUSE_MCP_TOKEN"  # noqa: S105  # its name
"""Names the variable with what a client over HTTP has to send as `Authorization: Bearer`; unset: whoever gets there is answered."""

_SHORTEST = 16


def mcp(
    transport: Annotated[Literal["stdio", "http"], typer.Option(help="How it is spoken to.")] = "stdio",
    host: Annotated[str, typer.Option(help="Address to listen on (http).")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on (http).")] = 8765,
    remote_name: Annotated[
        list[str] | None,
        typer.Option(help="A name by which other machines reach it; needed beyond loopback, as is a token in SCOREHOUSE_MCP_TOKEN; repeatable."),
    ] = None,
) -> None:  # fmt: skip
    """Serve the tools route_model, explain_route, compare_models, model_performance and record_feedback."""
    try:
        from analytics.serve.mcp import LOOPBACK, make_server, serve_http
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise FlowError("The package 'mcp' is not installed: pip install 'scorehouse[serve]'.") from None
    from analytics.routing import Lookup

    names = remote_name or []
    if transport == "http" and host not in LOOPBACK and not names:
        raise UsageError(f"--host {host} lets other machines in: say by which name they may come with --remote-name.")
    token = os.environ.get(TOKEN) or None
    if transport == "http" and token is None and host not in LOOPBACK:
        raise UsageError(
            f"Other machines may come in, so a token must say who they are: set {TOKEN} to a long random text."
        )
    if token is not None and len(token) < _SHORTEST:
        raise UsageError(f"{TOKEN} is too short to be a secret: give at least {_SHORTEST} characters.")
    settings = load_settings()
    listening = _listening(host, port) if transport == "http" else []
    with Lookup.open(settings.home.path, default_model=settings.default_model, log=True) as lookup:
        server = make_server(lookup, _services(settings), version=metadata.version("scorehouse"))
        if transport == "stdio":
            asyncio.run(server.run_stdio_async())
            return
        port = listening[0].getsockname()[1]
        render.say(f"Serving MCP at http://{f'[{host}]' if ':' in host else host}:{port}/mcp")
        asyncio.run(serve_http(server, host, listening, names, token))


def _listening(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at each address of `host` that this machine has. FlowError: another program listens there, or it has none."""
    made: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found):
            try:
                made.append(socket.create_server((address, port), family=family))
            except OSError as error:
                if error.errno not in (
                    errno.EADDRNOTAVAIL,
                    errno.EAFNOSUPPORT,
                ):  # localhost is IPv6 too, where there is any
                    raise
                lacking = error
        if not made and lacking is not None:
            raise lacking
    except OSError as error:
        for one in made:
            one.close()
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise FlowError(f"Cannot listen at {host}, port {port}: {why}. Another --port or --host may be free.") from None
    return made


def _services(settings: Settings) -> "Services":
    from analytics.performance import performance
    from analytics.ratings import record_rating
    from analytics.serve.mcp import Services

    def record(message_id: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        with open_store(settings) as store:
            return record_rating(store, message_id, given)

    return Services(
        explain=lambda decision_id: find(settings, decision_id),
        performance=lambda task, agent: performance(settings.home.lake, settings.home.scoring, task=task, agent=agent),
        record=record,
    )
