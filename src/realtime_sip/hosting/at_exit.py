"""What is still up when the interpreter exits, mostly because nobody has drained its host, is hung up, if it can be.

The threads of `ThreadCallHost` are closed as soon as the main thread has ended: then names are still looked up. All
else ends its calls last, so that a program can drain before, in an exit function of its own.

At that last time no thread starts any more. A loop that was not closed does it, in its own thread or here: its HTTP
client connects to the address that it has spoken to before, because looking a name up takes a thread. If the loop was
closed, the calls are hung up from here, one after the other.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - its exit function has to be registered before ours
import logging
import os
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from realtime_sip.api import calls
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.errors import CallGoneError

_log = logging.getLogger("realtime_sip.host")

DRAIN = 5.0
"""Seconds that a loop which still runs has to let its calls end, with a goodbye."""
MORE = 3.0
"""Seconds after that for what a drain may take longer."""
ALL = 10.0
"""Seconds for hanging up from here, all calls together."""
EACH = 2.0
"""Seconds of that for one call."""


class Undrained(Protocol):
    """A host with calls."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None: ...

    @property
    def transport(self) -> AsyncTransport: ...

    def drain(self, timeout: float) -> Coroutine[Any, Any, None]: ...

    def left_over(self) -> list[tuple[str, bool]]:
        """Return the calls that have not ended, each with whether it was accepted."""
        ...


class Closing(Protocol):
    """A thread of calls."""

    def begin_close(self) -> None: ...

    def finish_close(self) -> None: ...


_started: dict[Closing, int] = {}
"""Threads of calls, each with its process."""


def close_before(thread: Closing) -> None:
    """Close this thread when the main thread has ended, and wait for that."""
    _started[thread] = os.getpid()


def close_all() -> None:
    """Close the threads of this process, all at once."""
    here = [thread for thread, process in _started.items() if process == os.getpid()]
    for thread in here:
        thread.begin_close()
    for thread in here:
        with suppress(KeyboardInterrupt, SystemExit):  # it has hung up at once, and others may have calls too
            thread.finish_close()
        _started.pop(thread, None)


# The last to be registered is called first, and concurrent.futures starts no thread after its own.
getattr(threading, "_register_atexit", atexit.register)(close_all)

_hosts: dict[Undrained, int] = {}
"""Hosts with calls, each with the process that they are up in: after a fork they are the parent's."""


def watch(host: Undrained) -> None:
    """End the calls of this host at exit, unless it has ended them by then."""
    _hosts[host] = os.getpid()


def forget(host: Undrained) -> None:
    """Strike a host off: it has no calls any more."""
    _hosts.pop(host, None)


@atexit.register
def end_all() -> None:
    """End the calls of all hosts."""
    for host, process in [*_hosts.items()]:
        left = len(host.left_over())
        if left and process == os.getpid():
            _log.warning("the program exits without drain() while calls are up, %d of them: hanging up", left)
            _drained(host)
            _hung_up(host)
    _hosts.clear()


def _drained(host: Undrained) -> None:
    """Let the loop of the host do it, if there is one."""
    loop = host.loop
    if loop is None or loop.is_closed():
        return
    try:
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(host.drain(DRAIN), loop).result(DRAIN + MORE)
        else:
            loop.run_until_complete(host.drain(DRAIN))
    except Exception as error:  # noqa: BLE001 - whatever it is, what is left is hung up from here
        _log.error("draining at exit failed: %s", type(error).__name__)


def _hung_up(host: Undrained) -> None:
    left = host.left_over()
    if not left:
        return
    end = time.monotonic() + ALL
    transport = Transport(replace(host.transport.settings_at_exit(), timeout=EACH))
    try:
        for call_id, accepted in left:
            if time.monotonic() > end:
                _log.error("call %s: there was no time to hang it up at exit", call_id)
                continue
            operation = calls.hangup(call_id, attached=True) if accepted else calls.reject(call_id, status_code=503)
            try:
                transport.run(operation)
            except CallGoneError:
                continue
            except Exception as error:  # noqa: BLE001 - the next call is to be hung up too
                _log.error("call %s: it is not hung up at exit: %s", call_id, type(error).__name__)
    finally:
        transport.close()
