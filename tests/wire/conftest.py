"""Fixtures of the wire's tests."""

from collections.abc import Awaitable, Callable

import pytest
from wire.loopback import CHAT, PROMPT, SOON, Script, request, serving

from providers.measure import Measurement
from providers.records import Deadlines, Prompt, ProviderSpec
from providers.transport import open_client

Ask = Callable[..., Awaitable[Measurement]]


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
