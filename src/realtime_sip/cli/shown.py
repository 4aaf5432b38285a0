"""What happens on an emulated call, as lines for the screen: the conversation, OpenAI's REST, and Twilio's side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from realtime_sip.cli.screen import Line, Watch
from realtime_sip.testing import ExpectedSocket, RingingCall, Said, TwilioCall
from realtime_sip.testing.openai.record import RecordedRequest
from realtime_sip.testing.twilio.record import TwilioRequest

__all__ = ["ASKED", "HANDED_OVER", "TOOL", "New", "asked_for_twiml", "conversation", "inside", "whole_chain"]

ASKED = "① Twilio asks your server what to do with the call"
RINGS = "② Twilio dials OpenAI, and OpenAI announces the call to your server"
ACCEPTED = "③ Your server accepts, and the model talks to the caller"
TOOL = "④ The model calls a function of your server"
HANDED_OVER = "⑤ The model hands the caller over to a person"

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "voice": ("From", "To"),
    "refer": ("ReferTransferTarget",),
    "action": ("DialCallStatus", "DialSipResponseCode", "QueueResult", "QueueTime"),
}


def conversation(line: RingingCall | ExpectedSocket, *, steps: Mapping[str, str] = MappingProxyType({})) -> Watch:
    """Return a watch on what is said on a call or a socket, and on what tools do: `steps` begin with these."""
    # On a call we answer the service, on a primary socket it answers us.
    on_call = isinstance(line, RingingCall)
    events = (line.server_events, line.client_events) if on_call else (line.client_events, line.server_events)
    seen = [New(line.said), *map(New, events)]

    def watch() -> Iterator[Line]:
        for new in seen:
            for entry in new():
                shown = _told(entry, steps, replayed=line.replay is not None)
                if shown is not None:
                    yield shown

    return watch


def whole_chain(call: TwilioCall, *, steps: Mapping[str, str]) -> Watch:
    """Return a watch on a call from Twilio's first question to its end; `steps` are those of its functions."""
    requests, calls = New(call.requests), New(call.openai_calls)
    legs, queues, statuses = New(call.children), New(call.queued), New(call.history)
    at_openai: list[Watch] = []

    def watch() -> Iterator[Line]:
        asked = requests()
        for request in asked:
            if request.kind == "voice":
                yield from asked_for_twiml(request)
        for leg in legs():
            yield Line("Twilio", f"calls {_uri(leg.to)[0]}; the caller hears it ringing", RINGS)
        for ringing in calls():
            yield Line("OpenAI", "POST /openai/webhook, signed: realtime.call.incoming")
            at_openai.extend((conversation(ringing, steps=steps), _rest(ringing)))
        for each in at_openai:
            yield from each()
        for request in asked:
            if request.kind != "voice":
                yield from asked_for_twiml(request)
        for _ in queues():
            yield Line("caller", "waits in the queue of Flex, for a person who sees this task")
        for status in statuses():
            if status == "in-progress":
                yield Line("caller", "hears it ringing no more: answered")
            elif status == "completed":
                yield Line("Twilio", "is through with the TwiML, and ends the call: completed")

    return watch


def _rest(ringing: RingingCall) -> Watch:
    """Return a watch on what the server asks of OpenAI about a call."""
    new = New(ringing.requests)

    def watch() -> Iterator[Line]:
        for request in new():
            match request:
                case RecordedRequest(operation="accept", body={"model": model} as session):
                    tools = ", ".join(str(tool.get("name")) for tool in inside(session, "tools") or ())
                    language = inside(session, "audio", "input", "transcription", "language")
                    what = f"accepts with {model}, transcription in {language}, tools {tools or 'none'}"
                    yield Line("server", f"{what}: {request.status}", ACCEPTED)
                case RecordedRequest(operation="refer", body={"target_uri": target}):
                    yield Line("server", f"refers the caller to {target}: {request.status}")

    return watch


class New:
    """What came to a growing list since the last call."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self._entries = entries
        self._seen = 0

    def __call__(self) -> Sequence[Any]:
        new = self._entries[self._seen :]
        self._seen += len(new)
        return new


def asked_for_twiml(request: TwilioRequest) -> Iterator[Line]:
    """Yield what Twilio requests, and what the server answers."""
    shown = " ".join(f"{name}={request[name]}" for name in _PARAMETERS.get(request.kind, ()) if name in request.params)
    step = {"voice": ASKED, "refer": HANDED_OVER}.get(request.kind, "")
    yield Line("Twilio", f"POST {urlsplit(request.url).path}, signed: {shown}", step)
    yield Line("server", f"answers {request.status_code}{_twiml(request.reply)}")


def _twiml(text: str) -> str:
    """Return what an answer's document says, one element a line."""
    try:
        verbs = list(ET.fromstring(text))  # noqa: S314 - the example's own
    except ET.ParseError:
        return ""
    return (
        " with TwiML:" + "".join(f"\n{line}" for verb in verbs for line in _elements(verb))
        if verbs
        else " with no TwiML"
    )


def _elements(element: ET.Element, depth: int = 0) -> Iterator[str]:
    attributes = "".join(f' {name}="{value}"' for name, value in element.attrib.items())
    yield f"{'  ' * depth}<{element.tag}{attributes}>"
    yield from (f"{'  ' * (depth + 1)}{line}" for line in _uri((element.text or "").strip()))
    for inner in element:
        yield from _elements(inner, depth + 1)


def _uri(text: str) -> list[str]:
    """Return text, and of a SIP URI with headers only their names."""
    address, _, headers = text.partition("?")
    names = [each.partition("=")[0] for each in headers.split("&") if "=" in each]
    return [address, f"?{' '.join(names)}"] if names else [text] if text else []


def inside(value: Any, *names: str) -> Any:
    """Return what mappings in mappings have under these names, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _told(entry: Said | dict[str, Any], steps: Mapping[str, str], *, replayed: bool) -> Line | None:
    """Return who does what in something that was said or sent, or None for what is not shown."""
    if isinstance(entry, Said):
        return Line("caller" if entry.by == "caller" else "agent", f"“{entry.text}”")
    match entry:
        case {"type": "response.function_call_arguments.done", "name": name, "arguments": arguments}:
            return Line("agent", f"calls {name}({' '.join(arguments.split())})", steps.get(name, ""))
        case {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": output}}:
            return Line("server", f"sends the tool's result: {output}")
        case {"type": "output_audio_buffer.started"}:
            return Line("caller", "hears the agent")
        case {"type": "input_audio_buffer.dtmf_event_received", "event": digit}:
            return Line("caller", f"presses {digit}")
    if replayed:
        match entry:
            case {"type": "response.output_audio_transcript.done", "transcript": words} | {
                "type": "response.output_text.done",
                "text": words,
            }:
                return Line("agent", f"“{words}”")
            case {"type": "conversation.item.input_audio_transcription.completed", "transcript": words}:
                return Line("caller", f"“{words}”")
            case {"type": "conversation.item.create", "item": {"role": "user", "content": [{"text": words}]}}:
                return Line("caller", f"“{words}”")
    return None
