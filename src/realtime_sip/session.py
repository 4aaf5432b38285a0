"""Sessions: how the model listens, thinks and speaks in a call.

Send a `RealtimeSession` or a `TranscriptionSession` to accept a call, in `session.update` and for a client secret. What
the service reports back, with an id and every default filled in, is a `ReportedRealtimeSession` or a
`ReportedTranscriptionSession`; each of its unions ends in a member for what this version does not know.

A field that is left out is not sent, so a session can also be the few fields of an update. None is a value of its own,
for turn detection, transcription, noise reduction, the idle timeout, prompt and tracing; for any other it is refused:

>>> session = RealtimeSession(
...     model="gpt-realtime-2.1",
...     instructions="You answer for a bakery.",
...     audio=AudioConfig(input=AudioInput(turn_detection=None), output=AudioOutput(voice="marin")),
... )
>>> session.to_wire()["audio"]
{'input': {'turn_detection': None}, 'output': {'voice': 'marin'}}

Source of fields, ranges and defaults: the API guide and the service's own types, November 2026. What they state is
checked here; a value that they leave in doubt is let through.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    StrictBool,
    ValidatorFunctionWrapHandler,
    field_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from realtime_sip import beta
from realtime_sip._wire import Inbound, Open, Outbound, Unknown, checked, warn_outside
from realtime_sip.errors import InvalidRequestError
from realtime_sip.prompts.instructions import STORED_PROMPTS_END, Instructions

__all__ = [
    "MODEL_SHUTDOWNS",
    "ApprovalFilter",
    "AudioConfig",
    "AudioFormat",
    "AudioFormatWarning",
    "AudioInput",
    "AudioOutput",
    "AudioPcm",
    "AudioPcma",
    "AudioPcmu",
    "CustomVoice",
    "FunctionTool",
    "McpTool",
    "ModelDeprecationWarning",
    "NoiseReduction",
    "Prompt",
    "RealtimeModel",
    "RealtimeSession",
    "Reasoning",
    "ReportedApprovalFilter",
    "ReportedAudio",
    "ReportedAudioFormat",
    "ReportedAudioInput",
    "ReportedAudioOutput",
    "ReportedCustomVoice",
    "ReportedFunctionTool",
    "ReportedMcpTool",
    "ReportedNoiseReduction",
    "ReportedPrompt",
    "ReportedRealtimeSession",
    "ReportedReasoning",
    "ReportedRetentionRatio",
    "ReportedSemanticVad",
    "ReportedServerVad",
    "ReportedSession",
    "ReportedTokenLimits",
    "ReportedToolChoiceFunction",
    "ReportedToolChoiceMcp",
    "ReportedToolFilter",
    "ReportedTracing",
    "ReportedTranscription",
    "ReportedTranscriptionAudio",
    "ReportedTranscriptionSession",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "Session",
    "StoredPromptWarning",
    "TokenLimits",
    "Tool",
    "ToolChoice",
    "ToolChoiceFunction",
    "ToolChoiceMcp",
    "ToolFilter",
    "Tracing",
    "Transcription",
    "TranscriptionAudioConfig",
    "TranscriptionAudioInput",
    "TranscriptionModel",
    "TranscriptionSession",
    "TurnDetection",
    "UnknownAudioFormat",
    "UnknownMcpSetting",
    "UnknownSession",
    "UnknownTool",
    "UnknownToolChoice",
    "UnknownTracing",
    "UnknownTruncation",
    "UnknownTurnDetection",
    "UnknownVoice",
    "Voice",
    "checked_session",
]


# --- names that the service adds to -----------------------------------------------------------------------------------

RealtimeModel: TypeAlias = Open[
    Literal[
        "gpt-realtime-2.1",
        "gpt-realtime-2.1-mini",
        "gpt-realtime-2",
        "gpt-realtime-1.5",
        "gpt-realtime",
        "gpt-realtime-2025-08-28",
        "gpt-realtime-mini",
        "gpt-realtime-mini-2025-10-06",
        "gpt-realtime-mini-2025-12-15",
        "gpt-audio-1.5",
        "gpt-audio-mini",
        "gpt-audio-mini-2025-10-06",
        "gpt-audio-mini-2025-12-15",
        "gpt-4o-realtime-preview",
        "gpt-4o-realtime-preview-2024-10-01",
        "gpt-4o-realtime-preview-2024-12-17",
        "gpt-4o-realtime-preview-2025-06-03",
        "gpt-4o-mini-realtime-preview",
        "gpt-4o-mini-realtime-preview-2024-12-17",
    ]
]
"""A model that listens and speaks. gpt-realtime-2.1, -2.1-mini and -2 reason and have 128,000 tokens of context."""

_TranscriptionModel: TypeAlias = Literal[
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
]
TranscriptionModel: TypeAlias = Open[_TranscriptionModel]
"""A model that writes down what the caller says. It is billed beside the realtime model."""

Voice: TypeAlias = Open[
    Literal["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"]
]
"""A voice of the service, which recommends marin and cedar."""

_ToolChoiceMode: TypeAlias = Literal["auto", "none", "required"]
_Include: TypeAlias = Literal["item.input_audio_transcription.logprobs"]
_NoiseReductionType: TypeAlias = Literal["near_field", "far_field"]
_Delay: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]
_Effort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]
_Eagerness: TypeAlias = Literal["low", "medium", "high", "auto"]
_Caller: TypeAlias = Literal["direct", "programmatic"]
_Approval: TypeAlias = Literal["always", "never"]
_Modality: TypeAlias = Literal["text", "audio"]
_Connector: TypeAlias = Literal[
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
]


# --- models that end --------------------------------------------------------------------------------------------------

_REALTIME_SHUTDOWN = date(2027, 1, 20)
_TRANSCRIPTION_SHUTDOWN = date(2027, 2, 26)
MODEL_SHUTDOWNS: Mapping[str, date] = MappingProxyType(
    {
        "gpt-audio-mini": _REALTIME_SHUTDOWN,
        "gpt-audio-mini-2025-12-15": _REALTIME_SHUTDOWN,
        "gpt-realtime": _REALTIME_SHUTDOWN,
        "gpt-realtime-2025-08-28": _REALTIME_SHUTDOWN,
        "gpt-realtime-mini": _REALTIME_SHUTDOWN,
        "gpt-realtime-mini-2025-12-15": _REALTIME_SHUTDOWN,
        "gpt-4o-mini-transcribe": _TRANSCRIPTION_SHUTDOWN,
        "gpt-4o-mini-transcribe-2025-12-15": _TRANSCRIPTION_SHUTDOWN,
        "gpt-4o-transcribe": _TRANSCRIPTION_SHUTDOWN,
        "gpt-4o-transcribe-diarize": _TRANSCRIPTION_SHUTDOWN,
        "whisper-1": _TRANSCRIPTION_SHUTDOWN,
    }
)
"""Model -> the day of its announced shutdown (deprecations page, November 2026)."""


class ModelDeprecationWarning(FutureWarning):
    """A session names a model of the beta API, or one that the service will shut down; the message says when.

    It is a `FutureWarning`, because Python shows those by default, and the owner of a phone line has to see it.
    """


def _not_empty(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("empty", "must not be empty")
    return value


class AudioFormatWarning(UserWarning):
    """The session of a phone call sets an audio format; the message says which, and what has come of it."""


def _warn_of_shutdown(model: str) -> str:
    shutdown = MODEL_SHUTDOWNS.get(model)
    if shutdown is not None:
        warn_outside(f"{model} will be shut down on {shutdown}", ModelDeprecationWarning)
    elif model in beta.MODELS:
        text = f"{model} is a model of the beta API, which was switched off; {beta.MODELS[model]} is what is nearest"
        warn_outside(text, ModelDeprecationWarning)
    return model


class StoredPromptWarning(FutureWarning):
    """A session names a stored prompt, which the service will shut down; the message says when.

    It is a `FutureWarning`, because Python shows those by default, and the owner of a phone line has to see it.
    """


def _warn_of_stored_prompt(prompt_id: str) -> str:
    text = (
        f"stored prompts will be shut down on {STORED_PROMPTS_END}, and what a session with one gets afterwards is not "
        "documented: send instructions (realtime_sip.prompts)"
    )
    warn_outside(text, StoredPromptWarning)
    return prompt_id


# --- audio to send ----------------------------------------------------------------------------------------------------


def _refuse_beta_format(data: Any) -> Any:
    if isinstance(data, str) and data in beta.AUDIO_FORMATS:
        raise PydanticCustomError(
            "beta_shape",
            "'{name}' is a name of the beta API: it is {current} now",
            {"name": data, "current": repr(dict(beta.AUDIO_FORMATS[data]))},
        )
    return data


class AudioPcm(Outbound):
    """PCM, 16 bits, 24 kHz, mono, little-endian. The service refuses it without its rate, which is always sent."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24000] = 24000


class AudioPcmu(Outbound):
    """G.711 mu-law, 8 kHz."""

    type: Literal["audio/pcmu"] = "audio/pcmu"


class AudioPcma(Outbound):
    """G.711 A-law, 8 kHz."""

    type: Literal["audio/pcma"] = "audio/pcma"


AudioFormat: TypeAlias = Annotated[
    Annotated[AudioPcm | AudioPcmu | AudioPcma, Field(discriminator="type")], BeforeValidator(_refuse_beta_format)
]
"""How audio is encoded."""


class NoiseReduction(Outbound):
    """Filters the caller's audio before turn detection and the model hear it."""

    type: _NoiseReductionType | None = None
    """`near_field` for a headset or a handset, `far_field` for a laptop or a conference room."""
    strength: Annotated[float, Field(strict=True)] | None = None
    """Higher filters more. 1 when first turned on; an update that leaves it out keeps it. No range is documented."""


_DELAY_MODELS = frozenset({"gpt-realtime-whisper"})
_KEYWORD_MODELS = frozenset({"gpt-transcribe", "gpt-live-transcribe"})
_PROMPTLESS_MODELS = frozenset({"gpt-realtime-whisper", "gpt-4o-transcribe-diarize"})
_TRANSCRIPTION_MODELS = frozenset(get_args(_TranscriptionModel))


class Transcription(Outbound):
    """Writes down what the caller says. The realtime model does not depend on it: it hears the audio itself.

    A field that a known model does not take is refused here; with another model, or none, the service decides.
    """

    model: Annotated[TranscriptionModel, AfterValidator(_not_empty), AfterValidator(_warn_of_shutdown)] | None = None
    language: str | None = None
    """The caller's language in ISO 639-1, such as `en`. It makes transcription faster and more accurate."""
    languages: Annotated[list[str], Field(min_length=1)] | None = None
    """The languages that may be spoken, in ISO 639-1. gpt-transcribe and gpt-live-transcribe only."""
    prompt: str | None = None
    """Guides the transcription. Not with gpt-realtime-whisper and gpt-4o-transcribe-diarize."""
    keywords: list[str] | None = None
    """Words to expect. gpt-transcribe and gpt-live-transcribe only."""
    delay: _Delay | None = None
    """How long to wait before writing: longer is more accurate. gpt-realtime-whisper only."""

    @model_validator(mode="after")
    def _suits_its_model(self) -> Self:
        if self.model is None or self.model not in _TRANSCRIPTION_MODELS:
            return self
        fits = {
            "delay": self.model in _DELAY_MODELS,
            "keywords": self.model in _KEYWORD_MODELS,
            "languages": self.model in _KEYWORD_MODELS,
            "prompt": self.model not in _PROMPTLESS_MODELS,
        }
        for field, fit in fits.items():
            if not fit and getattr(self, field) is not None:
                raise PydanticCustomError(
                    "not_with_model",
                    "{field} does not go with the model {model}",
                    {"field": field, "model": self.model},
                )
        return self


class ServerVad(Outbound):
    """Turn detection by volume: a turn ends when the caller has been silent for a while."""

    _nullable = frozenset({"idle_timeout_ms"})

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """How loud speech has to be, 0 to 1. 0.5 if left out; a noisy line needs more."""
    prefix_padding_ms: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Audio to keep from before speech was detected. 300 if left out."""
    silence_duration_ms: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Silence that ends a turn. Documented as 500 if left out; recorded sessions report 200."""
    idle_timeout_ms: Annotated[int, Field(strict=True, ge=5000, le=30000)] | None = None
    """Silence after which the model speaks again, 5,000 to 30,000, counted from the end of playback. Off by
    default, and with None."""
    create_response: StrictBool | None = None
    """Whether the service starts a response at the end of a turn. True if left out."""
    interrupt_response: StrictBool | None = None
    """Whether the caller's speech cuts off the model's. True if left out."""


class SemanticVad(Outbound):
    """Turn detection by meaning: a model judges whether the caller has finished. It has no idle timeout."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: _Eagerness | None = None
    """How soon to answer. It waits up to 8 s at low, 4 s at medium, 2 s at high; `auto`, the default, is medium."""
    create_response: StrictBool | None = None
    """Whether the service starts a response at the end of a turn. True if left out."""
    interrupt_response: StrictBool | None = None
    """Whether the caller's speech cuts off the model's. True if left out."""


TurnDetection: TypeAlias = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]
"""How the service finds out when the caller's turn begins and ends."""


class AudioInput(Outbound):
    """How the caller's audio is taken in."""

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.HALF_MOVED["input"])
    _nullable = frozenset({"noise_reduction", "transcription", "turn_detection"})

    format: AudioFormat | None = None
    """Leave it out on SIP: the phone leg negotiates its codec, and forcing one has silenced calls."""
    noise_reduction: NoiseReduction | None = None
    """None, the default, turns it off."""
    transcription: Transcription | None = None
    """None, the default, turns it off. Without it there is no transcript of the caller."""
    turn_detection: TurnDetection | None = None
    """None turns it off: a response then starts only if you ask for it. If left out, it is server VAD."""


class CustomVoice(Outbound):
    """A voice made from the account's own samples."""

    id: Annotated[str, AfterValidator(_not_empty)]
    """`voice_...`"""


OutputVoice: TypeAlias = Annotated[Voice, AfterValidator(_not_empty)] | CustomVoice


class AudioOutput(Outbound):
    """How the model sounds."""

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.HALF_MOVED["output"])

    format: AudioFormat | None = None
    """Leave it out on SIP: the phone leg negotiates its codec, and forcing one has silenced calls."""
    voice: OutputVoice | None = None
    """Fixed once the model has spoken."""
    speed: Annotated[float, Field(strict=True, ge=0.25, le=1.5)] | None = None
    """0.25 to 1.5 times the usual 1.0. It can only be changed between responses."""


class AudioConfig(Outbound):
    """The audio of a session that speaks."""

    input: AudioInput | None = None
    output: AudioOutput | None = None


class TranscriptionAudioInput(AudioInput):
    """What becomes of the audio in a session that only transcribes."""

    @model_validator(mode="after")
    def _whisper_has_no_turns(self) -> Self:
        model = self.transcription.model if self.transcription is not None else None
        if model == "gpt-realtime-whisper" and (
            self.turn_detection is not None or "turn_detection" not in self.model_fields_set
        ):
            raise PydanticCustomError(
                "not_with_model", "gpt-realtime-whisper has no turn detection here: set turn_detection to None (null)"
            )
        return self


class TranscriptionAudioConfig(Outbound):
    """The audio of a session that only transcribes. It has no output."""

    input: TranscriptionAudioInput | None = None


# --- tools to send ----------------------------------------------------------------------------------------------------


_USUAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _tool_name(name: str) -> str:
    if not name or any(c.isspace() or not c.isprintable() for c in name):
        raise PydanticCustomError("tool_name", "a tool needs a name without blanks and control characters")
    if not _USUAL_NAME.fullmatch(name):
        # No limit is documented here; this one is that of the vendor's other APIs.
        warn_outside("a tool has a name beyond 1 to 64 letters, digits, '_' and '-', which may be refused", UserWarning)
    return name


def _is_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in value):
        raise PydanticCustomError("url", "must be an http or https URL")
    return value


class FunctionTool(Outbound):
    """A function of yours that the model may call. There is no `strict` here, unlike in the vendor's other APIs."""

    type: Literal["function"] = "function"
    name: Annotated[str, AfterValidator(_tool_name)]
    description: str | None = None
    """When the model should call it, and what it should say meanwhile."""
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments."""


class ToolFilter(Outbound):
    """Some of an MCP server's tools."""

    tool_names: list[str] | None = None
    read_only: StrictBool | None = None
    """True for those that the server marks with `readOnlyHint`, False for the others."""


class ApprovalFilter(Outbound):
    """Which of an MCP server's tools need an approval, and which do not."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(Outbound):
    """The tools of an MCP server, which the service itself calls. Give one of its three addresses."""

    type: Literal["mcp"] = "mcp"
    server_label: Annotated[str, AfterValidator(_not_empty)]
    """Names the server in its tool calls."""
    server_url: Annotated[str, AfterValidator(_is_url)] | None = None
    connector_id: _Connector | None = None
    """A connector of the service. Not for models released after 2026-09-01."""
    tunnel_id: str | None = None
    """A secure tunnel to a server that the internet cannot reach."""
    authorization: str | None = None
    """An OAuth access token for the server or the connector."""
    headers: dict[str, str] | None = None
    """HTTP headers for the server."""
    server_description: str | None = None
    allowed_tools: list[str] | ToolFilter | None = None
    require_approval: _Approval | ApprovalFilter | None = None
    """If left out, every call needs an approval: somebody has to send `McpApprovalResponse`."""
    allowed_callers: list[_Caller] | None = None
    defer_loading: StrictBool | None = None
    """Whether the tools are left out of the context until a tool search finds them."""

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        addresses = (self.server_url, self.connector_id, self.tunnel_id)
        if sum(address is not None for address in addresses) != 1:
            raise PydanticCustomError("mcp_address", "give exactly one of server_url, connector_id and tunnel_id")
        return self


Tool: TypeAlias = Annotated[FunctionTool | McpTool, Field(discriminator="type")]
"""What the model may call: a function of the program, or the tools of an MCP server."""


class ToolChoiceFunction(Outbound):
    """Makes the model call this function."""

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.TOOL_CHOICE_FIELDS)

    type: Literal["function"] = "function"
    name: str


class ToolChoiceMcp(Outbound):
    """Makes the model call a tool of this MCP server."""

    type: Literal["mcp"] = "mcp"
    server_label: str
    name: str | None = None


ToolChoice: TypeAlias = _ToolChoiceMode | Annotated[ToolChoiceFunction | ToolChoiceMcp, Field(discriminator="type")]
"""Which tools the model may or must call."""


# --- the rest of a session to send ------------------------------------------------------------------------------------


class Reasoning(Outbound):
    """How hard to think. Reasoning models only (gpt-realtime-2 and later); what others do with it is not documented."""

    effort: _Effort | None = None
    """`low` if left out. More effort answers later."""


class Prompt(Outbound):
    """A prompt that is stored with the service. Fields of the session override it.

    Stored prompts end on 2026-11-30; each use warns. `realtime_sip.prompts` has what replaces them.
    """

    id: Annotated[str, AfterValidator(_warn_of_stored_prompt)]
    version: str | None = None
    variables: dict[str, str | dict[str, Any]] | None = None
    """Name -> text, or an `input_text`, `input_image` or `input_file` object, which is sent as it is."""


class Tracing(Outbound):
    """How the session is named on the service's traces dashboard."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class TokenLimits(Outbound):
    """Limits on what is kept when a conversation is truncated."""

    post_instructions: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Tokens to keep after the instructions and tools. At most the context minus the longest output."""


class RetentionRatio(Outbound):
    """Drops more than is needed when the context is full, so that the cache stays valid for longer."""

    type: Literal["retention_ratio"] = "retention_ratio"
    retention_ratio: Annotated[float, Field(strict=True, ge=0, le=1)]
    """The share of tokens after the instructions to keep, 0 to 1."""
    token_limits: TokenLimits | None = None


def _one_modality(modalities: list[str] | None) -> list[str] | None:
    if modalities is not None and len(modalities) != 1:
        raise PydanticCustomError("one_modality", 'it is either ["audio"], which has a transcript too, or ["text"]')
    return modalities


def _structured(value: Any, otherwise: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, Instructions) else otherwise(value)


_Instructions: TypeAlias = Annotated[
    str | Instructions,
    # Not a union, whose refusals name each kind.
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_wrap_validator_function(_structured, core_schema.str_schema())
    ),
]
OutputModalities: TypeAlias = Annotated[list[_Modality] | None, AfterValidator(_one_modality)]
MaxOutputTokens: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=32_000)] | Literal["inf"] | None


class RealtimeSession(Outbound):
    """A session that listens and speaks, to accept a call or to update one. Every field may be left out.

    On SIP, leave the audio formats out.
    """

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.SESSION_FIELDS)
    _nullable = frozenset({"prompt", "tracing"})

    type: Literal["realtime"] = "realtime"
    model: Annotated[RealtimeModel, AfterValidator(_not_empty), AfterValidator(_warn_of_shutdown)] | None = None
    """Fixed once the session has started."""
    instructions: _Instructions | None = None
    """If left out, the service uses instructions of its own, which `session.updated` reports.

    Text, or a value of `realtime_sip.prompts`, which is rendered for the session's model when it is sent.
    """
    output_modalities: OutputModalities = None
    """`["audio"]`, the default, or `["text"]`; never both."""
    max_output_tokens: MaxOutputTokens = None
    """The longest response, tool calls included: "inf", the default, or a number from 1.

    The service's types say up to 4,096, its pages for gpt-realtime-2 and later 32,000. The higher one is let through.
    """
    audio: AudioConfig | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    """`auto` if left out."""
    parallel_tool_calls: StrictBool | None = None
    """Reasoning models only; what others do with it is not documented."""
    reasoning: Reasoning | None = None
    prompt: Prompt | None = None
    """None is no prompt."""
    tracing: Literal["auto"] | Tracing | None = None
    """None, the default, writes no trace. Once on, it cannot be changed."""
    truncation: Literal["auto", "disabled"] | RetentionRatio | None = None
    """What happens when the context is full. `auto`, the default, drops the oldest items; `disabled` is an error."""
    include: list[_Include] | None = None
    """What else to report: the log probabilities of transcriptions."""

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        names = Counter(
            tool.name if isinstance(tool, FunctionTool) else f"server {tool.server_label}" for tool in self.tools or []
        )
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise PydanticCustomError("tool_twice", "there are two tools with the name {name}", {"name": twice[0]})
        return self

    @field_serializer("instructions")
    def _rendered(self, _value: Any) -> str | None:
        return self.instructions_text()

    def instructions_text(self, model: str | None = None) -> str | None:
        """Return the instructions as they are sent; for another `model` if the session names none, as an update."""
        if isinstance(self.instructions, Instructions):
            return self.instructions.render(self.model or model)
        return self.instructions


class TranscriptionSession(Outbound):
    """A session that writes down what it hears and does not answer. A phone call cannot be accepted with one."""

    _beta_names: ClassVar[dict[str, str]] = beta.advice(beta.TRANSCRIPTION_FIELDS)

    type: Literal["transcription"] = "transcription"
    audio: TranscriptionAudioConfig | None = None
    include: list[_Include] | None = None
    """What else to report: the log probabilities of transcriptions."""


Session: TypeAlias = Annotated[RealtimeSession | TranscriptionSession, Field(discriminator="type")]
"""Either kind of session to send."""


def check_tool_choice(session: RealtimeSession) -> None:
    """Refuse a choice of a tool that is not there, in a session that is whole. A stored prompt may have tools too.

    Raises:
        InvalidRequestError: It is not among the session's tools.
    """
    choice, tools = session.tool_choice, session.tools or []
    if session.prompt is not None or not isinstance(choice, (ToolChoiceFunction, ToolChoiceMcp)):
        return
    if isinstance(choice, ToolChoiceFunction):
        there = any(isinstance(tool, FunctionTool) and tool.name == choice.name for tool in tools)
    else:
        there = any(isinstance(tool, McpTool) and tool.server_label == choice.server_label for tool in tools)
    if not there:
        raise InvalidRequestError("session", (("tool_choice", "names a tool that is not among the tools"),))


def refuse_beta_session(data: Any) -> Any:
    """Refuse a session without a type by the beta names that it has: that its type is missing would be no help."""
    if isinstance(data, dict) and "type" not in data and RealtimeSession._beta_names.keys() & data.keys():
        return RealtimeSession.model_validate(data)
    return data


def warn_of_formats(session: RealtimeSession) -> None:
    """Warn of audio formats in the session of a phone call. They are sent as they are."""
    audio = session.audio or AudioConfig()
    for side, half in (("input", audio.input), ("output", audio.output)):
        if half is not None and half.format is not None:
            text = (
                f"audio.{side}.format is set: SIP negotiates the media of a call, and field reports saw silence with a "
                "format of one's own; leave it out"
            )
            warn_outside(text, AudioFormatWarning)


def checked_session(
    value: RealtimeSession | TranscriptionSession | dict[str, Any], *, what: str = "session"
) -> RealtimeSession | TranscriptionSession:
    """Return `value` as a session. A dict without a `type` is taken as a realtime session.

    Raises:
        BetaShapeError: It has a name of the beta API.
        InvalidRequestError: It is not valid for another reason.
    """
    if isinstance(value, (RealtimeSession, TranscriptionSession)):
        return value
    if value.get("type") == "transcription":
        return checked(TranscriptionSession, value, what=what)
    return checked(RealtimeSession, value, what=what)


# --- what the service reports: audio ----------------------------------------------------------------------------------


class ReportedAudioFormat(Inbound):
    """An audio format in use. Only PCM has a rate."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: int | None = None


class UnknownAudioFormat(Unknown):
    """An audio format that this version does not know."""


ReportedFormat: TypeAlias = Annotated[ReportedAudioFormat | UnknownAudioFormat, Field(union_mode="left_to_right")]


class ReportedNoiseReduction(Inbound):
    """The noise reduction in use."""

    type: Open[_NoiseReductionType] | None = None
    strength: float | None = None


class ReportedTranscription(Inbound):
    """The transcription in use."""

    model: TranscriptionModel | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Open[_Delay] | None = None


class ReportedServerVad(Inbound):
    """Server VAD with its defaults filled in."""

    type: Literal["server_vad"]
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class ReportedSemanticVad(Inbound):
    """Semantic VAD with its defaults filled in."""

    type: Literal["semantic_vad"]
    eagerness: Open[_Eagerness] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class UnknownTurnDetection(Unknown):
    """Turn detection of a kind that this version does not know."""


ReportedTurnDetection: TypeAlias = Annotated[
    Annotated[ReportedServerVad | ReportedSemanticVad, Field(discriminator="type")] | UnknownTurnDetection,
    Field(union_mode="left_to_right"),
]


class ReportedAudioInput(Inbound):
    """What becomes of the caller's audio."""

    format: ReportedFormat | None = None
    noise_reduction: ReportedNoiseReduction | None = None
    transcription: ReportedTranscription | None = None
    turn_detection: ReportedTurnDetection | None = None
    """None means that responses start only when asked for."""


class ReportedCustomVoice(Inbound):
    """A voice of the account's own."""

    id: str


class UnknownVoice(Unknown):
    """A voice given in a way that this version does not know."""


ReportedVoice: TypeAlias = Annotated[Voice | ReportedCustomVoice | UnknownVoice, Field(union_mode="left_to_right")]


class ReportedAudioOutput(Inbound):
    """How the model sounds."""

    format: ReportedFormat | None = None
    voice: ReportedVoice | None = None
    speed: float | None = None


class ReportedAudio(Inbound):
    """The audio of a session that speaks."""

    input: ReportedAudioInput | None = None
    output: ReportedAudioOutput | None = None


class ReportedTranscriptionAudio(Inbound):
    """The audio of a session that only transcribes."""

    input: ReportedAudioInput | None = None


# --- what the service reports: tools ----------------------------------------------------------------------------------


class ReportedFunctionTool(Inbound):
    """A function that the model may call."""

    type: Literal["function"]
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ReportedToolFilter(Inbound):
    """Some of an MCP server's tools."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class ReportedApprovalFilter(Inbound):
    """Which of an MCP server's tools need an approval, and which do not."""

    always: ReportedToolFilter | None = None
    never: ReportedToolFilter | None = None


class UnknownMcpSetting(Unknown):
    """A setting of an MCP server given in a way that this version does not know."""


class ReportedMcpTool(Inbound):
    """An MCP server whose tools the model may call."""

    type: Literal["mcp"]
    server_label: str
    server_url: str | None = None
    connector_id: Open[_Connector] | None = None
    tunnel_id: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    server_description: str | None = None
    allowed_tools: (
        Annotated[list[str] | ReportedToolFilter | UnknownMcpSetting, Field(union_mode="left_to_right")] | None
    ) = None
    require_approval: (
        Annotated[Open[_Approval] | ReportedApprovalFilter | UnknownMcpSetting, Field(union_mode="left_to_right")]
        | None
    ) = None
    allowed_callers: list[Open[_Caller]] | None = None
    defer_loading: bool | None = None


class UnknownTool(Unknown):
    """A tool of a kind that this version does not know."""


ReportedTool: TypeAlias = Annotated[
    Annotated[ReportedFunctionTool | ReportedMcpTool, Field(discriminator="type")] | UnknownTool,
    Field(union_mode="left_to_right"),
]


class ReportedToolChoiceFunction(Inbound):
    """The model has to call this function."""

    type: Literal["function"]
    name: str


class ReportedToolChoiceMcp(Inbound):
    """The model has to call a tool of this MCP server."""

    type: Literal["mcp"]
    server_label: str
    name: str | None = None


class UnknownToolChoice(Unknown):
    """A choice of a kind that this version does not know."""


ReportedToolChoice: TypeAlias = Annotated[
    Open[_ToolChoiceMode]
    | Annotated[ReportedToolChoiceFunction | ReportedToolChoiceMcp, Field(discriminator="type")]
    | UnknownToolChoice,
    Field(union_mode="left_to_right"),
]


# --- what the service reports: the rest of a session ------------------------------------------------------------------


class ReportedReasoning(Inbound):
    """How hard the model thinks."""

    effort: Open[_Effort] | None = None


class ReportedPrompt(Inbound):
    """The stored prompt in use."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class ReportedTracing(Inbound):
    """How the session is named on the traces dashboard."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class UnknownTracing(Unknown):
    """Tracing given in a way that this version does not know."""


class ReportedTokenLimits(Inbound):
    """Limits of what is kept when the conversation is truncated."""

    post_instructions: int | None = None


class ReportedRetentionRatio(Inbound):
    """How much is kept when the conversation is truncated."""

    type: Literal["retention_ratio"]
    retention_ratio: float
    token_limits: ReportedTokenLimits | None = None


class UnknownTruncation(Unknown):
    """Truncation of a kind that this version does not know."""


class ReportedRealtimeSession(Inbound):
    """A session that listens and speaks, as it is, with every default filled in."""

    type: Literal["realtime"]
    id: str | None = None
    """`sess_...`"""
    object: Open[Literal["realtime.session"]] | None = None
    expires_at: int | None = None
    """When the service ends the session, in Unix seconds. A session lasts 60 minutes at most."""
    model: RealtimeModel | None = None
    instructions: str | None = None
    output_modalities: list[Open[_Modality]] | None = None
    max_output_tokens: int | Open[Literal["inf"]] | None = None
    audio: ReportedAudio | None = None
    tools: list[ReportedTool] | None = None
    tool_choice: ReportedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReportedReasoning | None = None
    prompt: ReportedPrompt | None = None
    tracing: (
        Annotated[Open[Literal["auto"]] | ReportedTracing | UnknownTracing, Field(union_mode="left_to_right")] | None
    ) = None
    truncation: (
        Annotated[
            Open[Literal["auto", "disabled"]] | ReportedRetentionRatio | UnknownTruncation,
            Field(union_mode="left_to_right"),
        ]
        | None
    ) = None
    include: list[Open[_Include]] | None = None


class ReportedTranscriptionSession(Inbound):
    """A session that only transcribes, as it is, with every default filled in."""

    type: Literal["transcription"]
    id: str | None = None
    object: Open[Literal["realtime.transcription_session"]] | None = None
    expires_at: int | None = None
    """When the service ends the session, in Unix seconds."""
    audio: ReportedTranscriptionAudio | None = None
    include: list[Open[_Include]] | None = None


class UnknownSession(Unknown):
    """A session of a kind that this version does not know, or with a field that is not valid."""

    @property
    def expires_at(self) -> int | None:
        """When the service ends the session, in Unix seconds, or None if it does not say."""
        value = (self.__pydantic_extra__ or {}).get("expires_at")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


ReportedSession: TypeAlias = Annotated[
    Annotated[ReportedRealtimeSession | ReportedTranscriptionSession, Field(discriminator="type")] | UnknownSession,
    Field(union_mode="left_to_right"),
]
"""The session of `session.created`, `session.updated` and of a new client secret."""
