"""Fixtures of the wire's tests."""

import socket

import pytest
from wire.loopback import CHAT, PROMPT, SOON, Ask, Script, request, serving

from providers.records import Deadlines, Measurement, Prompt, ProviderSpec
from providers.transport import open_client


@pytest.fixture
def ask() -> Ask:
    """Measure one request against a script."""

    async def run(
        script: Script,
        *,
        base: ProviderSpec = CHAT,
        prompt: Prompt = PROMPT,
        deadlines: Deadlines = SOON,
        api_key: str | None = None,
    ) -> Measurement:
        async with serving(script) as provider:
            spec = provider.spec(base)
            async with open_client(spec) as client:
                return await request(client, spec, prompt=prompt, deadlines=deadlines, api_key=api_key)

    return run


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
