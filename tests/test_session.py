"""Sessions and responses to send: what the service states is checked here, before a caller hears silence."""

from __future__ import annotations

import contextlib
import warnings
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from realtime_sip import beta
from realtime_sip._wire import checked
from realtime_sip.errors import BetaShapeError, InvalidRequestError
from realtime_sip.events import SessionUpdate
from realtime_sip.items import AssistantMessage, ItemReference, OutputText, SystemMessage, UserMessage
from realtime_sip.prompts import Instructions, Language, ReasoningRules, Role
from realtime_sip.response import ResponseConfig
from realtime_sip.session import (
    MODEL_SHUTDOWNS,
    AudioConfig,
    AudioInput,
    AudioOutput,
    AudioPcm,
    CustomVoice,
    FunctionTool,
    McpTool,
    ModelDeprecationWarning,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    StoredPromptWarning,
    Transcription,
    TranscriptionAudioConfig,
    TranscriptionAudioInput,
    TranscriptionSession,
    check_tool_choice,
    checked_session,
)


def _input(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def _vad(**fields: Any) -> dict[str, Any]:
    return _input(turn_detection={"type": "server_vad", **fields})


def _mcp(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "mcp", "server_label": "shop", **fields}]}


# --- a session is pleasant to write -----------------------------------------------------------------------------------


def test_models_and_plain_dicts_are_the_same_session() -> None:
    written = RealtimeSession(
        model="gpt-realtime-2.1",
        instructions="You answer for a bakery.",
        audio=AudioConfig(
            input=AudioInput(transcription=Transcription(model="gpt-transcribe"), turn_detection=SemanticVad()),
            output=AudioOutput(voice="marin"),
        ),
        tools=[FunctionTool(name="opening_hours")],
        truncation="auto",
    )
    plain = {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "You answer for a bakery.",
        "audio": {
            "input": {"transcription": {"model": "gpt-transcribe"}, "turn_detection": {"type": "semantic_vad"}},
            "output": {"voice": "marin"},
        },
        "tools": [{"type": "function", "name": "opening_hours"}],
        "truncation": "auto",
    }
    assert written.to_wire() == plain
    assert RealtimeSession.model_validate(plain) == written
    assert checked_session(plain).to_wire() == plain


def test_absent_is_not_null_turn_detection_can_be_turned_off() -> None:
    off = RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=None)))
    assert off.to_wire() == {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    default = RealtimeSession(audio=AudioConfig(input=AudioInput()))
    assert default.to_wire() == {"type": "realtime", "audio": {"input": {}}}


def test_a_dict_without_a_type_is_a_realtime_session() -> None:
    assert checked_session({"instructions": "Hi."}).to_wire() == {"type": "realtime", "instructions": "Hi."}
    assert isinstance(checked_session({"type": "transcription"}), TranscriptionSession)
    session = RealtimeSession()
    assert checked_session(session) is session
    with pytest.raises(InvalidRequestError, match="type"):
        checked_session({"type": "translation"})


def test_new_models_and_voices_need_no_new_version() -> None:
    session = RealtimeSession(model="gpt-realtime-9", audio=AudioConfig(output=AudioOutput(voice="nova")))
    assert session.to_wire()["model"] == "gpt-realtime-9"
    own = AudioOutput(voice=CustomVoice(id="voice_1"))
    assert own.to_wire() == AudioOutput.model_validate({"voice": {"id": "voice_1"}}).to_wire()


@pytest.mark.parametrize("voice", ["marin", "a-new-one", {"id": "voice_1"}, CustomVoice(id="voice_1")])
def test_a_voice_is_a_name_or_the_id_of_ones_own_wherever_it_goes(voice: Any) -> None:
    wire = voice if isinstance(voice, (str, dict)) else {"id": "voice_1"}
    audio = {"audio": {"output": {"voice": voice}}}
    for model in (RealtimeSession, ResponseConfig):
        assert checked(model, audio, what="x").to_wire()["audio"] == {"output": {"voice": wire}}
    for wrong in ("", " ", {"id": ""}, {"name": "x"}, {}, 7):
        for model in (RealtimeSession, ResponseConfig):
            with pytest.raises(InvalidRequestError, match="voice"):
                checked(model, {"audio": {"output": {"voice": wrong}}}, what="x")


def test_messages_of_one_text_are_short_to_write() -> None:
    assert UserMessage.text("hi").to_wire()["content"] == [{"type": "input_text", "text": "hi"}]
    assert SystemMessage.text("hi").to_wire()["role"] == "system"
    assert AssistantMessage.text("hi") == AssistantMessage(content=[OutputText(text="hi")])


def test_a_message_is_sent_with_the_phase_that_it_had_and_with_no_other() -> None:
    said = [OutputText(text="One moment.")]
    assert "phase" not in AssistantMessage(content=said).to_wire()
    assert AssistantMessage(content=said, phase="commentary").to_wire()["phase"] == "commentary"
    with pytest.raises(InvalidRequestError, match="phase"):
        checked(AssistantMessage, {"content": said, "phase": "aside"}, what="message")
    with pytest.raises(InvalidRequestError, match="phase: Unknown field"):
        checked(UserMessage, {"content": [], "phase": "commentary"}, what="message")


def test_pcm_is_never_sent_without_its_rate() -> None:
    assert AudioPcm().to_wire() == {"type": "audio/pcm", "rate": 24000}
    session = RealtimeSession.model_validate(_input(format={"type": "audio/pcm"}))
    assert session.to_wire()["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}


# --- strict out: ranges and closed sets -------------------------------------------------------------------------------

RIGHT: list[dict[str, Any]] = [
    {"audio": {"output": {"speed": 0.25}}},
    {"audio": {"output": {"speed": 1.5}}},
    _vad(threshold=0),
    _vad(threshold=1),
    _vad(idle_timeout_ms=5000),
    _vad(idle_timeout_ms=30000),
    _vad(idle_timeout_ms=None),
    _input(noise_reduction={"type": "far_field", "strength": 2}),
    _input(noise_reduction=None),
    _input(format={"type": "audio/pcmu"}),
    {"max_output_tokens": 1},
    {"max_output_tokens": 32_000},
    {"max_output_tokens": "inf"},
    {"output_modalities": ["text"]},
    {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 0}}},
    {"truncation": "disabled"},
    {"tracing": {"workflow_name": "calls", "metadata": {"tier": "gold"}}},
    {"tracing": None},
    {"tool_choice": "required"},
    {"tool_choice": {"type": "function", "name": "x"}},
    {"tool_choice": {"type": "mcp", "server_label": "shop"}},
    {"reasoning": {"effort": "xhigh"}, "parallel_tool_calls": True},
    {
        "prompt": {
            "id": "pmpt_1",
            "version": "2",
            "variables": {"name": "x", "doc": {"type": "input_text", "text": "y"}},
        }
    },
    {"include": ["item.input_audio_transcription.logprobs"]},
    _mcp(server_url="https://shop.example", allowed_tools=["find"], require_approval="never"),
    _mcp(connector_id="connector_gmail", allowed_tools={"read_only": True}),
    _mcp(tunnel_id="tunnel_1", require_approval={"always": {"tool_names": ["buy"]}, "never": {"read_only": True}}),
]

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("audio.output.speed", {"audio": {"output": {"speed": 0.2}}}),
    ("audio.output.speed", {"audio": {"output": {"speed": 1.6}}}),
    ("audio.output.speed", {"audio": {"output": {"speed": float("nan")}}}),
    ("audio.input.turn_detection.threshold", _vad(threshold=1.1)),
    ("audio.input.turn_detection.threshold", _vad(threshold=-0.1)),
    ("audio.input.turn_detection.idle_timeout_ms", _vad(idle_timeout_ms=4999)),
    ("audio.input.turn_detection.idle_timeout_ms", _vad(idle_timeout_ms=30001)),
    ("audio.input.turn_detection.silence_duration_ms", _vad(silence_duration_ms=-1)),
    (
        "audio.input.turn_detection.idle_timeout_ms",
        _input(turn_detection={"type": "semantic_vad", "idle_timeout_ms": 6000}),
    ),
    ("audio.input.turn_detection", _input(turn_detection={"threshold": 0.5})),
    ("audio.input.turn_detection", _input(turn_detection={"type": "magic_vad"})),
    ("audio.input.noise_reduction.type", _input(noise_reduction={"type": "loud"})),
    ("audio.input.format.rate", _input(format={"type": "audio/pcm", "rate": 8000})),
    ("max_output_tokens", {"max_output_tokens": 0}),
    ("max_output_tokens", {"max_output_tokens": 32_001}),
    ("output_modalities", {"output_modalities": []}),
    ("output_modalities", {"output_modalities": ["audio", "text"]}),
    ("output_modalities.0", {"output_modalities": ["video"]}),
    ("truncation.retention_ratio", {"truncation": {"type": "retention_ratio", "retention_ratio": 1.01}}),
    ("tool_choice", {"tool_choice": {"type": "anything"}}),
    ("reasoning.effort", {"reasoning": {"effort": "none"}}),
    ("include.0", {"include": ["everything"]}),
    ("tools.0.name", {"tools": [{"type": "function"}]}),
    ("tools.0.strict", {"tools": [{"type": "function", "name": "x", "strict": True}]}),
    ("tools.0", {"tools": [{"name": "x"}]}),
    ("tools.0", _mcp()),
    ("tools.0", _mcp(server_url="https://shop.example", tunnel_id="tunnel_1")),
    ("tools.0.connector_id", _mcp(connector_id="connector_fax")),
    ("tools.0.require_approval", _mcp(server_url="https://shop.example", require_approval="sometimes")),
    ("instruction", {"instruction": "Hi."}),
    ("type", {"type": "transcription"}),
]


@pytest.mark.filterwarnings("ignore::realtime_sip.session.StoredPromptWarning")
@pytest.mark.parametrize("fields", RIGHT)
def test_strict_out_what_the_service_states_is_let_through(fields: dict[str, Any]) -> None:
    assert RealtimeSession.model_validate(fields).to_wire() == {"type": "realtime", **fields}


@pytest.mark.parametrize(("place", "fields"), WRONG)
def test_strict_out_what_the_service_refuses_is_refused_here(place: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked(RealtimeSession, fields, what="session")
    assert place in [place for place, _ in caught.value.problems]
    assert not isinstance(caught.value, BetaShapeError)


# --- strict out: transcription ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-realtime-whisper", "delay": "low", "language": "en"},
        {"model": "gpt-transcribe", "keywords": ["Koeln"], "languages": ["de", "en"], "prompt": "a bakery"},
        {"model": "gpt-live-transcribe", "keywords": []},
        {"language": "en"},
        {"delay": "low", "keywords": ["x"]},
        {"model": "gpt-transcribe-9", "delay": "low", "keywords": ["x"]},
    ],
)
def test_strict_out_transcription_fields_go_with_their_models(fields: dict[str, Any]) -> None:
    assert Transcription.model_validate(fields).to_wire() == fields


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("gpt-transcribe", "delay", "low"),
        ("gpt-realtime-whisper", "keywords", ["x"]),
        ("gpt-realtime-whisper", "languages", ["en"]),
        ("gpt-realtime-whisper", "prompt", "a bakery"),
        ("gpt-transcribe", "languages", []),
    ],
)
def test_strict_out_transcription_fields_of_other_models_are_refused(model: str, field: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=field):
        checked(RealtimeSession, _input(transcription={"model": model, field: value}), what="session")


@pytest.mark.filterwarnings("ignore::realtime_sip.session.ModelDeprecationWarning")
def test_strict_out_a_diarizing_model_takes_no_prompt() -> None:
    with pytest.raises(ValidationError, match="prompt does not go with the model gpt-4o-transcribe-diarize"):
        Transcription(model="gpt-4o-transcribe-diarize", prompt="a bakery")
    assert Transcription(model="gpt-4o-transcribe", prompt="a bakery").prompt == "a bakery"


def test_strict_out_whisper_has_no_turn_detection_in_a_transcription_session() -> None:
    whisper = Transcription(model="gpt-realtime-whisper")
    with pytest.raises(ValidationError, match="set turn_detection to None"):
        TranscriptionAudioInput(transcription=whisper)
    with pytest.raises(ValidationError, match="set turn_detection to None"):
        TranscriptionAudioInput(transcription=whisper, turn_detection=ServerVad())
    right = TranscriptionAudioInput(transcription=whisper, turn_detection=None)
    assert TranscriptionSession(audio=TranscriptionAudioConfig(input=right)).to_wire() == {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}, "turn_detection": None}},
    }
    # A session that speaks takes both, as recorded sessions show.
    assert AudioInput(transcription=whisper, turn_detection=ServerVad()).turn_detection == ServerVad()


# --- beta shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", beta.SESSION_FIELDS)
def test_beta_shapes_are_refused_in_sessions(name: str) -> None:
    for kind, table in (("realtime", beta.SESSION_FIELDS), ("transcription", beta.TRANSCRIPTION_FIELDS)):
        current = table[name]
        with pytest.raises(BetaShapeError) as caught:
            checked_session({"type": kind, name: None})
        assert (f"it is {current} now" if current else "it was removed") in str(caught.value)


@pytest.mark.parametrize("name", beta.RESPONSE_FIELDS)
def test_beta_shapes_are_refused_in_responses(name: str) -> None:
    with pytest.raises(BetaShapeError, match=f"'{name}' is a name of the beta API"):
        checked(ResponseConfig, {name: None}, what="response")


@pytest.mark.parametrize("name", beta.AUDIO_FORMATS)
def test_beta_shapes_are_refused_as_audio_formats(name: str) -> None:
    with pytest.raises(BetaShapeError) as caught:
        checked_session(_input(format=name))
    assert repr(dict(beta.AUDIO_FORMATS[name])) in str(caught.value)


@pytest.mark.parametrize("name", beta.CONTENT_TYPES)
def test_beta_shapes_are_refused_as_content_and_what_is_advised_is_taken(name: str) -> None:
    with pytest.raises(BetaShapeError, match="it is output_text now"):
        checked(AssistantMessage, {"content": [{"type": name}]}, what="message")
    checked(AssistantMessage, {"content": [{"type": "output_text", "text": "Hello."}]}, what="message")


def test_the_current_names_of_the_beta_tables_are_accepted() -> None:
    values: dict[str, Any] = {
        "audio.input.format": dict(beta.AUDIO_FORMATS["g711_ulaw"]),
        "audio.input.noise_reduction": None,
        "audio.input.transcription": None,
        "audio.input.turn_detection": None,
        "audio.output.format": dict(beta.AUDIO_FORMATS["pcm16"]),
        "audio.output.speed": 1,
        "audio.output.voice": "marin",
        "max_output_tokens": "inf",
        "output_modalities": ["audio"],
    }
    for model, names in ((RealtimeSession, beta.SESSION_FIELDS), (ResponseConfig, beta.RESPONSE_FIELDS)):
        for current in filter(None, names.values()):
            fields: Any = values[current]
            for step in reversed(current.split(".")):
                fields = {step: fields}
            assert model.model_validate(fields).to_wire().items() >= fields.items()


# --- models that end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-mini-2025-12-15", "gpt-audio-mini"])
def test_a_model_that_ends_is_warned_of_with_its_date(model: str) -> None:
    with pytest.warns(ModelDeprecationWarning, match=f"{model} will be shut down on 2027-01-20") as caught:
        RealtimeSession(model=model)
    assert caught[0].filename == __file__


def test_a_transcription_model_that_ends_is_warned_of() -> None:
    with pytest.warns(ModelDeprecationWarning, match="whisper-1 will be shut down on 2027-02-26"):
        checked_session(_input(transcription={"model": "whisper-1"}))


def test_current_models_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in ("gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-realtime-2", "gpt-realtime-1.5"):
            RealtimeSession(model=model)
        for model in ("gpt-transcribe", "gpt-live-transcribe", "gpt-realtime-whisper"):
            Transcription(model=model)
    assert set(MODEL_SHUTDOWNS.values()) == {date(2027, 1, 20), date(2027, 2, 26)}


def test_the_warning_is_of_a_kind_that_is_shown_by_default() -> None:
    assert issubclass(ModelDeprecationWarning, FutureWarning)
    assert issubclass(StoredPromptWarning, FutureWarning)


@pytest.mark.parametrize(
    "prompt", [{"id": "pmpt_1"}, {"id": "pmpt_1", "version": "3", "variables": {"city": "Berlin"}}]
)
def test_a_stored_prompt_is_sent_as_it_is_with_a_warning_that_names_the_day(prompt: dict[str, Any]) -> None:
    with pytest.warns(StoredPromptWarning, match="stored prompts will be shut down on 2026-11-30") as caught:
        session = RealtimeSession.model_validate({"prompt": prompt})
    assert session.to_wire() == {"type": "realtime", "prompt": prompt}
    assert caught[0].filename == __file__
    assert RealtimeSession(prompt=None).to_wire() == {"type": "realtime", "prompt": None}


# --- responses --------------------------------------------------------------------------------------------------------


def test_a_response_may_have_its_own_context() -> None:
    config = ResponseConfig(
        conversation="none",
        input=[ItemReference(id="item_1"), UserMessage.text("Sum it up.")],
        output_modalities=["text"],
        metadata={"purpose": "summary"},
        tools=[McpTool(server_label="shop", tunnel_id="tunnel_1")],
    )
    assert config.to_wire() == {
        "conversation": "none",
        "input": [
            {"type": "item_reference", "id": "item_1"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Sum it up."}]},
        ],
        "output_modalities": ["text"],
        "metadata": {"purpose": "summary"},
        "tools": [{"type": "mcp", "server_label": "shop", "tunnel_id": "tunnel_1"}],
    }


@pytest.mark.parametrize(
    ("metadata", "fits"),
    [
        ({}, True),
        ({str(n): "v" for n in range(16)}, True),
        ({str(n): "v" for n in range(17)}, False),
        ({"k" * 64: "v" * 512}, True),
        ({"k" * 65: "v"}, False),
        ({"k": "v" * 513}, False),
        ({"k": 7}, False),
    ],
)
def test_strict_out_metadata_has_limits(metadata: dict[str, Any], fits: bool) -> None:
    if fits:
        assert checked(ResponseConfig, {"metadata": metadata}, what="response").metadata == metadata
    else:
        with pytest.raises(InvalidRequestError, match="metadata"):
            checked(ResponseConfig, {"metadata": metadata}, what="response")


# --- what cannot be ---------------------------------------------------------------------------------------------------


def _tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "name": "hours", **fields}]}


def _shop(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "mcp", "server_label": "shop", "server_url": "https://shop.example/mcp", **fields}]}


@pytest.mark.parametrize(
    ("session", "why"),
    [
        (_tool(name=""), "tools.0.name"),
        (_tool(name="opening hours"), "tools.0.name"),
        (_tool(name="hours\n"), "tools.0.name"),
        ({"tools": [*_tool()["tools"], *_tool()["tools"]]}, "two tools with the name hours"),
        ({"tools": [*_shop()["tools"], *_shop()["tools"]]}, "two tools with the name server shop"),
        (_shop(server_url="shop"), "tools.0.server_url"),
        (_shop(server_url="ftp://shop.example"), "tools.0.server_url"),
        (_shop(server_url="https://"), "tools.0.server_url"),
        (_shop(server_url="https://[shop"), "tools.0.server_url"),
        (_shop(server_label=""), "tools.0.server_label"),
        ({"model": None}, "cannot be null"),
        ({"model": ""}, "model"),
        ({"audio": {"output": {"voice": ""}}}, "audio.output.voice"),
        ({"audio": {"output": {"voice": {"id": " "}}}}, "audio.output.voice"),
        ({"audio": {"input": {"transcription": {"model": ""}}}}, "audio.input.transcription.model"),
        ({"audio": {"output": {"speed": True}}}, "audio.output.speed"),
        ({"audio": {"output": {"speed": "1.0"}}}, "audio.output.speed"),
        ({"max_output_tokens": "100"}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        (_input(turn_detection={"type": "server_vad", "threshold": "0.5"}), "audio.input.turn_detection.threshold"),
        (_input(turn_detection={"type": "server_vad", "silence_duration_ms": True}), "silence_duration_ms"),
        (_input(turn_detection={"type": "server_vad", "create_response": "false"}), "create_response"),
    ],
)
def test_law_what_cannot_be_is_refused_before_it_is_sent(session: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why):
        checked_session(session)


def test_a_whole_number_is_a_number() -> None:
    assert checked_session({"audio": {"output": {"speed": 1}}}).to_wire()["audio"] == {"output": {"speed": 1}}


@pytest.mark.parametrize("name", ["Öffnungszeiten", "x" * 65, "shop.hours"])
def test_an_unusual_name_of_a_tool_is_sent_with_a_warning(name: str) -> None:
    with pytest.warns(UserWarning, match="may be refused"):
        assert checked_session(_tool(name=name)).to_wire()["tools"][0]["name"] == name


@pytest.mark.filterwarnings("ignore::realtime_sip.session.StoredPromptWarning")
@pytest.mark.parametrize(
    ("session", "there"),
    [
        (_tool() | {"tool_choice": {"type": "function", "name": "hours"}}, True),
        (_tool() | {"tool_choice": {"type": "function", "name": "prices"}}, False),
        ({"tool_choice": {"type": "function", "name": "prices"}}, False),
        ({"tool_choice": {"type": "function", "name": "prices"}, "prompt": {"id": "pmpt_1"}}, True),
        (_shop() | {"tool_choice": {"type": "mcp", "server_label": "shop"}}, True),
        (_tool() | {"tool_choice": {"type": "mcp", "server_label": "shop"}}, False),
        (_tool() | {"tool_choice": "required"}, True),
    ],
)
def test_a_choice_of_a_tool_that_is_not_there_is_refused(session: dict[str, Any], there: bool) -> None:
    with contextlib.nullcontext() if there else pytest.raises(InvalidRequestError, match="tool_choice"):
        check_tool_choice(RealtimeSession.model_validate(session))


# --- structured instructions ------------------------------------------------------------------------------------------

STRUCTURED = Instructions(Role("You answer for a bakery."), ReasoningRules(), Language("en", switch="mirror"))


@pytest.mark.parametrize("model", ["gpt-realtime-1.5", "gpt-realtime-2.1"])
def test_a_session_takes_structured_instructions_and_sends_them_as_text_for_its_model(model: str) -> None:
    session = RealtimeSession(model=model, instructions=STRUCTURED)
    assert session.instructions is STRUCTURED
    assert session.to_wire()["instructions"] == STRUCTURED.render(model)
    assert SessionUpdate(session=session).to_wire()["session"]["instructions"] == STRUCTURED.render(model)
    assert checked_session({"model": model, "instructions": STRUCTURED}).to_wire() == session.to_wire()
    assert "bakery" not in repr(session)
    assert RealtimeSession(model=model, instructions=STRUCTURED) == session


def test_an_update_without_a_model_sends_what_the_newest_models_read_unless_the_model_is_named() -> None:
    session = RealtimeSession(instructions=STRUCTURED)
    assert session.to_wire()["instructions"] == STRUCTURED.render()
    assert session.instructions_text("gpt-realtime-1.5") == STRUCTURED.render("gpt-realtime-1.5")
    assert RealtimeSession(instructions="Be brief.").instructions_text() == "Be brief."
    assert RealtimeSession().instructions_text() is None
    assert "instructions" not in RealtimeSession().to_wire()


@pytest.mark.parametrize("wrong", [5, ["Be brief."], {"role": "x"}, Role("You are a clerk.")])
def test_what_are_no_instructions_are_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        checked(RealtimeSession, {"type": "realtime", "instructions": wrong}, what="session")
    assert [place for place, _ in refused.value.problems] == ["instructions"]
