"""What importing costs, each in an interpreter of its own, beside importing httpx, websockets' client and pydantic.

The floor has one model of pydantic's. What the interpreter takes to start is taken off all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from paired import Rows

ROUNDS = 15
_FLOOR = "import httpx, websockets.asyncio.client\nfrom pydantic import BaseModel\nclass M(BaseModel):\n    a: int"
_EVENT = (
    '{"type": "input_audio_buffer.committed", "event_id": "event_1", "item_id": "item_1", "previous_item_id": null}'
)
_ALL = f"import realtime_sip\nrealtime_sip.AsyncRealtimeSip('sk')\nrealtime_sip.events.parse_server_event({_EVENT!r})"
_PROGRAMS = {
    "httpx, websockets and pydantic": _FLOOR,
    "import, a client, an event": _ALL,
    "from realtime_sip.webhooks import …": "from realtime_sip.webhooks import OpenAIWebhooks",
    "openai, a client": "import openai\nopenai.AsyncOpenAI(api_key='sk')",
}


def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    rows = Rows()
    with tempfile.TemporaryDirectory() as cache:
        # Compiled code is kept, as it is wherever a program is installed.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache}

        def seconds(program: str) -> float:
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], env=environment, check=True)
            return time.perf_counter() - begun

        def beyond_starting(program: str) -> Callable[[], float]:
            return lambda: seconds(program) - min(seconds("pass"), seconds("pass"))

        rows.measure(ROUNDS, {name: beyond_starting(program) for name, program in _PROGRAMS.items()})
    floor, ours, webhooks, openai = _PROGRAMS
    print(f"importing, {ROUNDS} rounds")
    rows.show(floor, unit=1e-3)
    rows.show(ours, floor=floor, most=1.5, unit=1e-3)
    rows.show(webhooks, floor=floor, most=0.8, unit=1e-3)
    rows.show(openai, floor=floor, unit=1e-3)
    return int(rows.missed)


if __name__ == "__main__":
    sys.exit(main())
