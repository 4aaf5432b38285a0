"""No key is written, whatever the configuration of logging."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, logging, logging.config, sys
{early}
import realtime_sip
from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.testing import OpenAIEmulator
{late}

async def main():
    async with OpenAIEmulator(strict=False) as openai:
        options = openai.client_options
        print(options["api_key"])
        class Target:
            async def submit(self, incoming):
                await self.ring(incoming)
        async def answer(incoming):
            async with AsyncRealtimeSip(**options) as client:
                session = {{"model": "gpt-realtime-2.1", "instructions": "the words"}}
                await client.calls.accept(incoming.call_id, session)
                async with client.calls.connect(incoming.call_id) as sideband:
                    await sideband.session_update({{"instructions": "the words"}})
                    await sideband.recv()
                def blocking():
                    with RealtimeSip(**options) as client, client.calls.connect(incoming.call_id) as sideband:
                        sideband.session_update({{"instructions": "the words"}})
                        sideband.recv()
                await asyncio.to_thread(blocking)
        target = Target()
        target.ring = answer
        ringing = await openai.ring(target)
        await ringing.until_delivered(timeout=8)
        logging.getLogger("realtime_sip").debug("at debug")
        assert ringing.submissions == [None], ringing.submissions

asyncio.run(main())
"""

DICT = """
logging.config.dictConfig({
    "version": 1,
    "handlers": {"out": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["out"], "level": "DEBUG"},
    "loggers": {"realtime_sip": {"level": "DEBUG"}},
})
"""
DICT_NAMED = """
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"out": {"class": "logging.StreamHandler"}},
    "loggers": {
        name: {"level": "DEBUG", "handlers": ["out"], "propagate": False}
        for name in ("", "realtime_sip", "realtime_sip.websocket", "realtime_sip.testing.websocket", "websockets")
    },
})
"""
FILE = """
import io
logging.config.fileConfig(io.StringIO('''
[loggers]
keys=root,ours
[handlers]
keys=out
[formatters]
keys=
[logger_root]
level=DEBUG
handlers=out
[logger_ours]
level=DEBUG
handlers=out
qualname=realtime_sip
[handler_out]
class=StreamHandler
args=(sys.stderr,)
'''), disable_existing_loggers=False)
"""
BASIC = """
logging.basicConfig(level=logging.DEBUG, force=True)
for name in ("realtime_sip", "realtime_sip.websocket", "realtime_sip.testing.websocket"):
    logging.getLogger(name).setLevel(1)
"""


@pytest.mark.parametrize(
    ("configured", "when"),
    [(DICT, "late"), (DICT_NAMED, "late"), (FILE, "late"), (BASIC, "late"), (DICT, "early")],
    ids=["dict", "named", "file", "basic", "before the import"],
)
def test_law_no_key_and_no_frame_in_any_logging_configuration(configured: str, when: str) -> None:
    program = PROGRAM.format(**{"early": "", "late": "", when: configured})
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "at debug" in done.stderr
    assert len(done.stdout.strip()) > 8
    assert done.stdout.strip() not in done.stderr
    assert "Authorization" not in done.stderr
    assert "the words" not in done.stderr
