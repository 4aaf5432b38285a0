"""`realtime-sip twilio`: what is provisioned at Twilio, a module of this folder for each kind of it."""

from __future__ import annotations

import argparse

from realtime_sip.cli import twilio_trunk, twilio_whatsapp
from realtime_sip.cli.command import Command, Commands

__all__ = ["add", "run"]

KINDS: dict[str, Command] = {"trunk": twilio_trunk, "whatsapp": twilio_whatsapp}


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "twilio",
        help="plan, apply, verify and delete what is provisioned at Twilio",
        description="The account is that of TWILIO_ACCOUNT_SID, by TWILIO_API_KEY and TWILIO_API_SECRET, or by "
        "TWILIO_AUTH_TOKEN.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in KINDS.values():
        kind.add(kinds)


def run(options: argparse.Namespace) -> int:
    """Carry it out and return the exit status."""
    return KINDS[options.kind].run(options)
