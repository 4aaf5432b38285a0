"""What of the beta is in JavaScript, TypeScript, pages and shell commands: by literals alone, without a parser."""

from __future__ import annotations

import re
from collections.abc import Iterator

from realtime_sip import beta
from realtime_sip.migration import strings
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import Hit, Rule

_QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"
# Strings first, so that the slashes of an address begin no comment.
_TOKENS = re.compile(rf"(?P<string>{_QUOTED})|(?P<comment>//[^\n]*|/\*.*?\*/|<!--.*?-->)", re.DOTALL)
_HEADER = re.compile(rf"(?P<q>[\"'`])\s*{beta.HEADER}\s*(?P=q)\]?\s*[:,=]\s*[\"'`]\s*realtime", re.IGNORECASE)
_KEY = re.compile(rf"(?<![\w.$])[\"']?(?P<name>{'|'.join(sorted(beta.DISTINCTIVE))})[\"']?\s*:")
_BETA = re.compile(r"(?<=\w)\.beta\.realtime\b")
_SECRET = re.compile(r"\bclient_secret\??\.value\b|\[[\"']client_secret[\"']\]\??\.?(?:value\b|\[[\"']value[\"']\])")
_HOLES = re.compile(r"\$\{[^{}]*\}")
_TALKS = ("session.update", "response.create", "/realtime")
_LINE_HEADER = re.compile(rf"{beta.HEADER}\s*:\s*{beta.HEADER_VALUE}", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s\"'`<>]+")


def scan(text: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    """Yield each hit in a script or page with its line and column, from 1."""
    plain = list(text)
    for token in _TOKENS.finditer(text):
        if token["comment"] is not None:
            plain[token.start() : token.end()] = [c if c == "\n" else " " for c in token.group()]
    code = "".join(plain)
    for token in _TOKENS.finditer(text):
        if token["string"] is not None:
            for hit in strings.hits(_HOLES.sub(strings.HOLE, token.group()[1:-1]), source):
                yield (*_place(text, token.start()), hit)
    talks = any(word in text for word in _TALKS)
    for match in _HEADER.finditer(code):
        yield (*_place(text, match.start()), strings.header())
    for match in _BETA.finditer(code):
        yield (*_place(text, match.start()), Hit(Rule.SDK, ".beta.realtime is .realtime now", ".realtime"))
    for match in _SECRET.finditer(code):
        yield (*_place(text, match.start()), Hit(Rule.SECRET, "the key is .value of the reply now", ".value"))
    for match in () if source.agents else _KEY.finditer(code):
        name, now = match["name"], beta.SESSION_FIELDS[match["name"]]
        yield (*_place(text, match.start()), Hit(Rule.SHAPE, f"{name} is {now} now", now, sure=talks))


def scan_lines(text: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    """Yield each hit in text that quotes nothing, such as a request as it is sent, or a shell command."""
    for match in _LINE_HEADER.finditer(text):
        yield (*_place(text, match.start()), strings.header())
    for match in _ADDRESS.finditer(text):
        for hit in strings.hits(match.group(), source):
            yield (*_place(text, match.start()), hit)


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
