"""What a model refused, as a person at the command line sees it and takes it back."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.conftest import Run
from house import House
from wire.loopback import DONE, Conversation, Provider, data, said, serving


@contextmanager
def refusing_stream_options() -> Iterator[Provider]:
    """A provider in a thread of its own, whose models take no stream options."""
    started, over = threading.Event(), asyncio.Event()
    running: list[Provider] = []
    loop = asyncio.new_event_loop()

    async def script(c: Conversation) -> None:
        if "stream_options" in running[0].requests[-1][2]:
            body = b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'
            await c.answer("400 Bad Request", "application/json", body)
        else:
            await c.answer("200 OK", "text/event-stream", data(said("A light for ships.", "stop")) + DONE)

    async def serve() -> None:
        async with serving(script) as provider:
            running.append(provider)
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield running[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def test_what_a_model_refused_is_shown_and_can_be_tried_again(run: Run, house: House) -> None:
    house.home.mkdir()
    with refusing_stream_options() as provider:
        house.add_gateway("acme", "tiny", provider_type="custom", base_url=f"http://127.0.0.1:{provider.port}/v1")
        assert run("providers", "test", "acme").code == 0
        assert len(provider.requests) == 2
        assert list(run("models", "show", "acme/tiny", "--json").json["rejected_parameters"]) == ["stream_options"]
        assert "stream_options" in run("models", "show", "acme/tiny").out
        assert run("providers", "test", "acme").code == 0
        assert len(provider.requests) == 3
        taken_back = run("models", "set", "acme/tiny", "--retry-parameters", "--priority", 70)
        assert taken_back.code == 0
        assert "stream_options will be sent again" in taken_back.err
        shown = run("models", "show", "acme/tiny", "--json").json
        assert (shown["rejected_parameters"], shown["priority"]) == ({}, 70)
        assert run("providers", "test", "acme").code == 0
        assert len(provider.requests) == 5
    assert "stream_options will be sent again" in run("models", "set", "acme/tiny", "--retry-parameters").err
    assert "is not known to have refused" in run("models", "set", "acme/tiny", "--retry-parameters").err


def test_a_deployment_added_by_hand_names_its_base_model(run: Run, house: House) -> None:
    house.home.mkdir()
    house.add_gateway("acme", provider_type="custom")
    assert run("models", "add", "acme/our-chat", "--base-model", "o3-mini").code == 0
    assert run("models", "show", "acme/our-chat", "--json").json["metadata"] == {"base_model": "o3-mini"}
