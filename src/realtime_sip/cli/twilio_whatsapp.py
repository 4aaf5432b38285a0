"""`realtime-sip twilio whatsapp`: calls to a WhatsApp sender are switched on and off."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from realtime_sip.cli.command import Commands
from realtime_sip.errors import ConfigurationError, NetworkError, ServiceError

if TYPE_CHECKING:
    from realtime_sip.twilio.whatsapp import Sender

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "whatsapp",
        help="calls to a WhatsApp sender",
        description="status shows a sender, or all; activate gives it a TwiML App; deactivate takes the app away. The "
        "exit status is 0 if it went well (status: if calls are on), 1 if it did not, and 2 if it could not be tried.",
    )
    parser.add_argument("action", choices=["activate", "deactivate", "status"])
    parser.add_argument("sender", nargs="?", metavar="SENDER", help="whatsapp:+… or the SID, XE…")
    parser.add_argument("--voice-url", metavar="URL", help="where your TwiML is (activate)")
    parser.add_argument("--application-sid", metavar="AP…", help="a TwiML App in place of --voice-url (activate)")
    parser.add_argument("--message-url", metavar="URL", help="where messages and answers are posted (activate)")
    parser.add_argument("--json", action="store_true", help="print JSON; activate and deactivate need --yes then")
    parser.add_argument("--yes", action="store_true", help="do not ask before something is changed")
    parser.add_argument(
        "--base-url", metavar="URL", help="where requests go in place of Twilio's hosts, such as TwilioEmulator's"
    )


def run(options: argparse.Namespace) -> int:
    """Do it, and return 0 if it went well, else 1."""
    from realtime_sip.twilio.account import TwilioAccount

    if options.action != "status" and options.sender is None:
        raise ConfigurationError(f"{options.action} needs a sender: whatsapp:+… or its SID")
    if options.json and options.action != "status" and not options.yes:
        raise ConfigurationError(f"{options.action} --json does not ask: pass --yes, too")
    if options.action != "activate" and (options.voice_url or options.application_sid or options.message_url):
        raise ConfigurationError("--voice-url, --application-sid and --message-url are for activate")
    # The command says once what failed.
    logging.getLogger("realtime_sip").addHandler(logging.NullHandler())
    with TwilioAccount(base_url=options.base_url) as account:
        face = account.whatsapp
        if options.action == "status":
            listed = options.sender is None
            found = [face.sender(each.sid) for each in face.senders()] if listed else [face.sender(options.sender)]
            _show(found, options)
            return 0 if found and all(each.takes_calls for each in found) else 1
        before = face.sender(options.sender)
        if not options.json:
            print(f"{_line(before)}\n  ~ {_change(options)}")
        if not _confirmed(options):
            return 1
        if not options.json:
            print("… waiting until it is online", flush=True)
        try:
            if options.action == "activate":
                after = face.activate(
                    before.sid,
                    voice_url=options.voice_url,
                    application_sid=options.application_sid,
                    message_url=options.message_url,
                )
            else:
                after = face.deactivate(before.sid)
        except (NetworkError, ServiceError) as error:
            print(f"realtime-sip: {error}\nWhat was done by then stays: look with status.", file=sys.stderr)
            return 1
        _show([after], options)
    return 0


def _change(options: argparse.Namespace) -> str:
    if options.action == "deactivate":
        return "calls off: no TwiML App"
    to = options.voice_url or options.application_sid or "nothing"
    return f"calls on: {to}" + (f", messages to {options.message_url}" if options.message_url else "")


def _line(sender: Sender) -> str:
    calls = f"calls on, {sender.application_sid}" if sender.application_sid else "calls off"
    properties = sender.properties
    limit = (properties and properties.messaging_limit) or "messaging limit unknown"
    quality = (properties and properties.quality_rating) or "unknown"
    return f"{sender.sender_id} ({sender.sid}): {sender.status}, {calls}; {limit}, quality {quality}"


def _show(found: list[Sender], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps([_json(each) for each in found], indent=2))
    else:
        print("\n".join(map(_line, found)) or "the account has no WhatsApp sender")


def _json(sender: Sender) -> dict[str, Any]:
    properties = sender.properties
    return {
        "sid": sender.sid,
        "sender_id": sender.sender_id,
        "status": sender.status,
        "takes_calls": sender.takes_calls,
        "application_sid": sender.application_sid,
        "messaging_limit": properties and properties.messaging_limit,
        "quality_rating": properties and properties.quality_rating,
    }


def _confirmed(options: argparse.Namespace) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked here: pass --yes")
    return input("Change this? [y/N] ").strip().lower() in ("y", "yes")
