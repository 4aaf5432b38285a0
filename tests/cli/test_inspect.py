"""`realtime-sip inspect`: a log in the terminal, as a page in a real browser, and as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from browser import browser
from logged import logged_call
from realtime_sip.call.record.timeline import Speech, Timeline, ToolRun, timeline
from realtime_sip.cli import main
from realtime_sip.event_log import read_event_log
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays, read_scenario


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return logged_call(tmp_path_factory.mktemp("logs"), redact=False)


def test_a_log_or_a_folder_of_them_is_shown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(log)]) == 0
    shown = capsys.readouterr().out
    assert main(["inspect", str(log.parent)]) == 0
    assert capsys.readouterr().out == shown
    lines = shown.splitlines()
    (question,) = (line for line in lines if "Where is my order?" in line)
    assert "caller" in question
    (tool,) = (line for line in lines if "order_status" in line and "→" in line)
    assert "1042 left yesterday." in tool
    assert any("[interrupted]" in line for line in lines)
    assert any(line.startswith("waits") for line in lines)
    assert any(line.startswith("cost") and "$" in line for line in lines)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "inspect.md"
ON_THE_PAGE = (
    ModelSays("Good morning, this is the shop. How can I help you?"),
    CallerSays("Hello. Where is my order one zero four two?"),
    ModelCalls("order_status", {"order_id": "1042"}),
    ModelSays("It left our warehouse yesterday and will be with you tomorrow before noon."),
    CallerSays("Cancel it!", interrupting=True, after=2.0),
    ModelCalls("cancel_order", {}),
    ModelSays("That did not work."),
    CallerHangsUp(),
)


def test_the_page_shows_what_is_printed_of_such_a_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(
        r"^\$ realtime-sip inspect calls/\n(.+?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    log = logged_call(tmp_path, redact=False, scenario=ON_THE_PAGE)
    # Which call it was, and when, is the page's.
    call_id, moment = shown.splitlines()[:2]
    first, *entries = log.read_text("utf-8").splitlines()
    began = datetime.strptime(moment.partition(" UTC")[0] + "+0000", "%Y-%m-%d %H:%M:%S%z").timestamp()
    header = json.dumps(json.loads(first) | {"call_id": call_id, "started_at": began})
    log.write_text("\n".join([header, *entries, ""]), "utf-8")
    assert main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().out == shown


def test_json_has_all_of_it(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(log), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ended"]["reason"] == "caller"
    assert [row["kind"] for row in told["rows"]].count("tool") == 2
    assert told["rows"][1]["words"] == "Good morning, this is the shop."
    assert told["rows"][1]["words_characters"] == 31
    assert told["tokens"]["audio_out"] > 0


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\x00\xff", b'{"realtime_sip_event_log": 99}\n'])
def test_what_is_no_log_is_said_in_one_line(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    assert main(["inspect", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("realtime-sip: ")
    assert told.err.count("\n") == 1


def test_two_logs_in_one_file_are_told_apart(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "both.jsonl"
    path.write_bytes(2 * log.read_bytes())
    assert main(["inspect", str(path)]) == 2
    lines = log.read_bytes().count(b"\n")
    assert f"line {lines + 1} of the event log begins another log" in capsys.readouterr().err


@pytest.mark.parametrize("at", [9e11, -9e11])
@pytest.mark.parametrize("shape", ["text", "--json", "--html", "--scenario"])
def test_a_log_with_impossible_times_is_shown_all_the_same(
    at: float, shape: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "log.jsonl", tmp_path / "out"
    odd = json.dumps({"at": at, "from": "call", "event": {"type": "call.started"}})
    header, *entries = log.read_text("utf-8").splitlines()
    path.write_text("\n".join([header, odd, *entries, odd, ""]), "utf-8")
    options = [] if shape == "text" else [shape] if shape == "--json" else [shape, str(out)]
    assert main(["inspect", str(path), *options]) == 0
    assert len(capsys.readouterr().out) < 10_000
    if shape == "--html":
        assert len(out.read_text("utf-8")) < 20_000


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202eabc\x1b[31m\u0645\r\nnext"


def test_what_a_caller_says_is_text_in_the_page_and_obeyed_by_no_terminal(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "log.jsonl", tmp_path / "out.html"
    text = log.read_text("utf-8").replace("Where is my order?", json.dumps(HOSTILE)[1:-1])
    path.write_text(text.replace("order_status", "<b>order</b>"), "utf-8")
    assert main(["inspect", str(path), "--html", str(out)]) == 0
    page = out.read_text("utf-8")
    assert "&lt;script&gt;" in page
    assert not re.search(r"<(script|img|b>order)|\x1b|\u202e", page)
    assert main(["inspect", str(path)]) == 0
    assert not re.search(r"\x1b|\u202e|\r", capsys.readouterr().out)


def test_an_empty_folder_and_a_page_that_cannot_be_written_are_said(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tmp_path)]) == 2
    assert "has no event log" in capsys.readouterr().err
    assert main(["inspect", str(log), "--html", str(tmp_path / "none" / "page.html")]) == 2
    assert "cannot write the page" in capsys.readouterr().err


def test_whoever_stops_reading_gets_no_traceback(log: Path) -> None:
    code = "import sys; from realtime_sip.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, "inspect", str(log), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        told = program.stderr.read()
    assert told == b""


@pytest.mark.pages
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole_in_a_browser_and_asks_for_nothing(
    log: Path, width: int, dark: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    assert main(["inspect", str(log), "--html", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    with browser() as page:
        page.open(path.as_uri(), width=width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelectorAll('li').length") >= 8
        overlapping = """
            [...document.querySelectorAll('li')].filter(row => {
                const parts = [...row.children].map(part => part.getBoundingClientRect()).filter(box => box.width);
                return parts.some((a, i) => parts.some((b, k) => i < k && a.right > b.left + 1 && b.right > a.left + 1
                    && a.bottom > b.top + 1 && b.bottom > a.top + 1));
            }).length
        """
        assert page.evaluate(overlapping) == 0
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(paper.removeprefix("rgb(").partition(",")[0]) < 60) is dark
        assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
        assert page.complaints == []


@pytest.mark.parametrize("redact", [False, True], ids=["with words", "redacted"])
def test_a_log_becomes_a_scenario_that_plays_the_same_call_again(
    redact: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = logged_call(tmp_path / "first", redact=redact)
    path = tmp_path / "call.jsonl"
    assert main(["inspect", str(first), "--scenario", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{path}\n"
    assert ("order_status" in told.err) is redact
    steps = read_scenario(path)
    if redact:
        # As the command says, the arguments are to be filled in.
        steps = [replace(step, arguments={"order_id": "1042"}) if step == LOOKUP else step for step in steps]
    again = timeline(read_event_log(logged_call(tmp_path / "again", redact=redact, scenario=steps)))
    before = timeline(read_event_log(first))
    assert shape(again) == shape(before)


LOOKUP = ModelCalls("order_status", "{}")


def shape(course: Timeline) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for row in course.rows:
        if isinstance(row, Speech):
            rows.append((row.by, row.interrupted, row.words and row.words.characters // 10))
        elif isinstance(row, ToolRun):
            rows.append((row.name, row.end is not None))
    return rows
