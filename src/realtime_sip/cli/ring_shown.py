"""What happens on a call to a server that is another program, as lines for the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from realtime_sip.cli.screen import Line, Watch
from realtime_sip.cli.shown import New, asked_for_twiml, conversation, inside
from realtime_sip.testing import CallState, RecordedRequest, RingingCall, WebhookResponse

if TYPE_CHECKING:
    from realtime_sip.testing import TwilioCall

__all__ = ["of_server", "of_twilio"]

_MAX_SHOWN = 160
_DOES = {
    "accept": "accepts the call",
    "reject": "rejects the call",
    "refer": "refers the caller",
    "hangup": "hangs up",
    "attach": "attaches to the call",
}


def of_server(ringing: RingingCall) -> Watch:
    """Return a watch on a server: what it requests and answers, what is said, and which of its events are refused."""
    requests, answers, events = New(ringing.requests), New(ringing.webhook_responses), New(ringing.server_events)
    sent = New(ringing.client_events)
    said = conversation(ringing)

    def watch() -> Iterator[Line]:
        for request in requests():
            # Whether a call has ended, a server finds out by asking for it.
            asks = request.status == 404 and ringing.state is CallState.ENDED
            if request.operation in _DOES and not asks:
                yield _request(request)
        for answer in answers():
            yield _answer(answer)
        for event in sent():
            words = _asked(event, inside(ringing.accepted_session, "instructions"))
            if words:
                yield Line("server", f"asks for a response: {words}")
        yield from said()
        for event in events():
            if event.get("type") == "error":
                yield Line("OpenAI", f"refuses an event: {inside(event, 'error', 'message')}")

    return watch


def of_twilio(call: TwilioCall) -> Watch:
    """Return a watch on Twilio's side of a call: its requests and alerts, and what the caller hears of it."""
    requests, heard, legs, alerts = New(call.requests), New(call.heard), New(call.children), New(call.alerts)

    def watch() -> Iterator[Line]:
        for request in requests():
            for line in asked_for_twiml(request):
                yield line._replace(step="")
        for words in heard():
            yield Line("caller", f"hears: {words}")
        for leg in legs():
            yield Line("Twilio", f"calls {leg.to.partition('?')[0]}")
        for alert in alerts():
            yield Line("Twilio", f"alert {alert}")

    return watch


def _request(request: RecordedRequest) -> Line:
    does, body = _DOES[request.operation], _mapping(request.body)
    if request.operation == "refer":
        does += f" to {body.get('target_uri')}"
    if "status_code" in body:
        does += f" with {body['status_code']}"
    if request.status is None or request.status >= 300:
        does += f": refused with {request.status}: {request.refusal or 'no reason'}"
    return Line("server", does)


def _asked(event: dict[str, Any], known: Any) -> str:
    """Return what a response is asked for with, without the instructions that the session has anyway; else nothing."""
    instructions = inside(event, "response", "instructions")
    if event.get("type") != "response.create" or not isinstance(instructions, str):
        return ""
    added = instructions.removeprefix(known) if isinstance(known, str) else instructions
    words = " ".join(added.split())
    return words[:_MAX_SHOWN] + "…" * (len(words) > _MAX_SHOWN)


def _mapping(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


def _answer(answer: WebhookResponse) -> Line:
    if answer.status_code is None:
        return Line("server", "does not answer the webhook")
    return Line("server", f"answers the webhook with {answer.status_code}")
