"""The events of the Realtime API: one class per wire type, named by the wire.

`response.output_audio_transcript.done` is `events.ResponseOutputAudioTranscriptDone`, `error` is `events.Error`.
`ClientEvent` is any that a client may send, and `client_event` checks one; `ServerEvent` is any that the service sends,
and `parse_server_event` reads one. Fields are those of the service's own types (API guide, November 2026).

On a phone call the caller's audio arrives by itself and the service truncates what was not heard, so the
`input_audio_buffer.*` events and `conversation.item.truncate` are of no use there (API guide, November 2026).

>>> ResponseCreate(response=ResponseConfig(instructions="Greet the caller.")).to_wire()
{'type': 'response.create', 'response': {'instructions': 'Greet the caller.'}}

An event of a type that this version does not know, or that lacks a field that its type must have, is an
`UnknownServerEvent`, which keeps everything. Unknown kinds inside an event become `Unknown...` objects there, and the
rest of the event stays as it is.

>>> parse_server_event('{"type": "response.text.done", "event_id": "event_1", "text": "Hello."}')
UnknownServerEvent(type='response.text.done', event_id='event_1', text=<6 chars>)
>>> parse_server_event('{"type": "session.renamed", "event_id": "event_2"}').event_id
'event_2'
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from realtime_sip import beta
from realtime_sip._redaction import redact
from realtime_sip._wire import Inbound, Open, Outbound, Unknown, checked, read_json, without_lone_surrogates
from realtime_sip.errors import BetaShapeError, InvalidRequestError, NotAnEventError
from realtime_sip.items import ContentPart, Item, NewItem
from realtime_sip.response import Response, ResponseConfig, TranscriptionUsage
from realtime_sip.session import ReportedSession, Session, refuse_beta_session

__all__ = [
    "MAX_APPENDED_AUDIO",
    "ClientEvent",
    "Conversation",
    "ConversationCreated",
    "ConversationItemAdded",
    "ConversationItemCreate",
    "ConversationItemCreated",
    "ConversationItemDelete",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "ConversationItemInputAudioTranscriptionSegment",
    "ConversationItemRetrieve",
    "ConversationItemRetrieved",
    "ConversationItemTruncate",
    "ConversationItemTruncated",
    "Error",
    "ErrorDetail",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCleared",
    "InputAudioBufferCommit",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "KnownServerEvent",
    "LogProb",
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "OutputAudioBufferClear",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "RateLimit",
    "RateLimitsUpdated",
    "ResponseCancel",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreate",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdate",
    "SessionUpdated",
    "TranscriptionErrorDetail",
    "TranscriptionLanguage",
    "UnknownServerEvent",
    "client_event",
    "parse_client_event",
    "parse_server_event",
]

_log = logging.getLogger("realtime_sip.events")

MAX_APPENDED_AUDIO = 15 * 1024 * 1024
"""Bytes of audio that one `input_audio_buffer.append` may hold (API guide)."""

_MAX_APPENDED_BASE64 = (MAX_APPENDED_AUDIO + 2) // 3 * 4


# --- what a client may send -------------------------------------------------------------------------------------------


class _ClientEvent(Outbound):
    event_id: str | None = None
    """Any id of yours. An `error` event that answers this event repeats it."""


class ConversationItemCreate(_ClientEvent):
    """Adds an item to the conversation; answered by `conversation.item.added` and `.done`. It starts no response."""

    type: Literal["conversation.item.create"] = "conversation.item.create"
    item: NewItem
    previous_item_id: str | None = None
    """The item after which to add it, "root" for the beginning, left out for the end."""


class ConversationItemDelete(_ClientEvent):
    """Removes an item from the conversation; answered by `conversation.item.deleted`."""

    type: Literal["conversation.item.delete"] = "conversation.item.delete"
    item_id: str


class ConversationItemRetrieve(_ClientEvent):
    """Asks for an item with its audio; answered by `conversation.item.retrieved`."""

    type: Literal["conversation.item.retrieve"] = "conversation.item.retrieve"
    item_id: str


class ConversationItemTruncate(_ClientEvent):
    """Cuts the assistant's audio where playback stopped. On SIP and WebRTC the service does it itself."""

    type: Literal["conversation.item.truncate"] = "conversation.item.truncate"
    item_id: str
    content_index: Annotated[int, Field(strict=True, ge=0)]
    """0."""
    audio_end_ms: Annotated[int, Field(strict=True, ge=0)]
    """How much was heard, in milliseconds. More than the audio has is an error."""


class InputAudioBufferAppend(_ClientEvent):
    """Adds audio of the user, on sockets that carry audio. It is not acknowledged."""

    type: Literal["input_audio_buffer.append"] = "input_audio_buffer.append"
    audio: Annotated[str, Field(max_length=_MAX_APPENDED_BASE64)]
    """Base64 of at most 15 MiB, in the session's input format."""


class InputAudioBufferClear(_ClientEvent):
    """Drops the audio that was added; answered by `input_audio_buffer.cleared`."""

    type: Literal["input_audio_buffer.clear"] = "input_audio_buffer.clear"


class InputAudioBufferCommit(_ClientEvent):
    """Ends the user's turn if turn detection is off; answered by `input_audio_buffer.committed`."""

    type: Literal["input_audio_buffer.commit"] = "input_audio_buffer.commit"


class OutputAudioBufferClear(_ClientEvent):
    """Silences what is being played; answered by `output_audio_buffer.cleared`. SIP and WebRTC only.

    Send `ResponseCancel` first, or the response goes on.
    """

    type: Literal["output_audio_buffer.clear"] = "output_audio_buffer.clear"


class ResponseCancel(_ClientEvent):
    """Cancels a response; answered by its `response.done`, or by a harmless `error` if none is running."""

    type: Literal["response.cancel"] = "response.cancel"
    response_id: str | None = None
    """If left out, the response of the default conversation."""


class ResponseCreate(_ClientEvent):
    """Asks the model to respond; answered by `response.created`."""

    type: Literal["response.create"] = "response.create"
    response: ResponseConfig | None = None


class SessionUpdate(_ClientEvent):
    """Changes the session; answered by `session.updated`. A field that is left out stays; null clears it."""

    type: Literal["session.update"] = "session.update"
    session: Annotated[Session, BeforeValidator(refuse_beta_session)]


ClientEvent: TypeAlias = (
    ConversationItemCreate
    | ConversationItemDelete
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | InputAudioBufferAppend
    | InputAudioBufferClear
    | InputAudioBufferCommit
    | OutputAudioBufferClear
    | ResponseCancel
    | ResponseCreate
    | SessionUpdate
)
"""Any event that a client may send."""

_CLASSES: dict[str, type[ClientEvent]] = {kind.model_fields["type"].default: kind for kind in get_args(ClientEvent)}


def client_event(value: ClientEvent | dict[str, Any]) -> ClientEvent:
    """Return `value`, which may be a plain dict, as a checked event.

    >>> client_event({"type": "response.cancel"})
    ResponseCancel(type='response.cancel')

    Raises:
        BetaShapeError: Its type, or a name in it, is of the beta API; the message says the current one.
        InvalidRequestError: It is not valid for another reason.
    """
    if isinstance(value, _ClientEvent):
        return value
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise InvalidRequestError("client event", (("type", "Missing"),))
    known = _CLASSES.get(kind)
    if known is not None:
        return checked(known, value, what=kind)
    shown = ascii(redact(kind[:64]))
    if kind in beta.CLIENT_EVENT_TYPES:
        advice = f"{shown} is a name of the beta API: it is {beta.CLIENT_EVENT_TYPES[kind]} now"
        raise BetaShapeError("client event", (("type", advice),))
    raise InvalidRequestError("client event", (("type", f"{shown} is not a client event"),))


def parse_client_event(data: str | bytes) -> ClientEvent:
    """Return the client event in a frame, checked as strictly as one to be sent.

    Raises:
        BetaShapeError: Its type, or a name in it, is of the beta API.
        InvalidRequestError: It is not JSON, not an object, or not valid.
    """
    try:
        value = read_json(data)
    except ValueError as error:
        raise InvalidRequestError("client event", (("", str(error)),)) from None
    if not isinstance(value, dict):
        raise InvalidRequestError("client event", (("", "not a JSON object"),))
    return client_event(value)


# --- what these are made of -------------------------------------------------------------------------------------------


class Conversation(Inbound):
    """The conversation of a session."""

    id: str | None = None
    object: Open[Literal["realtime.conversation"]] | None = None


class ErrorDetail(Inbound):
    """What went wrong, in an `error` event."""

    type: str
    """Such as `invalid_request_error` or `server_error`."""
    message: str
    code: str | None = None
    """Such as `conversation_already_has_active_response` or `session_expired`."""
    param: str | None = None
    event_id: str | None = None
    """The `event_id` of the client event that caused it, if that had one."""


class TranscriptionErrorDetail(Inbound):
    """Why a transcription failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class LogProb(Inbound):
    """How sure a transcription is of one token."""

    token: str
    logprob: float
    bytes: list[int]
    """The token as UTF-8."""


class TranscriptionLanguage(Inbound):
    """A language that was spoken."""

    code: str


class RateLimit(Inbound):
    """What is left of one limit."""

    name: Open[Literal["requests", "tokens"]] | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
    """Until the limit is whole again."""


# --- what the service sends -------------------------------------------------------------------------------------------


class _Event(Inbound):
    event_id: str


class _PartEvent(_Event):
    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ConversationCreated(_Event):
    """The conversation exists."""

    type: Literal["conversation.created"]
    conversation: Conversation


class ConversationItemAdded(_Event):
    """An item was added to the conversation. A message of the assistant is still empty then."""

    type: Literal["conversation.item.added"]
    previous_item_id: str | None = None
    item: Item


class ConversationItemCreated(_Event):
    """The beta name of `conversation.item.added`, which the service's types still have."""

    type: Literal["conversation.item.created"]
    previous_item_id: str | None = None
    item: Item


class ConversationItemDeleted(_Event):
    """An item was removed from the conversation."""

    type: Literal["conversation.item.deleted"]
    item_id: str


class ConversationItemDone(_Event):
    """An item of the conversation is complete."""

    type: Literal["conversation.item.done"]
    previous_item_id: str | None = None
    item: Item


class ConversationItemInputAudioTranscriptionCompleted(_Event):
    """What the caller said. It may come seconds after the response to it."""

    type: Literal["conversation.item.input_audio_transcription.completed"]
    item_id: str
    content_index: int
    languages: list[TranscriptionLanguage] | None = None
    """gpt-transcribe only."""
    logprobs: list[LogProb] | None = None
    """Only if the session's `include` asks for it."""
    transcript: str
    usage: TranscriptionUsage | None = None
    """What the transcription cost; it is not in any response's usage. Other services of this protocol leave it out."""


class ConversationItemInputAudioTranscriptionDelta(_Event):
    """The next piece of what the caller said."""

    type: Literal["conversation.item.input_audio_transcription.delta"]
    item_id: str
    content_index: int | None = None
    delta: str | None = None
    logprobs: list[LogProb] | None = None
    """Only if the session's `include` asks for it."""


class ConversationItemInputAudioTranscriptionFailed(_Event):
    """What the caller said could not be transcribed. The model heard it all the same."""

    type: Literal["conversation.item.input_audio_transcription.failed"]
    item_id: str
    content_index: int
    error: TranscriptionErrorDetail


class ConversationItemInputAudioTranscriptionSegment(_Event):
    """A stretch of speech of one speaker. Diarizing models only."""

    type: Literal["conversation.item.input_audio_transcription.segment"]
    item_id: str
    content_index: int
    end: float
    """Seconds."""
    id: str
    speaker: str
    start: float
    """Seconds."""
    text: str


class ConversationItemRetrieved(_Event):
    """An item that was asked for, with its audio."""

    type: Literal["conversation.item.retrieved"]
    item: Item


class ConversationItemTruncated(_Event):
    """The assistant's audio was cut where playback stopped, and its transcript was dropped."""

    type: Literal["conversation.item.truncated"]
    item_id: str
    content_index: int
    audio_end_ms: int
    """How much of the audio is left, in milliseconds."""


class Error(_Event):
    """Something that was sent was refused, or the session has a problem. Most sessions go on."""

    type: Literal["error"]
    error: ErrorDetail


class InputAudioBufferCleared(_Event):
    """The audio that was added was dropped."""

    type: Literal["input_audio_buffer.cleared"]


class InputAudioBufferCommitted(_Event):
    """The caller's turn has become an item."""

    type: Literal["input_audio_buffer.committed"]
    item_id: str
    previous_item_id: str | None = None


def _whole_seconds(value: object) -> int | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12
    return int(value) if number else None  # type: ignore[call-overload]


class InputAudioBufferDtmfEventReceived(Inbound):
    """The caller pressed a key. SIP only. The one event without an `event_id`."""

    # The API specification's own example has a leading blank in its type.
    type: Literal["input_audio_buffer.dtmf_event_received", " input_audio_buffer.dtmf_event_received"]
    event: str
    """The key: "0" to "9", "*", "#", or "A" to "D"."""
    received_at: Annotated[int | None, BeforeValidator(_whole_seconds)] = None
    """Unix seconds, or None if the service does not say them: the key counts without."""
    event_id: str | None = None
    """Not sent. It is here so that every event has the attribute."""


class InputAudioBufferSpeechStarted(_Event):
    """The caller has begun to speak."""

    type: Literal["input_audio_buffer.speech_started"]
    item_id: str
    """The user's message that this turn will become."""
    audio_start_ms: int
    """Milliseconds since the session began, padding included."""


class InputAudioBufferSpeechStopped(_Event):
    """The caller has stopped speaking."""

    type: Literal["input_audio_buffer.speech_stopped"]
    item_id: str
    audio_end_ms: int
    """Milliseconds since the session began, the silence included."""


class InputAudioBufferTimeoutTriggered(_Event):
    """The caller was silent for `idle_timeout_ms`, and the model speaks again. Server VAD only."""

    type: Literal["input_audio_buffer.timeout_triggered"]
    item_id: str
    audio_end_ms: int
    """Milliseconds since the session began."""
    audio_start_ms: int
    """Milliseconds since the session began."""


class McpListToolsCompleted(_Event):
    """An MCP server has listed its tools."""

    type: Literal["mcp_list_tools.completed"]
    item_id: str


class McpListToolsFailed(_Event):
    """An MCP server did not list its tools."""

    type: Literal["mcp_list_tools.failed"]
    item_id: str


class McpListToolsInProgress(_Event):
    """An MCP server is being asked for its tools."""

    type: Literal["mcp_list_tools.in_progress"]
    item_id: str


class OutputAudioBufferCleared(_Event):
    """Playback was cut off, because the caller spoke or by `output_audio_buffer.clear`. SIP and WebRTC only."""

    type: Literal["output_audio_buffer.cleared"]
    response_id: str


class OutputAudioBufferStarted(_Event):
    """Playback of a response began. SIP and WebRTC only."""

    type: Literal["output_audio_buffer.started"]
    response_id: str


class OutputAudioBufferStopped(_Event):
    """A response was played to its end. SIP and WebRTC only."""

    type: Literal["output_audio_buffer.stopped"]
    response_id: str


class RateLimitsUpdated(_Event):
    """What is left of the rate limits, sent at the beginning of a response."""

    type: Literal["rate_limits.updated"]
    rate_limits: list[RateLimit]


class ResponseContentPartAdded(_PartEvent):
    """A part of a message began."""

    type: Literal["response.content_part.added"]
    part: ContentPart


class ResponseContentPartDone(_PartEvent):
    """A part of a message is complete."""

    type: Literal["response.content_part.done"]
    part: ContentPart


class ResponseCreated(_Event):
    """A response began, because a client asked for it or turn detection started it."""

    type: Literal["response.created"]
    response: Response


class ResponseDone(_Event):
    """A response ended, however it ended. Its audio may still be playing."""

    type: Literal["response.done"]
    response: Response


class ResponseFunctionCallArgumentsDelta(_Event):
    """The next piece of the arguments of a function call."""

    type: Literal["response.function_call_arguments.delta"]
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(_Event):
    """The arguments of a function call are complete. The item is complete at `response.output_item.done`."""

    type: Literal["response.function_call_arguments.done"]
    response_id: str
    item_id: str
    output_index: int
    arguments: str
    """JSON as text, written by the model."""
    call_id: str
    name: str | None = None
    """Other services of this protocol leave it out; the item has it."""


class ResponseMcpCallCompleted(_Event):
    """A hosted MCP call succeeded."""

    type: Literal["response.mcp_call.completed"]
    item_id: str
    output_index: int


class ResponseMcpCallFailed(_Event):
    """A hosted MCP call failed."""

    type: Literal["response.mcp_call.failed"]
    item_id: str
    output_index: int


class ResponseMcpCallInProgress(_Event):
    """A hosted MCP call began."""

    type: Literal["response.mcp_call.in_progress"]
    item_id: str
    output_index: int


class ResponseMcpCallArgumentsDelta(_Event):
    """The next piece of the arguments of a hosted MCP call."""

    type: Literal["response.mcp_call_arguments.delta"]
    response_id: str
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | None = None


class ResponseMcpCallArgumentsDone(_Event):
    """The arguments of a hosted MCP call are complete."""

    type: Literal["response.mcp_call_arguments.done"]
    response_id: str
    item_id: str
    output_index: int
    arguments: str
    """JSON as text, written by the model."""


class ResponseOutputAudioDelta(_PartEvent):
    """The next piece of the model's audio. A sideband does not get it."""

    type: Literal["response.output_audio.delta"]
    delta: str
    """Base64."""


class ResponseOutputAudioDone(_PartEvent):
    """The model's audio is complete. It may still be playing."""

    type: Literal["response.output_audio.done"]


class ResponseOutputAudioTranscriptDelta(_PartEvent):
    """The next piece of what the model says, ahead of playback."""

    type: Literal["response.output_audio_transcript.delta"]
    delta: str


class ResponseOutputAudioTranscriptDone(_PartEvent):
    """What the model says is complete, whether or not it was heard."""

    type: Literal["response.output_audio_transcript.done"]
    transcript: str


class ResponseOutputItemAdded(_Event):
    """An item of a response began."""

    type: Literal["response.output_item.added"]
    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(_Event):
    """An item of a response is complete."""

    type: Literal["response.output_item.done"]
    response_id: str
    output_index: int
    item: Item


class ResponseOutputTextDelta(_PartEvent):
    """The next piece of what the model writes."""

    type: Literal["response.output_text.delta"]
    delta: str


class ResponseOutputTextDone(_PartEvent):
    """What the model writes is complete."""

    type: Literal["response.output_text.done"]
    text: str


class SessionCreated(_Event):
    """A session began. A sideband may never get it."""

    type: Literal["session.created"]
    session: ReportedSession


class SessionUpdated(_Event):
    """The session now is as this event has it. It answers `session.update`."""

    type: Literal["session.updated"]
    session: ReportedSession


class UnknownServerEvent(Unknown):
    """An event of a type that this version does not know, or that lacks a field that its type must have."""

    @property
    def event_id(self) -> str | None:
        """The event's id, or None if it has none."""
        value = (self.__pydantic_extra__ or {}).get("event_id")
        return value if isinstance(value, str) else None


KnownServerEvent: TypeAlias = (
    ConversationCreated
    | ConversationItemAdded
    | ConversationItemCreated
    | ConversationItemDeleted
    | ConversationItemDone
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionFailed
    | ConversationItemInputAudioTranscriptionSegment
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | Error
    | InputAudioBufferCleared
    | InputAudioBufferCommitted
    | InputAudioBufferDtmfEventReceived
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | McpListToolsCompleted
    | McpListToolsFailed
    | McpListToolsInProgress
    | OutputAudioBufferCleared
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | RateLimitsUpdated
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseCreated
    | ResponseDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | ResponseMcpCallInProgress
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | SessionCreated
    | SessionUpdated
)
"""Any event that this version knows."""

ServerEvent: TypeAlias = KnownServerEvent | UnknownServerEvent
"""Any event that the service may send."""


# --- reading a frame --------------------------------------------------------------------------------------------------


def _build_and_validate_json(data: str | bytes) -> KnownServerEvent:
    """Build the validator for the first frame, and put it into the place of this function.

    It is pydantic's own: one pass from bytes to model, without the adapter's call in between.
    """
    global _validate_json
    known: TypeAdapter[KnownServerEvent] = TypeAdapter(Annotated[KnownServerEvent, Field(discriminator="type")])
    _validate_json = known.validator.validate_json
    event: KnownServerEvent = _validate_json(data)
    return event


_validate_json: Callable[[str | bytes], KnownServerEvent] = _build_and_validate_json

_TYPES = frozenset(
    name for kind in get_args(KnownServerEvent) for name in get_args(kind.model_fields["type"].annotation)
)


def parse_server_event(data: str | bytes) -> ServerEvent:
    """Return the event in a WebSocket frame; an `UnknownServerEvent` if this version does not know it.

    Raises:
        NotAnEventError: The frame is not a JSON object: other JSON, no JSON, nested too deep, or not UTF-8.
    """
    try:
        event: KnownServerEvent = _validate_json(data)
    except ValidationError:
        pass
    else:
        return event
    # Outside of the except block, so that no exception drags the frame along as its context.
    data = data.encode("utf-8", "replace") if isinstance(data, str) else data
    whole = without_lone_surrogates(data)
    if whole is not data:
        with suppress(ValidationError):
            return _validate_json(whole)
    try:
        value = from_json(whole)  # no number in it is a reason to lose an event
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotAnEventError(f"a frame of {len(data)} bytes is not a JSON object that can be read")
    unknown = UnknownServerEvent.model_validate(value)
    _warn(unknown.type)
    return unknown


_MAX_NAMED = 100
_named: set[str] = set()


def _warn(kind: str) -> None:
    """Log the first event of each unusual type, so that a chatty new type does not fill the log."""
    if kind in _named or len(_named) >= _MAX_NAMED:
        return
    _named.add(kind)
    if kind in beta.SERVER_EVENT_TYPES:
        what = f"is a name of the beta API, and {beta.SERVER_EVENT_TYPES[kind]} now"
    elif kind in _TYPES:
        what = "lacks a field that its type must have"
    else:
        what = "is of a type that this version does not know"
    _log.warning("event %s %s; it is passed on as UnknownServerEvent (said once)", ascii(redact(kind[:64])), what)
