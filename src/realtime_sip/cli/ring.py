"""`realtime-sip ring`: its arguments, and what its exit status says."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from realtime_sip.cli.command import Commands, speed

__all__ = ["add", "add_arguments", "run"]

PORT = 15060


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    add_arguments(
        commands.add_parser(
            "ring",
            help="ring your own server, in any language, and show the call",
            description="Rings a server that is running, through an emulator of OpenAI's side on this machine: no "
            "account. What the server has to run with is printed first. Exit status: 0 the call went as it should, 1 "
            "it did not, 2 it could not be tried.",
        )
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, to a parser of this command or of another one that rings, as a management command."""
    parser.add_argument("url", help="the server's webhook for OpenAI, as http://127.0.0.1:8000/openai/webhook")
    parser.add_argument(
        "--scenario", type=Path, metavar="PATH", help="what the caller and the model do; typed if left out"
    )
    parser.add_argument("--from", dest="from_", metavar="CALLER", help="who calls: +…, whatsapp:+… or sip:…")
    parser.add_argument("--to", metavar="NUMBER", help="what was called")
    parser.add_argument(
        "--twilio", metavar="URL", help="let the call come in at Twilio first, with this voice URL of the server"
    )
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="with --twilio: what the server verifies signatures with, if not its own URL",
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, help="where the emulator listens, on 127.0.0.1 (default: %(default)s)"
    )
    parser.add_argument(
        "--speed", type=speed, default=3.0, help="how much faster than life, 0.5 to 30 (default: %(default)s)"
    )
    parser.add_argument(
        "--rings", type=_seconds, default=20.0, help="seconds until the caller gives up (default: %(default)g)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=120.0, help="seconds for a call with --scenario (default: %(default)g)"
    )


def run(options: argparse.Namespace) -> int:
    """Ring the server and return the exit status: 0 the call went as it should, 1 it did not.

    Raises:
        RealtimeSipError: It could not be tried; the command's exit status is 2 then.
    """
    from realtime_sip.cli.ring_call import Ring, ring

    ringing = Ring(
        url=options.url,
        scenario=options.scenario,
        caller=options.from_,
        dialed=options.to,
        voice_url=options.twilio,
        public_url=options.public_url,
        port=options.port,
        speed=options.speed,
        rings=options.rings,
        timeout=options.timeout,
    )
    return 0 if asyncio.run(ring(ringing)) else 1


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be 1 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("must be 0.1 to 86400")
    return seconds
