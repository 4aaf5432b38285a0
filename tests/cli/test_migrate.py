"""The command `realtime-sip migrate`: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from realtime_sip.cli import main

UPDATE = {"type": "session.update", "session": {"voice": "sage", "turn_detection": None, "instructions": "Olá."}}
CURRENT = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "instructions": "Olá.",
        "audio": {"output": {"voice": "sage"}, "input": {"turn_detection": None}},
    },
}


def test_it_prints_the_place_the_changes_and_the_current_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.py"
    path.write_text('import openai\n\nsend({"type": "session.update", "session": {"voice": v}})\n')
    assert main(["migrate", str(tmp_path)]) == 1
    out = capsys.readouterr()
    assert out.out == (
        f"{path}:3:6: error: session.update in the shape of the beta [shape]\n"
        '    session.type: added; a session says whether it speaks ("realtime") or only transcribes '
        '("transcription")\n'
        "    session.voice: moved to session.audio.output.voice\n"
        "  now:\n"
        "    {'type': 'session.update', 'session': {'type': 'realtime', 'audio': {'output': {'voice': v}}}}\n"
    )
    assert out.err == "1 error, 0 notes in 1 file\n"


def test_notes_alone_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text('m = "gpt-4o-realtime-preview"\n')
    assert main(["migrate", str(tmp_path / "a.py")]) == 0
    assert ": note: gpt-4o-realtime-preview is a model of the beta" in capsys.readouterr().out


def test_a_path_that_is_not_there_could_not_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(tmp_path / "gone")]) == 2
    assert "there is no file or folder" in capsys.readouterr().err


def test_json_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps(UPDATE))
    assert main(["migrate", "--json", str(tmp_path)]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding == {
        "path": str(tmp_path / "a.json"),
        "line": 1,
        "column": 1,
        "level": "error",
        "rule": "shape",
        "what": "session.update in the shape of the beta",
        "changes": [
            'session.type: added; a session says whether it speaks ("realtime") or only transcribes ("transcription")',
            "session.voice: moved to session.audio.output.voice",
            "session.turn_detection: moved to session.audio.input.turn_detection",
        ],
        "now": CURRENT,
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (json.dumps(UPDATE, indent=2) + "\n", json.dumps(CURRENT, indent=2) + "\n"),
        (json.dumps([1, {"x": UPDATE}]), json.dumps([1, {"x": CURRENT}])),
        (json.dumps(UPDATE, indent="\t", ensure_ascii=False), json.dumps(CURRENT, indent="\t", ensure_ascii=False)),
        (
            json.dumps(UPDATE, indent=4).replace("\n", "\r\n") + "\r\n",
            json.dumps(CURRENT, indent=4).replace("\n", "\r\n") + "\r\n",
        ),
    ],
)
def test_write_puts_the_current_objects_into_json(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(before.encode())
    path.chmod(0o640)
    assert main(["migrate", "--write", str(tmp_path)]) == 0
    assert path.read_bytes().decode() == after
    assert path.stat().st_mode & 0o777 == 0o640
    assert main(["migrate", "--write", str(tmp_path)]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_write_leaves_everything_else_alone(tmp_path: Path) -> None:
    event = json.dumps(UPDATE)
    texts = {
        "a.py": f"import openai\ntrue = null = None\nsend({event})\n",
        "b.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": f"import openai\nnull = 0\nsend({event})"}]}),
        "c.md": f"OpenAI\n\n```json\n{event}\n```\n",
        "d.js": 'send({type: "session.update"}); const h = {"OpenAI-Beta": "realtime=v1"}; // openai\n',
        "twice.json": event.replace('"voice"', '"voice": "ash", "voice"'),
        "other.json": event.replace('"sage"', '"grok-voice"'),
        "loose.json": '{"voice": "sage", "input_audio_format": "pcm16"}',
        "broken.json": event[:-1],
        "current.json": json.dumps(CURRENT),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link.json").symlink_to(tmp_path / "twice.json")
    assert main(["migrate", "--write", str(tmp_path)]) == 1
    assert {name: (tmp_path / name).read_text() for name in texts} == texts
    assert (tmp_path / "link.json").is_symlink()


@pytest.fixture
def models() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert (self.path, self.headers["authorization"]) == ("/v1/models", "Bearer sk-test")
            listed = [{"id": "gpt-realtime", "shutdown_date": "2020-01-20"}, {"id": "gpt-realtime-2.1"}]
            body = json.dumps({"object": "list", "data": listed}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def test_models_are_asked_for_with_a_key(
    tmp_path: Path, models: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text('a, b = "gpt-realtime", "gpt-realtime-2.1"\n')
    monkeypatch.setenv("OPENAI_BASE_URL", models)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["migrate", "--models", str(tmp_path)]) == 2
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert main(["migrate", "--models", str(tmp_path)]) == 1
    assert ": error: gpt-realtime was shut down on 2020-01-20" in capsys.readouterr().out
    assert main(["migrate", str(tmp_path)]) == 0
