"""Responses: what `response.create` asks for, what the service reports, and what it cost in tokens.

What a client asks for is a `ResponseConfig`; what the service makes of it is a `Response`. Fields are those of
the service's own types (API guide, November 2026).

>>> ResponseConfig(instructions="Greet the caller.", conversation="none").to_wire()
{'instructions': 'Greet the caller.', 'conversation': 'none'}
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from realtime_sip import beta
from realtime_sip._wire import Inbound, Open, Outbound, Unknown
from realtime_sip.items import Item, ResponseInputItem
from realtime_sip.session import (
    AudioFormat,
    MaxOutputTokens,
    OutputModalities,
    OutputVoice,
    Prompt,
    Reasoning,
    ReportedFormat,
    ReportedVoice,
    Tool,
    ToolChoice,
)

__all__ = [
    "CachedTokenDetails",
    "InputTokenDetails",
    "OutputTokenDetails",
    "ReportedResponseAudio",
    "ReportedResponseAudioOutput",
    "Response",
    "ResponseAudioConfig",
    "ResponseAudioOutput",
    "ResponseConfig",
    "ResponseErrorDetail",
    "ResponseStatus",
    "ResponseStatusDetails",
    "ResponseUsage",
    "TranscriptionDurationUsage",
    "TranscriptionTokenDetails",
    "TranscriptionTokenUsage",
    "TranscriptionUsage",
    "UnknownTranscriptionUsage",
]


# --- a response that is asked for -------------------------------------------------------------------------------------


class ResponseAudioOutput(Outbound):
    """How the model sounds in this response."""

    format: AudioFormat | None = None
    """Leave it out on SIP."""
    voice: OutputVoice | None = None
    """Fixed once the model has spoken in the session."""


class ResponseAudioConfig(Outbound):
    """The audio of this response."""

    output: ResponseAudioOutput | None = None


_MetadataKey: TypeAlias = Annotated[str, Field(max_length=64)]
_MetadataValue: TypeAlias = Annotated[str, Field(max_length=512)]


class ResponseConfig(Outbound):
    """What `response.create` may say about the response. A field that is left out is as the session has it.

    Only one response at a time can write to the default conversation; with `conversation="none"` several can run beside
    each other.
    """

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.RESPONSE_FIELDS)
    _nullable = frozenset({"prompt"})

    instructions: str | None = None
    """Used instead of the session's instructions, for this response only."""
    input: list[ResponseInputItem] | None = None
    """Used instead of the conversation. `ItemReference` names an item of it. An empty list is an empty context."""
    conversation: Open[Literal["auto", "none"]] | None = None
    """`auto`, the default, adds the response to the conversation; `none` keeps it apart."""
    output_modalities: OutputModalities = None
    """`["audio"]` or `["text"]`; never both."""
    max_output_tokens: MaxOutputTokens = None
    """As in the session: "inf", or a number from 1 to 4,096, for gpt-realtime-2 and later perhaps to 32,000."""
    audio: ResponseAudioConfig | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    """Reasoning models only; what others do with it is not documented."""
    reasoning: Reasoning | None = None
    prompt: Prompt | None = None
    metadata: Annotated[dict[_MetadataKey, _MetadataValue], Field(max_length=16)] | None = None
    """Up to 16 pairs, keys of up to 64 and values of up to 512 characters; they come back with the response."""


# --- a response that runs or has ended --------------------------------------------------------------------------------

ResponseStatus: TypeAlias = Open[Literal["completed", "cancelled", "failed", "incomplete", "in_progress"]]
"""How far a response is, or how it ended."""


class ResponseErrorDetail(Inbound):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class ResponseStatusDetails(Inbound):
    """Why a response ended the way it did."""

    type: Open[Literal["completed", "cancelled", "incomplete", "failed"]] | None = None
    reason: Open[Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]] | None = None
    """The caller spoke, or a client canceled it; or, if it is incomplete, it was too long or was filtered."""
    error: ResponseErrorDetail | None = None


class ReportedResponseAudioOutput(Inbound):
    """How the model sounds in this response."""

    format: ReportedFormat | None = None
    voice: ReportedVoice | None = None


class ReportedResponseAudio(Inbound):
    """The audio of this response."""

    output: ReportedResponseAudioOutput | None = None


class CachedTokenDetails(Inbound):
    """Input tokens that came from the cache, by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class InputTokenDetails(Inbound):
    """Input tokens by kind. The cached ones are part of the others, not beside them."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: CachedTokenDetails | None = None


class OutputTokenDetails(Inbound):
    """Output tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class ResponseUsage(Inbound):
    """The tokens of one response. The whole conversation is its input. A field that is missing counts as zero.

    Transcription of the caller is not in it: that is in the transcription's own event.
    """

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class Response(Inbound):
    """A response, running in `response.created` and ended in `response.done`."""

    id: str | None = None
    """`resp_...`"""
    object: Open[Literal["realtime.response"]] | None = None
    status: ResponseStatus | None = None
    status_details: ResponseStatusDetails | None = None
    output: list[Item] | None = None
    """What the model said and called. Only `response.done` has it."""
    conversation_id: str | None = None
    """None if the response is kept apart from the conversation."""
    output_modalities: list[Open[Literal["text", "audio"]]] | None = None
    max_output_tokens: int | Open[Literal["inf"]] | None = None
    audio: ReportedResponseAudio | None = None
    usage: ResponseUsage | None = None
    """Only `response.done` has it."""
    metadata: dict[str, str] | None = None


# --- transcription ----------------------------------------------------------------------------------------------------


class TranscriptionTokenDetails(Inbound):
    """Input tokens of a transcription by kind."""

    audio_tokens: int | None = None
    text_tokens: int | None = None


class TranscriptionTokenUsage(Inbound):
    """The cost of a transcription that is billed by tokens, at the transcription model's rate."""

    type: Literal["tokens"]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: TranscriptionTokenDetails | None = None


class TranscriptionDurationUsage(Inbound):
    """The cost of a transcription that is billed by time."""

    type: Literal["duration"]
    seconds: float


class UnknownTranscriptionUsage(Unknown):
    """The cost of a transcription, counted in a way that this version does not know."""


TranscriptionUsage: TypeAlias = Annotated[
    Annotated[TranscriptionTokenUsage | TranscriptionDurationUsage, Field(discriminator="type")]
    | UnknownTranscriptionUsage,
    Field(union_mode="left_to_right"),
]
"""What transcribing used: tokens or seconds, as its model is billed."""
