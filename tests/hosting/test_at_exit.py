"""A program that ends without having drained its host hangs up what is up, and says so: real processes, real time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import emulated
import realtime_sip
from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator
from realtime_sip.testing.on_thread import EmulatorOnThread

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(realtime_sip.__file__).parents[1]
HELLO = ModelSays("Good morning.")

PROGRAM = """
import asyncio, logging, os, sys, threading, time
logging.basicConfig(level=logging.INFO)
from realtime_sip import AsyncRealtimeSip, CallHost, CallLimits, RealtimeSip
from realtime_sip.webhooks import OpenAIWebhooks

SESSION = {"model": "gpt-realtime-2.1", "instructions": "Be brief."}
client = AsyncRealtimeSip()

async def on_call(incoming):
    async with client.calls.answer(incoming, SESSION) as call:
        await call.wait_ended()
    print("behind the block", flush=True)

async def by_hand(incoming):
    await client.calls.accept(incoming.call_id, SESSION)
    await asyncio.Event().wait()

def webhook():
    # What a server would get: the parent rings, and hands the body over.
    body, headers = sys.stdin.readline(), eval(sys.stdin.readline())
    return client.webhooks.unwrap(body.strip(), headers)
"""

THREAD = """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
host = CallHost({handler}, client=client)
print(asyncio.run_coroutine_threadsafe(host.submit(webhook()), loop).result(), flush=True)
sys.stdin.readline()
"""
OWN = (
    THREAD
    + """
import atexit
atexit.register(lambda: asyncio.run_coroutine_threadsafe(host.drain(2), loop).result(10))
"""
)
THREAD_HOST = """
from realtime_sip import ThreadCallHost

host = ThreadCallHost({handler}, client=client, drain_timeout=2)
print(host.submit(webhook()), flush=True)
sys.stdin.readline()
"""
LOOP = """
loop = asyncio.new_event_loop()
host = CallHost({handler}, client=client)
print(loop.run_until_complete(host.submit(webhook())), flush=True)
loop.run_until_complete(asyncio.sleep(1))
"""
RUN = """
async def main():
    host = CallHost({handler}, client=client)
    print(await host.submit(webhook()), flush=True)
    await asyncio.sleep(1)

asyncio.run(main())
"""
ON_THREADS = (THREAD, OWN, THREAD_HOST)


def environment(emulator: OpenAIEmulator) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "OPENAI_API_KEY": emulator.api_key,
        # A name, so that it has to be looked up.
        "OPENAI_BASE_URL": emulator.base_url.replace("127.0.0.1", "localhost"),
        "OPENAI_WEBHOOK_SECRET": emulator.webhook_secret,
    }


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("handler", ["on_call", "by_hand"])
@pytest.mark.parametrize(
    "ending", [THREAD, OWN, THREAD_HOST, LOOP, RUN], ids=["thread", "own", "thread-host", "loop", "run"]
)
def test_law_never_an_agent_with_a_dead_line__a_program_that_ends_while_calls_are_up(
    ending: str, handler: str, endpoint: emulated.Endpoint
) -> None:
    with EmulatorOnThread(OpenAIEmulator(strict=False)) as openai:
        emulator = openai.emulator
        ringing = openai.run(emulator.ring, endpoint.url, scenario=[HELLO])
        until(lambda: endpoint.deliveries)
        webhook = endpoint.deliveries[0]
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + ending.format(handler=handler)],
            env=environment(emulator),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert program.stdin is not None
            program.stdin.write(f"{webhook.body.decode()}\n{webhook.headers!r}\n")
            program.stdin.flush()
            until(lambda: ringing.state == "accepted")
            if handler == "on_call" and ending in ON_THREADS:
                openai.run(ringing.until_attached)
            # Connections that are kept for reuse are closed after 5 s.
            time.sleep(6 if ending in ON_THREADS and handler == "by_hand" else 1)
            began = time.monotonic()
            told, _ = program.communicate("\n", timeout=30)
        finally:
            program.kill()
        assert time.monotonic() - began < 12
        assert program.returncode == 0, told
        assert openai.run(ringing.ended).by is EndedBy.AGENT, told
        drained = ending in (OWN, THREAD_HOST) or (ending is RUN and handler == "on_call")
        assert ("without drain()" in told) != drained
        if ending in ON_THREADS and handler == "on_call":
            assert "behind the block" in told
        assert "Traceback" not in told, told


def test_law_shutting_down_keeps_its_time__uvicorn_has_ended_long_before_it_is_killed() -> None:
    """Kubernetes and gunicorn kill 30 seconds after they ask; the callers stay on, and hear a goodbye before that."""
    pytest.importorskip("uvicorn")
    with EmulatorOnThread(OpenAIEmulator(strict=False)) as openai, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        app = ("--factory", "examples.fastapi_server:from_environment", "--fd", str(listening.fileno()))
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *app],
            env=environment(openai.emulator),
            cwd=ROOT,
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/openai/webhook"
            ringings = [openai.run(openai.emulator.ring, url, scenario=[HELLO]) for _ in range(3)]
            for ringing in ringings:
                openai.run(partial(ringing.until_attached, timeout=30))
            time.sleep(1)
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            told, _ = server.communicate(timeout=30)
        finally:
            server.kill()
        assert time.monotonic() - began < 22, told
        for ringing in ringings:
            assert openai.run(ringing.ended).by is EndedBy.AGENT
            assert len(ringing.said) == 2, "the greeting and the goodbye"
        assert told.count("call ended: agent (reported)") == len(ringings), "the code behind the blocks has run"
