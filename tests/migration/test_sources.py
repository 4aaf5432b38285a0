"""What `migrate` finds in sources: each form that code of the beta is seen in, and what must not alarm."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip import beta
from realtime_sip.migration import json_text, sources
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import Finding, Level

ROOT = Path(__file__).resolve().parents[2]
OPENAI = "import openai  # the Realtime API\n"
SESSION = '{"modalities": ["text", "audio"], "voice": "sage", "input_audio_format": "g711_ulaw"}'


def found(text: str, name: str = "a.py", tmp: Path | None = None, **options: Any) -> list[Finding]:
    path = (tmp or Path("/nowhere")) / name
    if tmp is not None:
        path.write_text(text, encoding="utf-8")
        return sources.findings(path, **options)
    return sources.of_text(path, text, **options)


def shown(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.level), str(finding.hit.rule)) for finding in findings]


# --- Python: the forms that are seen in public code -------------------------------------------------------------------

FORMS: dict[str, tuple[str, str, str]] = {
    "header, a key": ('h = {"OpenAI-Beta": "realtime=v1"}', "header", "leave it out"),
    "header, any case": ('h = {"openai-beta": "realtime=v1"}', "header", "leave it out"),
    "header, a line": ('h = ["OpenAI-Beta: realtime=v1"]', "header", "leave it out"),
    "header, a tuple": ('h = [("OpenAI-Beta", "realtime=v1")]', "header", "leave it out"),
    "header, two arguments": ('request.add_header("OpenAI-Beta", "realtime=v1")', "header", "leave it out"),
    "header, in a constant": ('V = "realtime=v1"\nh = {"OpenAI-Beta": V}', "header", "leave it out"),
    "subprotocol": ('p = ["realtime", "openai-beta.realtime-v1"]', "header", "leave it out"),
    "endpoint": ('u = "https://api.openai.com/v1/realtime/sessions"', "endpoint", "/realtime/client_secrets now"),
    "endpoint, computed": ('u = f"{BASE}/realtime/transcription_sessions"', "endpoint", "client_secrets now"),
    "SDP": ('u = f"https://api.openai.com/v1/realtime?model={m}"', "endpoint", "posted to /v1/realtime/calls now"),
    "SDK, connect": ("client.beta.realtime.connect(model=m)", "sdk", ".realtime.connect now"),
    "SDK, alone": ("rt = client.beta.realtime", "sdk", ".realtime now"),
    "SDK, keys": ("client.beta.realtime.sessions.create(model=m)", "sdk", ".realtime.client_secrets.create now"),
    "SDK, import": ("from openai.types.beta.realtime import Session", "sdk", "openai.types.realtime now"),
    "SDK, module": ("import openai.resources.beta.realtime.realtime", "sdk", "openai.resources.realtime now"),
    "event, compared": ('if t == "response.audio.delta": pass', "event-name", "response.output_audio.delta now"),
    "event, matched": (
        'match t:\n    case "response.text.done": pass',
        "event-name",
        "response.output_text.done now",
    ),
    "event, in a table": ('on = {"response.audio_transcript.delta": f}', "event-name", "output_audio_transcript.delta"),
    "events, by a beginning": ('if t.startswith("response.audio."): pass', "event-name", "response.output_audio.* now"),
    "session.update": ('e = {"type": "session.update", "session": ' + SESSION + "}", "shape", "session.update"),
    "session.update, through a variable": (
        f's = {SESSION}\nsend({{"type": "session.update", "session": s}})',
        "shape",
        "session.update",
    ),
    "session.update, through an attribute": (
        f'class A:\n  def f(self):\n    self.cfg = {SESSION}\n    s({{"type": "session.update", "session": self.cfg}})',
        "shape",
        "session.update",
    ),
    "session.update, by dict()": ('dict(type="session.update", session=dict(voice="sage"))', "shape", "session.update"),
    "session.update, as JSON": (
        """ws.send('{"type": "session.update", "session": {"voice": "sage"}}')""",
        "shape",
        "session.update",
    ),
    "session.update, without a type": (
        '{"type": "session.update", "session": {"instructions": "x"}}',
        "shape",
        "without session.type",
    ),
    "session.update, a call": (f"conn.session.update(session={SESSION})", "shape", "session.update"),
    "session.update, a call with a variable": (
        f"s = {SESSION}\nawait conn.session.update(session=s)",
        "shape",
        "session.update",
    ),
    "transcription_session.update": (
        '{"type": "transcription_session.update", "session": {"input_audio_format": "pcm16"}}',
        "shape",
        "transcription_session.update",
    ),
    "response.create": (
        '{"type": "response.create", "response": {"modalities": ["text"]}}',
        "shape",
        "response.create",
    ),
    "response.create, a call": (
        'conn.response.create(response={"modalities": ["text"]})',
        "shape",
        "response.create",
    ),
    "an assistant's message": (
        '{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi."}]}',
        "shape",
        "assistant",
    ),
    "fields by themselves": (f"SETTINGS = {SESSION}", "shape", "a session"),
    "half moved": ('{"type": "realtime", "model": m, "voice": "sage"}', "shape", "a session"),
    "assigned": ('e["session"]["voice"] = "sage"', "shape", "audio.output.voice now"),
    "the key of the reply": ('key = reply["client_secret"]["value"]', "secret", 'reply["value"] now'),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_once_and_is_an_error(form: str) -> None:
    code, rule, what = FORMS[form]
    findings = [finding for finding in found(OPENAI + code) if finding.hit.rule == rule]
    if form == "SDK, keys":
        assert [finding.hit.rule for finding in findings] == ["sdk"]
    assert [finding.level for finding in findings] == [Level.ERROR], shown(found(OPENAI + code))
    assert what in findings[0].hit.what
    others = [finding for finding in found(OPENAI + code) if finding.hit.rule not in (rule, "event-name", "shape")]
    assert others == []


@pytest.mark.parametrize("name", beta.PYTHON_NAMES)
def test_row_a_name_of_the_vendors_package(name: str) -> None:
    code = f"import {name}" if name.startswith("openai.") else f"client.{name}()"
    (finding,) = found(OPENAI + code)
    assert (finding.level, finding.hit.now) == (
        Level.ERROR,
        ("" if "openai" in name else ".") + beta.PYTHON_NAMES[name],
    )


def test_row_the_subprotocol() -> None:
    (finding,) = found(f"{OPENAI}p = [{beta.SUBPROTOCOL!r}]")
    assert finding.level is Level.ERROR


@pytest.mark.parametrize("name", [*beta.CLIENT_EVENT_TYPES, *beta.SERVER_EVENT_TYPES])
def test_row_the_name_of_an_event(name: str) -> None:
    (finding,) = found(f"{OPENAI}if kind == {name!r}: pass")
    assert (finding.level, finding.line, finding.column) == (Level.ERROR, 2, 12)
    assert finding.hit.now == {**beta.CLIENT_EVENT_TYPES, **beta.SERVER_EVENT_TYPES}[name]


def test_the_current_form_stands_beside_the_finding_as_source() -> None:
    code = OPENAI + 'send({"type": "session.update", "session": {"voice": VOICE, "turn_detection": None, **MORE}})'
    (finding,) = found(code)
    assert finding.hit.now == (
        "{'type': 'session.update',\n 'session': {'type': 'realtime',\n             '**': MORE,\n             "
        "'audio': {'output': {'voice': VOICE}, 'input': {'turn_detection': None}}}}"
    )
    assert finding.hit.changes == (
        "session.voice: moved to session.audio.output.voice",
        "session.turn_detection: moved to session.audio.input.turn_detection",
    )


def test_what_is_not_known_whole_may_have_its_type_elsewhere() -> None:
    assert found(OPENAI + 'send({"type": "session.update", "session": {"instructions": x, **base}})') == []
    assert found(OPENAI + 'send({"type": "session.update", "session": session_of(caller)})') == []


def test_a_name_is_what_was_assigned_to_it_last() -> None:
    code = """
def one():
    s = {"type": "realtime"}
    send({"type": "session.update", "session": s})
def two():
    s = {"voice": "sage"}
    send({"type": "session.update", "session": s})
"""
    assert [finding.line for finding in found(OPENAI + code)] == [8]


def test_models_of_the_beta_and_stored_prompts_are_notes() -> None:
    findings = found(OPENAI + 'connect(model="gpt-4o-mini-realtime-preview-2024-12-17")\np = {"id": "pmpt_123"}')
    assert shown(findings) == [("note", "model"), ("note", "prompt")]
    assert "gpt-realtime-2.1-mini" in findings[0].hit.what
    assert "2026-11-30" in findings[1].hit.what


def test_models_are_judged_by_the_days_that_the_service_names() -> None:
    code = OPENAI + 'm = ["gpt-realtime", "gpt-realtime-2.1", "gpt-4o-realtime-preview", "gpt-audio-9", "whisper-1"]'
    ends = {"gpt-realtime": date(2999, 1, 20), "gpt-realtime-2.1": None, "whisper-1": date(2020, 2, 26)}
    findings = found(code, shutdowns=ends)
    assert [(str(finding.level), finding.hit.what) for finding in findings] == [
        ("note", "gpt-realtime will be shut down on 2999-01-20"),
        ("note", "gpt-4o-realtime-preview is a model of the beta; gpt-realtime-2.1 is what is nearest"),
        ("note", "gpt-audio-9 is not among the models of this key"),
        ("error", "whisper-1 was shut down on 2020-02-26"),
    ]
    assert shown(found(code)) == [("note", "model")]


# --- what must not alarm ----------------------------------------------------------------------------------------------

SILENT: dict[str, str] = {
    "a variable with the name of a word": '{"type": message, "role": "assistant", "content": [{"type": text}]}',
    "a part with the name of a word": '{"type": "message", "role": "assistant", "content": [{"type": text}]}',
    "a format by a variable": '{"type": "realtime", "audio": {"input": {"format": pcm16}}}',
    "modalities by variables": '{"type": "realtime", "output_modalities": [text, audio]}',
    "Chat Completions": 'client.chat.completions.create(modalities=["text", "audio"], audio={"voice": "alloy"}, x=m)',
    "Chat Completions, a dict": '{"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}',
    "speech": '{"model": "tts-1", "voice": "alloy", "speed": 1.1, "input": "Hi.", "temperature": 1}',
    "Responses": '{"model": "gpt-5", "temperature": 0.2, "tool_choice": {"type": "function", "name": "f"}}',
    "Assistants": 'h = {"OpenAI-Beta": "assistants=v2"}',
    "Twilio": 'response.say("Hi.", voice="Polly.Joanna")',
    "chat, content": '{"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}',
    "a docstring": '"""Sends OpenAI-Beta: realtime=v1."""\ndef f():\n    "response.audio.delta"',
    "a comment": "# client.beta.realtime.connect, response.audio.delta",
    "a session": '{"type": "realtime", "output_modalities": ["audio"], "audio": {"output": {"voice": "marin"}}}',
    "an event": 'if t == "response.output_audio.delta": pass',
    "an update": 'conn.session.update(session={"type": "realtime", "instructions": "x"})',
    "a message": '{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}',
    "the socket": 'u = "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"',
    "the calls": 'u = "https://api.openai.com/v1/realtime/calls"',
    "another resource": 'u = f"https://api.openai.com/v1/realtime/sessions/{i}"',
    "assigned elsewhere": 'request["voice"] = "alloy"',
    "another thing that is beta": "client.beta.threads.create()",
    "our own update": 'await call.update({"audio": {"output": {"speed": 1.2}}}, instructions="x")',
    "the Agents SDK": 'from agents.realtime import RealtimeRunner\nc = {"model_settings": {"modalities": ["audio"], '
    '"voice": "ash", "input_audio_format": "pcm16", "turn_detection": {"type": "semantic_vad"}}}',
}


@pytest.mark.parametrize("probe", SILENT)
def test_what_is_right_is_silent(probe: str) -> None:
    assert [finding.hit.what for finding in found(OPENAI + SILENT[probe])] == []


OTHERS = {
    "Azure Voice Live": 'URL = "wss://x.services.ai.azure.com/voice-live/realtime?api-version=2025-10-01"',
    "xAI": 'URL = "wss://api.x.ai/v1/realtime"',
    "NVIDIA": "import nvidia_riva  # NVIDIA's realtime transcription",
    "xAI, by its key": 'KEY = os.environ["XAI_API_KEY"]',
    "Qwen": 'URL = "wss://dashscope.aliyuncs.com/api-ws/v1/realtime"',
    "Azure, preview": 'URL = "wss://x.openai.azure.com/openai/realtime?api-version=2024-10-01-preview&deployment=y"',
    "Azure, preview, by its client": 'c = AsyncAzureOpenAI(api_version="2025-04-01-preview")',
    "nobody": "",
}


@pytest.mark.parametrize("other", OTHERS)
def test_shapes_that_another_service_has_kept_are_notes(other: str) -> None:
    openai = OPENAI if other != "nobody" else ""
    code = f'{openai}{OTHERS[other]}\nsend({{"type": "session.update", "session": {SESSION}}})\n'
    assert shown(found(code)) == [("note", "shape")]


@pytest.mark.parametrize(
    "words", ["an NVIDIA GPU", "Qwen and Llama", "explainable AI (XAI)", "to grok it", "a voice lives"]
)
def test_words_that_name_no_realtime_api_leave_an_error_as_it_is(words: str) -> None:
    assert shown(found(f'{OPENAI}# {words}\nh = {{"OpenAI-Beta": "realtime=v1"}}')) == [("error", "header")]


def test_a_reader_of_both_names_is_a_note() -> None:
    code = OPENAI + 'if t in ("response.audio.delta", "response.output_audio.delta"): pass'
    assert shown(found(code)) == [("note", "event-name")]
    code = OPENAI + 'if t.startswith(("response.audio.", "response.output_audio.")): pass'
    assert shown(found(code)) == [("note", "event-name")]


def test_events_that_the_responses_api_has_too_are_a_note() -> None:
    code = 'import openai\nif event.type == "response.audio.delta": pass\nh = {"OpenAI-Beta": FEATURES}'
    assert shown(found(code)) == [("note", "event-name")]


def test_a_header_whose_value_is_not_known_is_a_note() -> None:
    assert shown(found(OPENAI + 'h = {"OpenAI-Beta": FEATURES}')) == [("note", "header")]


def test_a_message_of_anthropic_is_a_note() -> None:
    message = '{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi."}]}'
    assert shown(found(f"{OPENAI}import anthropic\nm = {message}")) == [("note", "shape")]
    log = f'{{"openai": 1, "anthropic": {message}}}'
    assert shown(found(log, "a.json")) == [("note", "shape")]
    assert json_text.rewritten(log, Evidence.of(log, data=True)) is None


def test_a_route_of_ones_own_is_a_note() -> None:
    assert shown(found(OPENAI + '@app.post("/realtime/sessions")\ndef f(): ...')) == [("note", "endpoint")]


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "examples").rglob("*.*")),
        *(path for path in sorted((ROOT / "src").rglob("*.py")) if "migration" not in path.parts),
        *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "migration.md"),
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_sources_of_this_repository_are_silent(path: Path) -> None:
    # Where the names of the beta are listed, they are names of models, and the table itself.
    if path.suffix not in sources.SUFFIXES or path.name in ("beta.py", "session.py"):
        return
    assert [f"{finding.place}: {finding.hit.what}" for finding in sources.findings(path)] == []


# --- properties -------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=15,
)


@given(values, st.sampled_from([None, 0, 2, "\t"]))
def test_each_value_of_a_json_text_has_its_place(value: Any, indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent)
    places = json_text._places(text)

    def check(below: Any, path: tuple[str | int, ...]) -> None:
        assert json.JSONDecoder().raw_decode(text, places[path])[0] == below
        entries = below.items() if isinstance(below, dict) else enumerate(below) if isinstance(below, list) else ()
        for name, each in entries:
            check(each, (*path, name))

    check(value, ())


@given(st.text(max_size=60))
@pytest.mark.parametrize("name", ["a.py", "a.json", "a.js", "a.md", "a.ipynb"])
def test_any_text_can_be_looked_through(name: str, text: str) -> None:
    for each in (text, f"```\n{text}\n```", f'"{text}"'):
        found(each, name)


# --- other kinds of files ---------------------------------------------------------------------------------------------

SCRIPT = """
import { OpenAIRealtimeWS } from "openai/beta/realtime/ws";
const url = "https://api.openai.com/v1/realtime";           // the comment says response.audio.done
const sdp = await fetch(`${url}?model=gpt-4o-realtime-preview`, { headers: { "Content-Type": "application/sdp" } });
const ws = new WebSocket(u, ["realtime", "openai-beta.realtime-v1"]);
const h = { "OpenAI-Beta": "realtime=v1" };
const key = data.client_secret.value;
ws.send(JSON.stringify({ type: "session.update", session: { input_audio_format: "pcm16" } }));
dc.onmessage = (e) => { if (JSON.parse(e.data).type === 'response.audio.delta') play(e); };
type Session = { input_audio_format?: string };
"""


@pytest.mark.parametrize("name", ["a.js", "a.ts", "a.tsx", "a.mjs", "a.html"])
def test_a_script_is_read_by_its_literals(name: str) -> None:
    findings = found(SCRIPT, name)
    assert [(finding.line, *pair) for finding, pair in zip(findings, shown(findings), strict=True)] == [
        (2, "error", "sdk"),
        (3, "error", "endpoint"),
        (4, "note", "model"),
        (5, "error", "header"),
        (6, "error", "header"),
        (7, "error", "secret"),
        (8, "error", "shape"),
        (9, "error", "event-name"),
    ]


def test_a_script_of_the_current_api_is_silent() -> None:
    code = """const base = "https://api.openai.com/v1/realtime/calls"; const key = data.value; // openai
    dc.send(JSON.stringify({ type: "session.update", session: { type: "realtime" } }));"""
    assert found(code, "a.js") == []


def test_json_is_found_with_its_place() -> None:
    text = '[\n  {"a": 1},\n  {"x": {"type": "session.update", "session": {"voice": "sage"}}}\n]\n'
    (finding,) = found(text, "a.json")
    assert (finding.level, finding.line, finding.column) == (Level.ERROR, 3, 9)
    assert finding.hit.now["session"] == {"type": "realtime", "audio": {"output": {"voice": "sage"}}}
    assert shown(found(SESSION, "a.json")) == [("note", "shape")]
    assert shown(found('{"headers": {"OpenAI-Beta": "realtime=v1"}}', "a.json")) == [("error", "header")]
    assert shown(found('{"object": "realtime.session", "voice": "x", "client_secret": {"value": "e"}}', "a.json")) == [
        ("error", "shape")
    ]


def test_a_notebook_is_read_by_its_cells() -> None:
    cells = [
        {"cell_type": "markdown", "source": "response.audio.delta"},
        {"cell_type": "code", "source": ["%pip install openai\n", "!ls\n", "client.beta.realtime.connect()\n"]},
        {"cell_type": "code", "source": "%%bash\ncurl -H 'OpenAI-Beta: realtime=v1' x"},
    ]
    findings = found(json.dumps({"cells": cells}), "a.ipynb")
    assert [finding.place for finding in findings] == ["/nowhere/a.ipynb:cell 2:3:1", "/nowhere/a.ipynb:cell 3:2:9"]


PAGE = """# Realtime calls with OpenAI

The old way was `OpenAI-Beta: realtime=v1`.

```python
client.beta.realtime.connect()
```

- In JSON:

  ```json
  {"type": "response.create",
   "response": {"modalities": ["text"]}}
  ```

```js
ws.on("response.audio.done", f);
```

```sh
curl https://api.openai.com/v1/realtime/sessions \\
  -H "OpenAI-Beta: realtime=v1"
```

~~~
POST https://api.openai.com/v1/realtime/client_secrets
~~~

```
POST https://api.openai.com/v1/realtime/sessions
OpenAI-Beta: realtime=v1
```

```
{"type": "response.create", "response": {"temperature": 0.8}}
```

```
send({"type": "response.create", "response": {"temperature": 0.8}})
```

```
ws ──▶ {"type": "response.audio.delta"} ──▶ play
```
"""


def test_a_page_is_read_by_its_fenced_code() -> None:
    findings = found(PAGE, "a.md")
    assert [(finding.line, *pair) for finding, pair in zip(findings, shown(findings), strict=True)] == [
        (6, "error", "sdk"),
        (12, "error", "shape"),
        (17, "error", "event-name"),
        (21, "error", "endpoint"),
        (22, "error", "header"),
        (30, "error", "endpoint"),
        (31, "error", "header"),
        (35, "error", "shape"),
        (39, "error", "shape"),
        (43, "error", "event-name"),
    ]
    assert findings[1].column == 3


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.py", "print 'OpenAI'", "not Python"),
        ("a.py", "x = " + "(" * 5000 + ")" * 5000, "not Python"),
        ("a.py", "x = 1\0", "not Python"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100 + "]" * 100, "not JSON"),
        ("a.ipynb", "{", "not JSON"),
    ],
)
def test_what_cannot_be_read_is_a_note(name: str, text: str, why: str) -> None:
    (finding,) = found(text, name)
    assert (finding.level, finding.hit.rule) == (Level.NOTE, "unread")
    assert why in finding.hit.what


@pytest.mark.parametrize("text", ["[]", "null", '{"cells": 7}', '{"cells": [7, {"cell_type": "code"}]}'])
def test_a_notebook_that_is_none_is_empty(text: str) -> None:
    assert found(text, "a.ipynb") == []


def test_a_file_that_is_too_large_or_gone_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    assert "larger than" in found("x = 1234567890", tmp=tmp_path)[0].hit.what
    assert "cannot be opened" in sources.findings(tmp_path / "gone.py")[0].hit.what


def test_folders_are_walked_in_order_without_what_is_hidden_or_installed(tmp_path: Path) -> None:
    for name in ("b/x.py", "a.py", "node_modules/x.js", ".venv/x.py", "c.txt", "b/__pycache__/y.py", "b/z.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert [str(path.relative_to(tmp_path)) for path in sources.files(tmp_path)] == ["a.py", "b/x.py", "b/z.json"]
    with pytest.raises(FileNotFoundError):
        list(sources.files(tmp_path / "gone"))
