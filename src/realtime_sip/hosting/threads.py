"""Runs calls in a thread of its own, for servers under which nothing but a thread outlives a request.

Those are all WSGI servers, daphne, and async views of Flask and, under WSGI, of Django.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, TypeVar, Unpack

from realtime_sip._threads import StandingThreads
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.options import Around, OnError
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import DeadlineError, MisuseError
from realtime_sip.hosting import at_exit
from realtime_sip.hosting.handlers import OnCall, seconds
from realtime_sip.hosting.health import Health
from realtime_sip.hosting.host import CallHost
from realtime_sip.hosting.taken import Submission
from realtime_sip.outcomes import CallEnded
from realtime_sip.policy import CallPolicy
from realtime_sip.stores.rules import Store
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.telemetry import Telemetry
    from realtime_sip.twilio.call_webhooks import CallWebhook

_log = logging.getLogger("realtime_sip.host")

SUBMIT = 25.0
"""Seconds that a submit waits if it is not told. The host itself takes less, unless code of the program's blocks it."""
AFTER = 6.0
"""Seconds beyond the time of a drain until it is given up, with what is closed behind it."""
_CLOSE = 2.0
_CANCELED = 1.0
_NAMES = 8
_CLOSED = "the host was closed with its process: let the webhook come again, for another worker"
_OWN_THREAD = "a handler, or what it calls, waits here for its own thread: await the async methods of the call instead"

T = TypeVar("T")


class HostOptions(TypedDict, total=False):
    """The options of `CallHost`, which says what each of them means."""

    store: Store | None
    max_calls: int
    policy: CallPolicy | None
    busy_status: int
    drain_timeout: float
    around: Around | None
    on_error: OnError | None
    log_exceptions: bool
    telemetry: Telemetry | None


class _CallLoop(asyncio.SelectorEventLoop):
    """Looks names up in threads that stand: nothing of the program's hangs in them, and the exit starts no others."""

    def __init__(self) -> None:
        super().__init__()
        self.names = StandingThreads("realtime-sip-names", _NAMES)

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - its name
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        look_up = partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        return await self.run_in_executor(self.names, look_up)


class _Served:
    """What runs in one process: a host, and from its first webhook on a thread with a loop."""

    def __init__(self, host: CallHost) -> None:
        self.host = host
        self.drained = False
        """Whether it was drained before it began."""
        self._lock = threading.Lock()
        self._loop: _CallLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing: Future[None] | None = None
        self._closed = False

    @property
    def loop(self) -> _CallLoop | None:
        """The loop, if it has been started."""
        return self._loop

    def started(self) -> _CallLoop:
        """Return the loop. The first time, start it.

        Raises:
            MisuseError: It was closed, or the running thread is its own.
        """
        with self._lock:
            if self._closed:
                raise MisuseError(_CLOSED)
            if self._loop is None:
                self._loop = _CallLoop()
                # A daemon: the interpreter joins others before what ends the calls could run.
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="realtime-sip-calls", daemon=True)
                self._thread.start()
                at_exit.close_before(self)
                if self.drained:
                    asyncio.run_coroutine_threadsafe(self.host.drain(0), self._loop)
        if threading.current_thread() is self._thread:
            raise MisuseError(_OWN_THREAD)
        return self._loop

    def begin_close(self) -> None:
        """Begin to end the calls, unless that was begun before."""
        with self._lock:
            if self._loop is None:
                self._closed = True
            elif self._closing is None and not self._closed:
                if self.host.live:
                    _log.warning(
                        "the process ends with calls up (%d): they have %g s; an interruption hangs up at once",
                        self.host.live,
                        self.host.drain_seconds(),
                    )
                self._closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)

    async def _close(self) -> None:
        await self.host.drain()
        try:
            async with asyncio.timeout(_CLOSE):
                await self.host.client.close()
        except Exception as error:  # noqa: BLE001 - an HTTP client may raise anything, and the thread is to end
            _log.warning("the client of the calls was not closed: %s", type(error).__name__)
        with self._lock:
            self._closed = True
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCELED)

    def finish_close(self) -> None:
        """Wait until the calls have ended, and end the thread."""
        closing, loop, thread = self._closing, self._loop, self._thread
        if closing is None or loop is None or thread is None:
            return
        try:
            waited(closing, self.host.drain_seconds(), self.host, loop)
        finally:
            if closing.done():
                self._end(thread, loop)

    def _end(self, thread: threading.Thread, loop: _CallLoop) -> None:
        with suppress(RuntimeError):  # whoever closes it too was first
            loop.call_soon_threadsafe(loop.stop)
        thread.join(_CANCELED)
        with self._lock:
            if not thread.is_alive() and not loop.is_closed():
                loop.names.shutdown()
                loop.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped: what leaves it otherwise ends the call of whoever raised it, and no other."""
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - no signal arrives in this thread, so that it was raised by hand
            _log.error("%s left the loop of the calls, which goes on", type(error).__name__)
        else:
            return


async def _watching(host: CallHost, around: Around | None = None) -> None:
    host.watch(around=around)


def waited(ending: Future[None], given: float, host: CallHost, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for a drain. An interruption, such as a second Ctrl-C, makes it as short as it can be."""
    try:
        ending.result(given + AFTER)
    except (KeyboardInterrupt, SystemExit):
        _log.warning("interrupted while calls are drained: hanging up")
        hurrying = asyncio.run_coroutine_threadsafe(host.drain(0), loop)
        with suppress(TimeoutError):
            hurrying.result(AFTER)
            ending.result(AFTER)
        raise
    except TimeoutError:
        _log.error("the thread of the calls does not answer: what is up is hung up when the program exits")


class ThreadCallHost:
    """Runs `on_call` for each call on an event loop in a thread of its own; otherwise as `CallHost` does.

    The thread is started by the first webhook of a process, never when the program is loaded, because no thread
    survives the fork by which servers make their workers. When the process ends, the calls are drained: by the
    interpreter's exit, or by `close` in a server's hook (`worker_exit` of gunicorn, `uwsgi.atexit`). A server that dies
    of SIGTERM runs neither: call `exit_on_sigterm` once the host is made.

    What handlers and async tools do must not block, since all calls share the thread: a plain function that is a tool
    runs in another one.

    Args:
        on_call: The handler: an async function of the call, or a `Router`.
        client: The client that the handler uses. It belongs to this host's thread from the first call on.
        **options: Those of `CallHost`.
    """

    def __init__(self, on_call: OnCall, *, client: AsyncRealtimeSip, **options: Unpack[HostOptions]) -> None:
        """Make a host. Nothing is started.

        Raises:
            ConfigurationError: An argument is refused by `CallHost`.
        """
        self._make: Callable[[], CallHost] = partial(CallHost, on_call, client=client, **options)
        self._client = client
        # What the parent of a fork has started goes on there. It is kept here, because closing its loop would stop it.
        self._by_process = {os.getpid(): _Served(self._make())}

    def _here(self) -> _Served:
        process = os.getpid()
        here = self._by_process.get(process)
        return self._by_process.setdefault(process, _Served(self._make())) if here is None else here

    @property
    def client(self) -> AsyncRealtimeSip:
        """The client that was given."""
        return self._client

    @property
    def store(self) -> Store:
        """The store of claims, counters and nonces."""
        return self._here().host.store

    def submit(self, incoming: IncomingCall, *, timeout: float | None = None) -> Submission:
        """Take a call. Return once it is decided, so that the webhook can be answered.

        Raises what the store raises: then the call was not taken, and answering 500 brings the webhook back.

        Args:
            incoming: The webhook.
            timeout: Seconds to wait; 25 if left out. A phone rings for less.

        Raises:
            DeadlineError: The call is not decided yet. The host goes on with it; answer 503, and it knows the webhook
                when it comes again.
            MisuseError: The host was closed, the host's client belongs to another event loop, or a handler waits for
                its own thread.
            ConfigurationError: That is not a number of seconds.
        """
        within = SUBMIT if timeout is None else seconds(timeout, "timeout")
        here = self._here()
        loop = here.started()
        submitting = asyncio.run_coroutine_threadsafe(here.host.submit(incoming), loop)
        return _result(submitting, within, "the call was not decided")

    def watch(self, *, around: Around | None = None) -> None:
        """Look for calls to take over from now on, as `CallHost.watch` does, if other workers share the store.

        The first webhook of a process does this too. Call it where a server's worker begins, behind the fork, as in
        `post_worker_init` of gunicorn: a worker that no webhook has reached yet takes calls over then as well.

        Raises:
            MisuseError: The host was closed, or a handler waits for its own thread.
        """
        host = self._here().host
        if host.store.shared:
            self.run(_watching(host, around))

    def ended(self, call_id: str, *, timeout: float | None = None) -> CallEnded:
        """Wait until a call and its handler have ended, as `CallHost.ended` does, and return how: in a test, mostly.

        Args:
            call_id: A call that was submitted here.
            timeout: Seconds to wait; 25 if left out.

        Raises:
            UnknownCallError: No such call is known in this process.
            DeadlineError: It has not ended yet.
            MisuseError: The host was closed, or a handler waits for its own thread.
            ConfigurationError: That is not a number of seconds.
        """
        return self.run(self._here().host.ended(call_id), timeout=timeout)

    def carrier(self, payload: CallWebhook) -> bool:
        """Pass on what Twilio says about a call, as `CallHost.carrier` does.

        Returns:
            Whether such a call is known in this process.

        Raises:
            ConfigurationError: That is no typed webhook about a call.
            MisuseError: The host was closed, or a handler waits for its own thread.
        """
        host = self._here().host
        if host.store.shared and host.loop is None:
            self.run(_watching(host))  # what is about another worker's call is posted from a loop
        return host.carrier(payload)

    def transfer_of(self, payload: CallWebhook) -> TransferRequest | None:
        """Return the transfer that a webhook of Twilio's is about, as `CallHost.transfer_of` does.

        Raises:
            ConfigurationError: That is no typed webhook about a call.
            MisuseError: The host was closed, or a handler waits for its own thread.
        """
        return self.run(self._here().host.transfer_of(payload))

    def run(self, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
        """Run a coroutine in the thread of the calls, where clients and stores of theirs belong, and return its result.

        Args:
            work: Such as `voice.was_redirected(result)` or `warm.report(payload)`.
            timeout: Seconds to wait; 25 if left out.

        Raises what the coroutine raises.

        Raises:
            DeadlineError: It is not done yet, and was canceled.
            MisuseError: The host was closed, or a handler waits for its own thread.
            ConfigurationError: That is not a number of seconds.
        """
        try:
            within = SUBMIT if timeout is None else seconds(timeout, "timeout")
            loop = self._here().started()
        except BaseException:
            work.close()
            raise
        return _result(asyncio.run_coroutine_threadsafe(work, loop), within, "it was not done")

    def health(self) -> Health:
        """Return how the host of this process is. Answer a balancer 200 if it is `ready`, and 503 if not."""
        here = self._here()
        health = here.host.health()
        return replace(health, draining=True) if here.drained else health

    def drain(self, timeout: float | None = None) -> None:
        """Take no new calls in this process, let those that are up finish, and end the rest, as `CallHost.drain` does.

        Args:
            timeout: Seconds, in place of `drain_timeout`.

        Raises:
            ConfigurationError: That is not a number of seconds.
            MisuseError: A handler waits for its own thread.
        """
        here = self._here()
        given = here.host.drain_seconds(timeout)
        here.drained = True
        if here.loop is not None:
            with suppress(CancelledError):  # closed meanwhile, which drains too
                loop = here.started()
                waited(asyncio.run_coroutine_threadsafe(here.host.drain(given), loop), given, here.host, loop)

    def close(self) -> None:
        """Drain in `drain_timeout`, close the client, and end the thread. Whoever calls it again waits for the same.

        A call that is submitted afterwards is refused with `MisuseError`.
        """
        here = self._here()
        here.drained = True
        here.begin_close()
        here.finish_close()

    def exit_on_sigterm(self) -> bool:
        """Let SIGTERM end the program as `sys.exit()` does, so that calls are drained, if it would kill it now.

        Call it in the main thread once the host is made, for servers that die of the signal: waitress,
        `flask run` and `runserver --noreload` at once, uvicorn and its gunicorn worker after they have stopped. Other
        servers set handlers of their own, which count. A second SIGTERM kills.

        Returns:
            Whether it was changed.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return False
        signal.signal(signal.SIGTERM, _exit)
        return True


def _result(running: Future[T], within: float, late: str) -> T:
    """Wait for what runs in the thread."""
    try:
        return running.result(within)
    except CancelledError:
        raise MisuseError(_CLOSED) from None
    except TimeoutError:
        if running.done():
            raise
        running.cancel()
        raise DeadlineError(f"{late} within {within:g} s", sent=True) from None


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise SystemExit(0)
