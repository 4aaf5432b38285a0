"""`realtime-sip doctor`: its arguments, and what its exit status says.

A check has three parts: a rule, which is a pure function of what was read (`environment`, `packages`,
`openai_project`, `webhook_url`, `voice_url`, `sip_uri`, `twilio_account`); steps that yield what to ask and are sent
the answers; and what carries them out (`asking`, and the package's own transports).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from realtime_sip.cli.command import Commands

if TYPE_CHECKING:
    from realtime_sip.cli.doctor.finding import Finding

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "doctor",
        help="find what keeps calls away: keys, webhook, SIP URI, Twilio",
        description="Looks at the environment and the installed packages, and asks OpenAI and Twilio with the keys of "
        "the environment; it changes nothing. With --url and --voice-url it also asks your server, of which no call "
        "comes. Exit status: 0 nothing that was checked keeps calls away, 1 something does, 2 it could not be tried.",
    )
    parser.add_argument("--offline", action="store_true", help="let nothing leave this machine")
    parser.add_argument("--url", type=_url, help="your webhook for OpenAI, as OpenAI has it")
    parser.add_argument("--voice-url", type=_url, metavar="URL", help="your voice URL, as Twilio has it")
    parser.add_argument(
        "--model", action="append", type=_model, default=[], metavar="NAME", help="a model of your sessions; repeatable"
    )
    parser.add_argument("--sip-uri", metavar="URI", help="what your trunk or TwiML dials")
    parser.add_argument("--number", type=_number, metavar="+…", help="a number at Twilio; the only one if left out")
    parser.add_argument(
        "--sender", type=_sender, metavar="whatsapp:+…", help="a WhatsApp sender; the only one if left out"
    )
    parser.add_argument("--application-sid", type=_application, metavar="AP…", help="a TwiML App")
    parser.add_argument("--trunk", metavar="MODULE:NAME", help="where a Trunk is declared, as shop.trunks:MAIN")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="seconds for each answer (default: %(default)g)",
    )
    parser.add_argument(
        "--twilio-base-url",
        type=_url,
        metavar="URL",
        help="where requests go in place of Twilio's hosts, such as TwilioEmulator's",
    )


def run(options: argparse.Namespace) -> int:
    """Look, print what was found, and return 1 if anything of it keeps calls away, else 0.

    Raises:
        ConfigurationError: An option makes no sense.
    """
    try:
        from realtime_sip.cli.doctor.examination import Examination, examined
        from realtime_sip.cli.twilio_trunk import declared
    except ImportError as error:
        from realtime_sip.cli.doctor.packages import broken

        return _shown(broken(error), options)
    # Each finding says what failed.
    logging.getLogger("realtime_sip").addHandler(logging.NullHandler())
    what = Examination(
        offline=options.offline,
        url=options.url,
        voice_url=options.voice_url,
        models=tuple(options.model),
        sip_uri=options.sip_uri,
        number=options.number,
        sender=options.sender,
        application_sid=options.application_sid,
        trunk=None if options.trunk is None else declared(options.trunk),
        trunk_place=options.trunk or "",
        twilio_base_url=options.twilio_base_url,
        timeout=options.timeout,
    )
    return _shown(examined(what, os.environ, lambda: time.time()), options)


def _shown(findings: Sequence[Finding], options: argparse.Namespace) -> int:
    from realtime_sip.cli.doctor.finding import Level
    from realtime_sip.cli.doctor.shown import as_json, as_text

    if options.json:
        print(json.dumps(as_json(findings), indent=2))
    else:
        text = as_text(findings, colored=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
        encoding = sys.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding))
    return 1 if any(each.level is Level.ERROR for each in findings) else 0


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("must be a whole http or https URL")
    return text


def _number(text: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        raise argparse.ArgumentTypeError("must be in E.164 with the plus, as +14155550100")
    return text


def _sender(text: str) -> str:
    if not re.fullmatch(r"(whatsapp:)?\+[1-9][0-9]{6,14}|XE[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError("must be whatsapp: and a number in E.164, or a SID, XE…")
    return f"whatsapp:{text}" if text.startswith("+") else text


def _application(text: str) -> str:
    if not re.fullmatch("AP[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError("must be a SID, AP and 32 hexadecimal digits")
    return text


def _model(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("must be the name of a model")
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 120:
        raise argparse.ArgumentTypeError("must be 0.1 to 120")
    return seconds
