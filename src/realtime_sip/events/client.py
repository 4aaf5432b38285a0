"""What a client may send, one class per event type: `ResponseCreate` is `response.create`.

On a phone call the caller's audio arrives by itself and the service truncates what was not heard, so that the
`input_audio_buffer.*` events and `conversation.item.truncate` are of no use there (API guide, November 2026).

>>> ResponseCreate(response=ResponseConfig(instructions="Greet the caller.")).to_wire()
{'type': 'response.create', 'response': {'instructions': 'Greet the caller.'}}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field
from pydantic_core import from_json

from realtime_sip import beta
from realtime_sip._redaction import redact
from realtime_sip._wire import Outbound, checked
from realtime_sip.errors import BetaShapeError, InvalidRequestError
from realtime_sip.items import NewItem
from realtime_sip.response import ResponseConfig
from realtime_sip.session import Session

__all__ = [
    "MAX_APPENDED_AUDIO",
    "ClientEvent",
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemRetrieve",
    "ConversationItemTruncate",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCommit",
    "OutputAudioBufferClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionUpdate",
    "client_event",
    "parse_client_event",
]

MAX_APPENDED_AUDIO = 15 * 1024 * 1024
"""Bytes of audio that one `input_audio_buffer.append` may hold (API guide)."""

_MAX_APPENDED_BASE64 = (MAX_APPENDED_AUDIO + 2) // 3 * 4


class _ClientEvent(Outbound):
    event_id: str | None = None
    """Any id of yours. An `error` event that answers this event repeats it."""


class ConversationItemCreate(_ClientEvent):
    """Adds an item to the conversation; answered by `conversation.item.added` and `.done`. No response starts by it."""

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
    content_index: Annotated[int, Field(ge=0)]
    """0."""
    audio_end_ms: Annotated[int, Field(ge=0)]
    """How much was heard, in milliseconds. More than there is, is an error."""


class InputAudioBufferAppend(_ClientEvent):
    """Adds audio of the user, on sockets that carry audio. It is not acknowledged."""

    type: Literal["input_audio_buffer.append"] = "input_audio_buffer.append"
    audio: Annotated[str, Field(max_length=_MAX_APPENDED_BASE64)]
    """Base64 of at most 15 MiB, in the session's input format."""


class InputAudioBufferClear(_ClientEvent):
    """Drops the audio that was added; answered by `input_audio_buffer.cleared`."""

    type: Literal["input_audio_buffer.clear"] = "input_audio_buffer.clear"


class InputAudioBufferCommit(_ClientEvent):
    """Ends the user's turn where turn detection is off; answered by `input_audio_buffer.committed`."""

    type: Literal["input_audio_buffer.commit"] = "input_audio_buffer.commit"


class OutputAudioBufferClear(_ClientEvent):
    """Silences what is being played; answered by `output_audio_buffer.cleared`. SIP and WebRTC only.

    Send `ResponseCancel` first, or the response goes on.
    """

    type: Literal["output_audio_buffer.clear"] = "output_audio_buffer.clear"


class ResponseCancel(_ClientEvent):
    """Cancels a response; answered by its `response.done`, or by a harmless `error` where none is running."""

    type: Literal["response.cancel"] = "response.cancel"
    response_id: str | None = None
    """Left out, the response of the default conversation."""


class ResponseCreate(_ClientEvent):
    """Asks the model to respond; answered by `response.created`."""

    type: Literal["response.create"] = "response.create"
    response: ResponseConfig | None = None


class SessionUpdate(_ClientEvent):
    """Changes the session; answered by `session.updated`. What is left out stays, null clears it."""

    type: Literal["session.update"] = "session.update"
    session: Session


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
        value = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise InvalidRequestError("client event", (("", "not JSON"),)) from None
    if not isinstance(value, dict):
        raise InvalidRequestError("client event", (("", "not a JSON object"),))
    return client_event(value)
