"""Calls on which the service fails to answer, cuts short, says nothing or refuses: each is told to the program."""

from __future__ import annotations

import random
from collections.abc import Iterator

from plans.plan import ASK, BYE, HELLO, LOOK, SESSION, TELL, TOOLS, Plan, scripted
from realtime_sip import Call, RefusalKind, ServiceRefused
from realtime_sip.testing import EventRefused, ModelCallsMcp, ModelFails, ModelSays, ModelSaysNothing
from realtime_sip.testing.scenario import Step

__all__ = ["REFUSALS"]

_MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com"}


def _told(name: str, *turn: Step, expected: list[tuple[RefusalKind, bool]], **options: object) -> Plan:
    """A call with one turn, on which the program is told just this, in this order, each with whether it is repeated."""
    told: list[ServiceRefused] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        told.extend([event async for event in call if isinstance(event, ServiceRefused)])

    def check(_plan: Plan) -> Iterator[str]:
        if (found := [(one.kind, one.again) for one in told]) != expected:
            yield f"told of {found}, where {expected} happened"

    return Plan(
        name=f"the service: {name}",
        scenario=(HELLO, ASK, *turn, BYE),
        talk=talk,
        checks=(check, scripted),
        **options,  # type: ignore[arg-type]
    )


def failed(rng: random.Random) -> Plan:
    """The service fails to answer the caller, and is asked again."""
    times = rng.randint(1, 2)
    reason = rng.choice(["server_error", "rate_limit_exceeded", None])
    return _told("fails", ModelFails(reason, times=times), TELL, expected=[(RefusalKind.FAILED, True)] * times)


def quota(rng: random.Random) -> Plan:
    """The account has no more quota, so nothing is asked for again; then it has."""
    code = rng.choice(["insufficient_quota", "billing_hard_limit_reached"])
    return _told("quota", ModelFails(code), ASK, TELL, expected=[(RefusalKind.QUOTA, False)])


def cut_short(rng: random.Random) -> Plan:
    """An answer stops in the middle; the caller hears what there is of it."""
    reason = rng.choice(["max_output_tokens", "content_filter"])
    return _told(
        "incomplete", ModelFails(reason, text="It comes"), ASK, TELL, expected=[(RefusalKind.INCOMPLETE, False)]
    )


def nothing(rng: random.Random) -> Plan:
    """An answer has nothing to hear: it is empty, or written."""
    silent = rng.choice([ModelSaysNothing(), ModelSays("It comes tomorrow.", as_text=True)])
    return _told("nothing to hear", silent, TELL, expected=[(RefusalKind.NOTHING_TO_HEAR, True)])


def refused(rng: random.Random) -> Plan:
    """The output of a tool is refused once, or twice: then an error takes its place."""
    times = rng.randint(1, 2)
    fault = EventRefused("conversation.item.create", times=times, code=rng.choice(["invalid_value", "server_error"]))
    expected = [(RefusalKind.REFUSED, True), (RefusalKind.REFUSED, False)][:times]
    return _told("refuses an output", LOOK, TELL, expected=expected, ring={"faults": [fault]}, answer={"tools": TOOLS})


def unapproved(_rng: random.Random) -> Plan:
    """An MCP server needs an approval, and nobody can give it."""
    return _told(
        "needs an approval",
        ModelCallsMcp("docs", "read"),
        ModelSays("I cannot look there."),
        expected=[(RefusalKind.APPROVAL_DENIED, False)],
        session={**SESSION, "tools": [_MCP]},
    )


REFUSALS = [*[failed] * 2, quota, cut_short, nothing, *[refused] * 2, unapproved]
