"""The block in which a call is answered: `client.calls.answer` opens it, and leaving it ends the call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
from collections.abc import AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, NoReturn

from realtime_sip._about import about_call
from realtime_sip._wire import checked
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call import plausible
from realtime_sip.call.call import Call
from realtime_sip.call.machine import inputs
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.record.call_record import transcription_model
from realtime_sip.call.runtime import Runtime
from realtime_sip.errors import CallEndedError, ConfigurationError, MisuseError, TransferError
from realtime_sip.session import RealtimeSession, warn_of_formats
from realtime_sip.webhooks import IncomingCall

__all__ = ["Answering", "answer"]

_log = logging.getLogger("realtime_sip.call")

_AS_BLOCK = "answer() is a block: async with client.calls.answer(…) as call"
HURRY = 1.3
"""Seconds that a block that is canceled waits for its call to be hung up. Hanging up goes on after that."""
GRACE = 10.0
"""Seconds that the block may go on after the end of its call, before it is canceled."""


class _Block:
    """The program's block. It does not outlive its call for long."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._task = asyncio.current_task()
        self._grace: asyncio.TimerHandle | None = None
        self.overstayed = False
        call._runtime.over.add_done_callback(self._call_ended)

    def _call_ended(self, _over: object) -> None:
        if self._task is not None:
            self._grace = asyncio.get_running_loop().call_later(GRACE, self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            _log.warning("call %s: the block still runs %.0f s after the end; canceling it", self._call.call_id, GRACE)
            self.overstayed = True
            self._task.cancel()

    def left(self) -> None:
        """Record that the block was left."""
        self._task = None
        if self._grace is not None:
            self._grace.cancel()


class Answering(AbstractAsyncContextManager[Call, bool | None]):
    """The block of a call, which is to be entered."""

    def __init__(self, block: AbstractAsyncContextManager[Call, bool | None]) -> None:
        self._block = block
        self._entered = False

    async def __aenter__(self) -> Call:
        self._entered = True
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, trace)

    def __await__(self) -> Generator[Any, None, Call]:
        self._entered = True
        raise MisuseError(_AS_BLOCK)

    def __enter__(self) -> NoReturn:
        self._entered = True
        raise MisuseError(_AS_BLOCK)

    def __exit__(self, *_exc_info: object) -> None:
        pass

    def __del__(self) -> None:
        if not self._entered:
            warnings.warn(f"a call was never answered: {_AS_BLOCK}", RuntimeWarning, stacklevel=2)


@asynccontextmanager
async def answer(
    transport: AsyncTransport,
    incoming: IncomingCall | str,
    session: RealtimeSession | dict[str, Any],
    options: AnswerOptions,
) -> AsyncIterator[Call]:
    """Answer a call, as `AsyncCalls.answer` describes it."""
    transport.on_loop()
    about = about_call.set(incoming if isinstance(incoming, str) else incoming.call_id)
    try:
        async with _answered(transport, incoming, session, options) as call:
            yield call
    finally:
        with suppress(ValueError):  # the event loop was closed, and this with it, in another context
            about_call.reset(about)


@asynccontextmanager
async def _answered(
    transport: AsyncTransport,
    incoming: IncomingCall | str,
    session: RealtimeSession | dict[str, Any],
    options: AnswerOptions,
) -> AsyncIterator[Call]:
    whole = options.tools.merged_into(checked(RealtimeSession, session, what="session"))
    plausible.warn(whole, approves=options.approve_mcp is not None)
    options = replace(options, rates=options.rates.at(transport.settings.endpoints))
    priced = options.rates.has_price(whole.model, transcription_model=transcription_model(whole))
    if options.limits.max_cost is not None and not priced:
        known = ", ".join(sorted(options.rates.rates))
        problem = "max_cost needs models, for transcription too, with a price in the rate card for this host"
        raise ConfigurationError(f"{problem}; it has {known}")
    warn_of_formats(whole)
    call = Call(transport, incoming, whole, options)
    runtime = call._runtime
    failed, canceled, block = True, False, None
    try:
        await runtime.start()
        await _ask_consent(runtime)
        block = _Block(call)
        try:
            yield call
        finally:
            block.left()
        failed = False
    except asyncio.CancelledError:
        task = asyncio.current_task()
        canceled = block is None or not block.overstayed or task is None or task.uncancel() > 0
        if canceled:
            raise
        failed = False
    except (CallEndedError, ExceptionGroup) as error:
        if not _is_end_of(call, error):
            raise
        failed = False
    except TransferError:
        failed = False  # the model tells the caller, who then hears it to its end
        raise
    finally:
        if runtime.refused:
            runtime.let_go()
        else:
            leaving = asyncio.ensure_future(runtime.leave(failed=failed))
            try:
                await (_hurried(runtime, leaving) if canceled else asyncio.shield(leaving))
            except asyncio.CancelledError:
                await _hurried(runtime, leaving)
                raise


async def _hurried(runtime: Runtime, leaving: asyncio.Future[None]) -> None:
    """Hang up, and wait for that only for a short time, because somebody cancels us; it goes on in the background."""
    runtime.step(inputs.Fail("an exception left the answer block"))
    end = runtime.loop.time() + HURRY
    while not leaving.done() and (left := end - runtime.loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({leaving}, timeout=left)


async def _ask_consent(runtime: Runtime) -> None:
    """Begin the log, if the program has the caller's consent. Until then nothing is logged or kept."""
    consent, granted = runtime.options.consent, False
    if consent is None or runtime.record.log is None or runtime.ended is not None:
        return
    deadline = asyncio.timeout(None)

    def over(_ended: object) -> None:
        with suppress(RuntimeError):  # it was decided meanwhile
            deadline.reschedule(runtime.loop.time() + GRACE)

    runtime.over.add_done_callback(over)
    try:
        async with deadline:
            answer = consent(runtime.call)
            # Only True is consent: not an object that somebody forgot to await, and not "no".
            granted = (await answer if inspect.isawaitable(answer) else answer) is True
    except CallEndedError:
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what cannot be decided is denied, and the call goes on
        runtime.program_failed(_log, "consent", error)
    finally:
        runtime.over.remove_done_callback(over)
    if granted and runtime.ended is None:
        runtime.record.begin(consented=True, adopted=runtime.call.adopted is not None)


def _is_end_of(call: Call, error: BaseException) -> bool:
    """Whether the block was left only because this call has ended."""
    if isinstance(error, ExceptionGroup):
        return all(_is_end_of(call, each) for each in error.exceptions)
    over = call._runtime.over
    # What the carrier reports later can change how it ended.
    return isinstance(error, CallEndedError) and (
        error.ended == call.ended or (over.done() and error.ended == over.result())
    )
