"""Keeps what telemetry raises away from calls: a provider or an exporter of the program's own may raise anything."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

_log = logging.getLogger("realtime_sip.telemetry")

P = ParamSpec("P")
S = TypeVar("S")

_told: set[str] = set()
"""What has failed already, by the place and the kind of error, so that each is logged once."""
_MOST_TOLD = 100


def harmless(method: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Let a method raise nothing but what ends the program."""

    @functools.wraps(method)
    def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - no call ends because of whoever watches it
            failed(method.__qualname__, error)

    return guarded


def failed(what: str, error: Exception) -> None:
    """Log what has failed, once for each kind of error."""
    kind = f"{what}: {type(error).__name__}"
    if kind not in _told and len(_told) < _MOST_TOLD:
        _told.add(kind)
        _log.warning("telemetry failed in %s; calls go on, and this is logged once", kind)
