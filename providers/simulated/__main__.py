"""`python -m providers.simulated`: the simulated providers, for as long as standard input stays open.

Prints one line of JSON when it listens: its port and its providers as rows of the `providers` table.
"""

import argparse
import asyncio
import gc
import json
import sys
import threading
from contextlib import suppress
from pathlib import Path

from providers.simulated import provider_rows
from providers.simulated.connection import Log
from providers.simulated.server import Server, serve
from providers.simulated.world import World, read_questions


def main() -> None:
    """Serve until standard input ends: a parent that is killed takes its simulated providers along."""
    parser = argparse.ArgumentParser(
        prog="python -m providers.simulated", description="Providers on loopback that tell the truth."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True, help="JSON Lines: the true times of each request")
    parser.add_argument(
        "--gold", type=Path, nargs="*", default=[], help="JSON Lines of gold questions that it can answer"
    )
    parser.add_argument("--key", help="the key that callers must show; none by default")
    arguments = parser.parse_args()
    world = World(arguments.seed, read_questions(arguments.gold))
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(Server(world, Log(arguments.log), arguments.key), arguments.port))


async def _run(server: Server, port: int) -> None:
    try:
        listener = await serve(server, port)
    except OSError as error:
        sys.exit(f"port {port} cannot be listened on: {error.strerror}")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_the_parent() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_the_parent, daemon=True).start()
    # What lives now lives to the end: collections between tokens need not look at it.
    gc.collect()
    gc.freeze()
    port = listener.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "providers": provider_rows(port)}), flush=True)  # noqa: T201  # the ready line
    await stop.wait()
    listener.close()


if __name__ == "__main__":
    main()
