"""`realtime-sip demo`: its arguments, and what its exit status says."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import tempfile
from pathlib import Path

from realtime_sip.cli.command import Commands, speed

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "demo",
        help="answer an emulated WhatsApp call, and show it as it happens",
        description="Starts the server of examples/whatsapp_receptionist.py and calls it through emulators of Twilio "
        "and OpenAI. No account, no network: only this machine's loopback.",
    )
    parser.add_argument(
        "--without-twilio",
        action="store_true",
        help="the call as a SIP trunk brings it, to the server of examples/fastapi_server.py",
    )
    parser.add_argument(
        "--recording", type=Path, metavar="PATH", help="without Twilio, replay a recorded session instead of a scenario"
    )
    parser.add_argument(
        "--speed", type=speed, default=3.0, help="how much faster than life, 0.5 to 30 (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Play the call; return 0 if it went as it should, else 1."""
    from realtime_sip.event_log import EventLogFolder

    # What a recording holds is not ours to write down; the demo's own callers are made up.
    log = EventLogFolder(tempfile.mkdtemp(prefix="realtime-sip-demo-"), redact=options.recording is not None)
    if options.without_twilio or options.recording:
        from realtime_sip.cli.demo_call import run_demo

        went = asyncio.run(run_demo(recording=options.recording, speed=options.speed, event_log=log))
    else:
        from realtime_sip.cli.demo_chain import run_chain

        went = asyncio.run(run_chain(speed=options.speed, event_log=log))
    logs = list(log.folder.glob("*.jsonl"))
    if not logs:
        log.folder.rmdir()
    for path in logs:
        print("\nThe server's event log of this call, as a timeline:\n")
        print(f"    realtime-sip inspect {shlex.quote(str(path))}")
    return 0 if went else 1
