"""Measures one request in a process of its own and prints how far its memory grew: `python -m faults.provider_memory URL MODEL`.

The peak is the kernel's VmHWM, set back before the request, so that neither the imports nor the parent count.
"""

import asyncio
import json
import sys
from pathlib import Path

from providers.catalog import fetch_catalog
from providers.errors import WireError
from providers.measure import measure
from providers.records import Deadlines, Prompt
from providers.specs import make_spec
from providers.transport import open_client


def status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def begin() -> int:
    """Set the peak back; the memory in use, in KiB."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return status_kib("VmRSS")


async def main(url: str, model: str) -> dict[str, object]:
    spec = make_spec({"key": "p", "provider_type": "custom", "base_url": url, "is_simulated": True})
    async with open_client(spec) as client:
        before = begin()
        if model == "listing":
            try:
                await fetch_catalog(client, spec, None)
                error_type = None
            except WireError as error:
                error_type = error.error_type
        else:
            seen = await measure(
                client, spec, model, Prompt("hi"), api_key=None, deadlines=Deadlines(total_ms=100_000), request_id="r"
            )
            error_type = seen.error_type
        return {"error_type": error_type, "grown_mb": (status_kib("VmHWM") - before) / 1024}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
