"""`realtime-sip twilio trunk`: a trunk that a program declares is planned, applied, verified and deleted."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_sip._program_errors import where
from realtime_sip.cli.command import Commands
from realtime_sip.errors import ConfigurationError, NetworkError, RealtimeSipError, ServiceError

if TYPE_CHECKING:
    from realtime_sip.twilio.account import TwilioAccount
    from realtime_sip.twilio.trunking import Step, Trunk

__all__ = ["add", "declared", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "trunk",
        help="an Elastic SIP trunk",
        description="plan shows what apply would do; verify says whether the trunk is as declared; delete keeps the "
        "numbers, which go on costing. The exit status is 0 if it went well, 1 if it did not, and 2 if it could not "
        "be tried.",
    )
    parser.add_argument("action", choices=["plan", "apply", "verify", "delete"])
    parser.add_argument("trunk", metavar="MODULE:NAME", help="where the Trunk is, as shop.trunks:MAIN")
    parser.add_argument("--json", action="store_true", help="print JSON; apply and delete need --yes then")
    parser.add_argument("--yes", action="store_true", help="do not ask before something is changed")
    parser.add_argument("--prune", action="store_true", help="let go what is there and not declared (plan and apply)")
    parser.add_argument(
        "--base-url", metavar="URL", help="where requests go in place of Twilio's hosts, such as TwilioEmulator's"
    )


def run(options: argparse.Namespace) -> int:
    """Do it, and return 0 if the trunk is as it should be, else 1."""
    from realtime_sip.twilio.account import TwilioAccount

    if options.prune and options.action not in ("plan", "apply"):
        raise ConfigurationError("--prune is for plan and apply")
    if options.json and options.action in ("apply", "delete") and not options.yes:
        raise ConfigurationError(f"{options.action} --json does not ask: pass --yes, too")
    # The command says once what failed.
    logging.getLogger("realtime_sip").addHandler(logging.NullHandler())
    trunk = declared(options.trunk)
    with TwilioAccount(base_url=options.base_url) as account:
        return _ACTIONS[options.action](account, trunk, options)


def _plan(account: TwilioAccount, trunk: Trunk, options: argparse.Namespace) -> int:
    plan = account.trunks.plan(trunk, prune=options.prune)
    _show(plan, options)
    return 0 if plan.can_be_applied else 1


def _apply(account: TwilioAccount, trunk: Trunk, options: argparse.Namespace) -> int:
    plan = account.trunks.plan(trunk, prune=options.prune)
    if not options.json:
        print(plan)
    if not plan.can_be_applied:
        if options.json:
            _show(plan, options)
        return 1
    if plan.steps and not _confirmed("Apply this?", options):
        return 1

    def progress(step: Step) -> None:
        if not options.json:
            print(f"… {step.action} {step.kind} {step.name}", flush=True)

    try:
        applied = account.trunks.apply(trunk, prune=options.prune, on_step=progress)
        report = account.trunks.verify(trunk)
    except (NetworkError, ServiceError) as error:
        print(f"realtime-sip: {error}\nWhat was done by then stays: apply again to go on.", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({**applied.to_json(), "ok": report.ok}, indent=2))
    else:
        print(report)
    return 0 if report.ok else 1


def _verify(account: TwilioAccount, trunk: Trunk, options: argparse.Namespace) -> int:
    report = account.trunks.verify(trunk)
    _show(report, options)
    return 0 if report.ok else 1


def _delete(account: TwilioAccount, trunk: Trunk, options: argparse.Namespace) -> int:
    deletion = account.trunks.deletion(trunk)
    if not options.json:
        print(deletion)
    if deletion.sid is not None:
        if not _confirmed("Delete it?", options):
            return 1
        deletion = account.trunks.delete(trunk)
    if options.json:
        _show(deletion, options)
    return 0


_ACTIONS: dict[str, Callable[[TwilioAccount, Trunk, argparse.Namespace], int]] = {
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
    "delete": _delete,
}


def _show(what: Any, options: argparse.Namespace) -> None:
    print(json.dumps(what.to_json(), indent=2) if options.json else what)


def _confirmed(question: str, options: argparse.Namespace) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked here: pass --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def declared(place: str) -> Trunk:
    """Return the trunk that a program declares at `MODULE:NAME`.

    Raises:
        ConfigurationError: No trunk is declared there.
    """
    from realtime_sip.twilio.trunking import Trunk

    module_name, colon, name = place.partition(":")
    if not colon or not module_name or not name.isidentifier():
        raise ConfigurationError("the trunk is named as MODULE:NAME, such as shop.trunks:MAIN")
    folder = str(Path.cwd())  # as `python -m` has it; a command has its own folder there
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except RealtimeSipError:
        raise  # the declaration is wrong, and the error says how
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            here = "run it where your program starts"
            raise ConfigurationError(f"there is no module {module_name} here: {here}") from None
        what = f"{type(error).__name__}{f', {missing}' if missing else ''}"
        raise ConfigurationError(f"importing {module_name} raises {what}{where(error)}") from error
    value = getattr(module, name, None)
    if not isinstance(value, Trunk):
        raise ConfigurationError(f"{place} is not a Trunk")
    return value
