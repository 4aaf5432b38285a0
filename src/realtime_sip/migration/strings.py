"""What a string in a source says: headers, addresses, names of events and models of the beta."""

from __future__ import annotations

import re
from collections.abc import Iterator

from realtime_sip import beta
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import MENTIONED, Hit, Rule
from realtime_sip.prompts.instructions import STORED_PROMPTS_END

HOLE = "\0"
"""What stands in a string for a part that is computed."""

_END = r"(?=$|[?#\s\"'`\\])"
_KEYS = re.compile(rf"(?P<v1>/?v1)?(?P<path>{'|'.join(map(re.escape, beta.ENDPOINTS))}){_END}")
_SDP = re.compile(rf"https?://[^\s\"'`]*openai[^\s\"'`]*/v1{beta.SDP_ENDPOINT[0]}(?=$|[?\s\"'`])")
_HEADER_LINE = re.compile(rf"\s*{beta.HEADER}\s*:\s*{beta.HEADER_VALUE}\s*", re.IGNORECASE)
_PREFIXES = ("response.audio.", "response.audio_transcript.", "response.text.", "transcription_session.")
_PREVIEW = re.compile(r"gpt-4o-(?:mini-)?realtime-preview(?:-\d{4}-\d{2}-\d{2})?")
_MODEL = re.compile(r"gpt-(?:4o-|4o-mini-)?(?:realtime|audio|transcribe|live)[\w.-]*|whisper-1")
_STORED = re.compile(r"pmpt_\w+")
_MODULES = re.compile(r"openai/(?:resources/)?beta/realtime\b")
_CURRENT = {name: now for names in (beta.CLIENT_EVENT_TYPES, beta.SERVER_EVENT_TYPES) for name, now in names.items()}


def hits(text: str, source: Evidence) -> Iterator[Hit]:
    """Yield what a string is found to be, with `HOLE` in it for what is computed.

    A source that knows the current name of an event too may be a reader of both.
    """
    if _HEADER_LINE.fullmatch(text):
        yield header()
    if text == beta.SUBPROTOCOL:
        yield Hit(Rule.HEADER, f"the subprotocol {beta.SUBPROTOCOL} asked for the beta; leave it out")
    yield from _addresses(text, source)
    if text in _CURRENT:
        # A source that sends or waits for both names goes on working; and the Responses API has some of them.
        tolerant = _CURRENT[text] in source.text and not text.startswith("transcription_session.")
        sure = not tolerant and source.realtime
        yield Hit(Rule.EVENT_NAME, f"the event {text} is {_CURRENT[text]} now", _CURRENT[text], sure=sure)
    for match in _PREVIEW.finditer(text):
        yield model(match.group())
    if _MODEL.fullmatch(text) and not _PREVIEW.fullmatch(text):
        yield Hit(Rule.MODEL, MENTIONED, sure=False, model=text)
    if _STORED.fullmatch(text):
        what = f"stored prompts end on {STORED_PROMPTS_END}; put their text into instructions"
        yield Hit(Rule.PROMPT, what, sure=False)
    if _MODULES.match(text):
        yield Hit(Rule.SDK, "the module is of the beta", text.replace("/beta/", "/"))


def header() -> Hit:
    """Return that the header of the beta was found."""
    return Hit(Rule.HEADER, f"the header {beta.HEADER}: {beta.HEADER_VALUE} is refused; leave it out")


def is_header(name: str) -> bool:
    """Whether a string is the name of the beta's header."""
    return name.strip().lower() == beta.HEADER.lower()


def prefix(text: str, source: Evidence) -> Hit | None:
    """Return what the beginning of event names, with which strings are compared, is found to be."""
    if text not in _PREFIXES:
        return None
    now = text.replace("response.", "response.output_").replace("transcription_session.", "session.")
    sure = now not in source.text and source.realtime
    return Hit(Rule.EVENT_NAME, f"events {text}* are {now}* now", now, sure=sure)


def model(name: str) -> Hit:
    """Return that a model of the beta is named."""
    nearest = beta.MODELS.get(name) or ("gpt-realtime-2.1-mini" if "-mini-" in name else "gpt-realtime-2.1")
    return Hit(Rule.MODEL, f"{name} is a model of the beta; {nearest} is what is nearest", sure=False, model=name)


def _addresses(text: str, source: Evidence) -> Iterator[Hit]:
    for match in _KEYS.finditer(text):
        path = match["path"]
        now = text[: match.start("path")] + beta.ENDPOINTS[path] + text[match.end("path") :]
        # Without the version it may be a route of the program's own.
        sure = bool(match["v1"]) or "openai" in text or HOLE in text[: match.start("path")]
        what = f"the endpoint {path} is {beta.ENDPOINTS[path]} now; the fields of the session stand below session"
        yield Hit(Rule.ENDPOINT, what, now.replace(HOLE, "…"), sure=sure)
    sdp = _SDP.search(text)
    if sdp is not None and "call_id=" not in text:
        before, path = beta.SDP_ENDPOINT
        what = f"SDP is posted to /v1{path} now; wss://…/v1{before}?model=… stays"
        # The address alone may have its scheme replaced by wss: later on.
        sure = text[sdp.end() :].startswith("?model=") or "application/sdp" in source.text
        now = text[: sdp.end() - len(before)] + path + text[sdp.end() :].partition("?model=")[0]
        yield Hit(Rule.ENDPOINT, what, now.replace(HOLE, "…"), sure=sure)
