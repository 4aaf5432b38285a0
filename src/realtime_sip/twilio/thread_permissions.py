"""`CallPermissions` for code that blocks: the same on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime_sip.errors import DeadlineError, MisuseError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.stores.rules import Store
from realtime_sip.twilio.call_permissions import CallPermissions, Reservation
from realtime_sip.twilio.payload import TwilioWebhook
from realtime_sip.twilio.permission import EventKind, PermissionRules
from realtime_sip.twilio.whatsapp_user import WhatsAppUser

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that a method may take."""


class ThreadCallPermissions:
    """`CallPermissions`, blocking: for Flask, Django and scripts. Threads can share it; fork before its first use.

    Its methods are those of `CallPermissions`, and raise `DeadlineError` besides if the store does not answer within
    `timeout` seconds. The store belongs to its thread: a `CallHost` of the same process needs another one, such as a
    second `RedisStore` for the same Redis.

    Args:
        store: Where it is kept.
        rules: WhatsApp's numbers.
        clock: Returns the time as Unix seconds.
        timeout: Seconds that a method may take.

    Raises:
        ConfigurationError: It is no store.
    """

    def __init__(
        self,
        store: Store,
        *,
        rules: PermissionRules | None = None,
        clock: Callable[[], float] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._store: Any = store
        self._permissions = CallPermissions(store, rules=rules, clock=clock)
        self.rules = self._permissions.rules
        self._timeout = timeout
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def may_call(self, sender: str, user: str | WhatsAppUser) -> PermissionVerdict:
        """Return whether a sender may call a user now; see `CallPermissions.may_call`."""
        return self._wait(self._permissions.may_call(sender, user))

    def may_request(self, sender: str, user: str | WhatsAppUser, *, approved: bool = False) -> PermissionVerdict:
        """Return whether a sender may ask a user for permission now; see `CallPermissions.may_request`."""
        return self._wait(self._permissions.may_request(sender, user, approved=approved))

    def note(
        self,
        sender: str,
        user: str | WhatsAppUser,
        kind: EventKind,
        *,
        id: str = "",  # noqa: A002 - as of the event
        at: float | None = None,
    ) -> None:
        """Note what happened between a sender and a user; see `CallPermissions.note`."""
        self._wait(self._permissions.note(sender, user, kind, id=id, at=at))

    def observe(self, webhook: TwilioWebhook) -> bool:
        """Note what a verified webhook of Twilio's says; see `CallPermissions.observe`."""
        return self._wait(self._permissions.observe(webhook))

    def same_person(self, sender: str, old: str | WhatsAppUser, new: str | WhatsAppUser) -> None:
        """Make two addresses one person; see `CallPermissions.same_person`."""
        self._wait(self._permissions.same_person(sender, old, new))

    def reserve(self, sender: str, user: str | WhatsAppUser, call: str) -> PermissionVerdict:
        """Reserve a call if it is permitted; see `CallPermissions.reserve`."""
        return self._wait(self._permissions.reserve(sender, user, call))

    def placed(self, sender: str, user: str | WhatsAppUser, call: str, sid: str | None) -> None:
        """Note what became of a call that was reserved; see `CallPermissions.placed`."""
        self._wait(self._permissions.placed(sender, user, call, sid))

    @contextmanager
    def calling(self, sender: str, user: str | WhatsAppUser) -> Iterator[Reservation]:
        """Reserve a call, and settle at the end of the block what became of it; see `CallPermissions.calling`."""
        block = self._permissions.calling(sender, user)
        reserved = self._wait(block.__aenter__())
        try:
            yield reserved
        except BaseException as error:
            self._wait(block.__aexit__(type(error), error, error.__traceback__))
            raise
        self._wait(block.__aexit__(None, None, None))

    def close(self) -> None:
        """Close the store, whose connections belong to the thread, and end the thread."""
        if self._loop is None or self._process != os.getpid():
            return
        if hasattr(self._store, "close"):
            self._wait(self._store.close())
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._started()
        if threading.current_thread() is self._thread:
            work.close()
            raise MisuseError("the store waits here for its own thread: use CallPermissions in async code")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(self._timeout)
        except FutureTimeoutError:
            if future.done():
                raise
            future.cancel()
            raise DeadlineError(f"the store did not answer within {self._timeout:g} s", sent=True) from None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._process = os.getpid()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="realtime-sip-permissions", daemon=True
                )
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        with suppress(RuntimeError):
            loop.close()
