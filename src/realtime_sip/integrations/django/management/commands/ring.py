"""`manage.py ring`: rings the server that runs, as `realtime-sip ring` does."""

from __future__ import annotations

import argparse
import sys
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime_sip.cli import ring
from realtime_sip.errors import RealtimeSipError


class Command(BaseCommand):  # type: ignore[misc] # Django has no types of its own
    """Rings a server."""

    help = "Ring the server that runs, through an emulator of OpenAI's side, and show the call."
    requires_system_checks: ClassVar[list[str]] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add those of `realtime-sip ring`."""
        ring.add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        """Ring it, and exit with the status of the command."""
        try:
            status = ring.run(argparse.Namespace(**options))
        except RealtimeSipError as error:
            raise CommandError(str(error), returncode=2) from None
        if status:
            sys.exit(status)
