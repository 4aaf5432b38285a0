"""Which handler and session answer a call: by the dialed number, the channel, the verified context, or a condition.

    router = Router()

    @router.route(session=SALES, dialed="+14155550100")
    async def sales(incoming: IncomingCall, session: RealtimeSession) -> None:
        async with client.calls.answer(incoming, session) as call:
            await call.wait_ended()

    host = CallHost(router, client=client)

The dialed number and the channel are claims of whoever placed the call: good enough to choose a greeting, not to open
a door. If a route must be trusted, use `context`, which our own TwiML signed.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, get_args

from realtime_sip._program_errors import telling
from realtime_sip._wire import checked
from realtime_sip.call import plausible
from realtime_sip.call.decision import deciding
from realtime_sip.errors import ConfigurationError
from realtime_sip.hosting.handlers import check_async, in_time
from realtime_sip.session import RealtimeSession
from realtime_sip.sip.address import e164
from realtime_sip.sip.headers import Channel
from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.router")

RouteHandler: TypeAlias = Callable[[IncomingCall, RealtimeSession], Awaitable[int | None]]
"""Answers a call with the session of its route, rejects it, or returns the SIP status to reject it with."""

Condition: TypeAlias = Callable[[IncomingCall], bool | Awaitable[bool]]
"""Returns whether a call is for a route. If it asks somebody, make it async: blocking holds up all calls."""

SessionOf: TypeAlias = Callable[
    [IncomingCall], RealtimeSession | dict[str, Any] | Awaitable[RealtimeSession | dict[str, Any]]
]
"""Makes the session of one call."""

CONDITION_TIMEOUT = 2.0
"""Seconds that one condition may take; the phone is ringing."""
SESSION_TIMEOUT = 5.0
"""Seconds that making a session may take."""
UNMATCHED = 404
"""The SIP status of a call that matches no route: a number that nobody has. Most trunks give up after it."""
UNDECIDABLE = 503
"""The SIP status of a call whose route is not known, so that a trunk tries its next route."""

_Handler = TypeVar("_Handler", bound=RouteHandler)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """One way to answer. It takes a call if all its conditions hold; `repr` shows no number and no value.

    Attributes:
        handler: Answers the call.
        session: The session to answer with, or a function that makes it.
        dialed: The numbers (E.164) of which one was dialed, or None for any call.
        channel: The channels of which one was used, or None for any.
        context: What the verified context must hold, as (key, value); it may hold more.
        when: The last condition, asked when all others hold, or None.
    """

    handler: RouteHandler
    session: RealtimeSession | SessionOf
    dialed: frozenset[str] | None = None
    channel: frozenset[str] | None = None
    context: tuple[tuple[str, str], ...] = ()
    when: Condition | None = None

    @property
    def name(self) -> str:
        """The handler's name, for logs."""
        return _name(self.handler)

    @property
    def takes_every_call(self) -> bool:
        """Whether it has no condition."""
        return self.dialed is None and self.channel is None and not self.context and self.when is None

    def __repr__(self) -> str:
        """Show the handler's name and which conditions there are."""
        given = {"dialed": self.dialed, "channel": self.channel, "context": self.context, "when": self.when}
        return f"<Route {self.name} by {', '.join(name for name, value in given.items() if value) or 'nothing'}>"


class Router:
    """Gives each call to the first route that takes it, in the order they were added. A host runs it.

    A call that no route takes is rejected with 404, never left to ring. For a default, add a handler without conditions
    last; nothing can be added after that.
    """

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def __repr__(self) -> str:
        """Show how many routes there are."""
        return f"<Router routes={len(self._routes)}>"

    def route(
        self,
        *,
        session: RealtimeSession | dict[str, Any] | SessionOf,
        dialed: str | Iterable[str] | None = None,
        channel: Channel | Iterable[Channel] | None = None,
        context: Mapping[str, str] | None = None,
        when: Condition | None = None,
    ) -> Callable[[_Handler], _Handler]:
        """Return a decorator that adds a handler, and leaves the function as it is; see `add`."""

        def added(handler: _Handler) -> _Handler:
            self.add(handler, session=session, dialed=dialed, channel=channel, context=context, when=when)
            return handler

        return added

    def add(
        self,
        handler: RouteHandler,
        *,
        session: RealtimeSession | dict[str, Any] | SessionOf,
        dialed: str | Iterable[str] | None = None,
        channel: Channel | Iterable[Channel] | None = None,
        context: Mapping[str, str] | None = None,
        when: Condition | None = None,
    ) -> Route:
        """Add a route after all others and return it. It takes a call if all conditions that are given hold.

        Args:
            handler: Answers the call, rejects it, or returns the SIP status to reject it with.
            session: The session to answer with. A dict is checked here, so that a mistake shows when the program
                starts. A function, sync or async, makes it for each call within 5 seconds; if that fails, the call
                fails as if the handler had raised.
            dialed: The number that was dialed, or several. A claim of whoever placed the call.
            channel: "phone", "whatsapp" or "sip", or several. A claim too.
            context: What the verified context must hold. Proven: our own TwiML signed it.
            when: Returns whether the route takes the call, sync or async, within 2 seconds. If it raises or is late,
                that is logged and means no, so that the next route takes the call rather than nobody. So do not keep
                anybody out with a condition; let a handler reject them.

        Raises:
            ConfigurationError: The handler is not async, a number is not E.164, a channel is unknown, the conditions
                can never hold, or a route before this one takes every call.
            InvalidRequestError: The session is not valid.
        """
        check_async(handler, "the handler of a route")
        if when is not None and not callable(when):
            raise ConfigurationError("the condition of a route must be a function of the call")
        if self._routes and self._routes[-1].takes_every_call:
            raise ConfigurationError(
                f"this route is never reached: the one to {self._routes[-1].name} takes every call"
            )
        route = Route(
            handler=handler,
            session=_session(session),
            dialed=_numbers(dialed),
            channel=_channels(channel),
            context=_required(context),
            when=when,
        )
        self._routes.append(route)
        return route

    async def match(self, incoming: IncomingCall) -> Route | None:
        """Return the first route that takes the call, or None. Nothing is done with the call.

        It asks only the routes' own conditions, so a test needs no service for it.
        """
        route, _ = await self._find(incoming)
        return route

    async def __call__(self, incoming: IncomingCall) -> int | None:
        """Let the route of the call answer it, or return the SIP status to reject it with. A `CallHost` calls this.

        If no route takes it and a condition failed, its route is not known: then the status is 503, so that a trunk
        tries its next route.

        Raises what the handler raises, and what makes the session.

        Raises:
            DeadlineError: The session of the call was not made in time.
            InvalidRequestError: The session that was made is not valid.
        """
        decision = deciding.get()
        before = None if decision is None else next((r for r in self._routes if r.name == decision.route), None)
        # A call that another worker had goes to the handler that had it.
        route, failed = (before, False) if before is not None else await self._find(incoming)
        if route is not None:
            if decision is not None:
                decision.route = route.name
            return await route.handler(incoming, await _made(route, incoming))
        status_code = UNDECIDABLE if failed else UNMATCHED
        _log.warning("call %s: no route takes it: %d", incoming.call_id, status_code)
        return status_code

    async def _find(self, incoming: IncomingCall) -> tuple[Route | None, bool]:
        """Return the call's route, and whether a condition before it failed."""
        failed = False
        dialed, channel, context = incoming.dialed, incoming.channel, incoming.context
        for route in self._routes:
            if route.dialed is not None and dialed not in route.dialed:
                continue
            if route.channel is not None and channel not in route.channel:
                continue
            if any(context.get(key) != value for key, value in route.context):
                continue
            if route.when is None:
                return route, failed
            try:
                if await _within(CONDITION_TIMEOUT, route.when, incoming):
                    return route, failed
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the caller is better served by another route than by none
                failed = True
                what = f"the condition of the route to {route.name}"
                telling.get().tell(_log, what, error, call_id=incoming.call_id, then="so it is passed over")
        return None, failed


async def _within(seconds: float, ask: Callable[[IncomingCall], _Answer | Awaitable[_Answer]], of: IncomingCall) -> Any:
    answer = ask(of)
    if not inspect.isawaitable(answer):
        return answer
    async with in_time(seconds, _name(ask), sent=False):
        return await answer


async def _made(route: Route, incoming: IncomingCall) -> RealtimeSession:
    if isinstance(route.session, RealtimeSession):
        return route.session
    session = await _within(SESSION_TIMEOUT, route.session, incoming)
    valid: RealtimeSession = checked(RealtimeSession, session, what="session")
    return valid


def _session(session: RealtimeSession | dict[str, Any] | SessionOf) -> RealtimeSession | SessionOf:
    if isinstance(session, (RealtimeSession, dict)):
        valid: RealtimeSession = checked(RealtimeSession, session, what="session")
        plausible.warn(valid, approves=True)
        return valid
    if not callable(session):
        raise ConfigurationError("the session of a route must be a RealtimeSession, a dict, or a function of the call")
    return session


def _numbers(dialed: str | Iterable[str] | None) -> frozenset[str] | None:
    if dialed is None:
        return None
    texts = [dialed] if isinstance(dialed, str) else list(dialed)
    numbers = [e164(text) if isinstance(text, str) else None for text in texts]
    if not numbers or None in numbers:
        raise ConfigurationError("dialed must be one or several numbers in E.164, with + and country code")
    return frozenset(number for number in numbers if number is not None)


def _channels(channel: Channel | Iterable[Channel] | None) -> frozenset[str] | None:
    if channel is None:
        return None
    channels = frozenset([channel] if isinstance(channel, str) else channel)
    if not channels or not channels <= set(get_args(Channel)):
        raise ConfigurationError(f"channel must be one or several of: {', '.join(get_args(Channel))}")
    return channels


def _required(context: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if context is None:
        return ()
    if not context or not all(isinstance(part, str) for pair in context.items() for part in pair):
        raise ConfigurationError("the context of a route must hold one or several values, text to text")
    return tuple(context.items())


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
