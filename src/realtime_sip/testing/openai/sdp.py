"""The WebRTC side of creating a call: the offer that comes in, and an answer that no media follows."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from realtime_sip.testing.openai.frames import Refusal
from realtime_sip.testing.openai.server import Request

__all__ = ["SDP_ANSWER", "answer_to", "offer_and_session"]

_HEAD = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0")
SDP_ANSWER = "\r\n".join(
    (
        *_HEAD,
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=rtpmap:111 opus/48000/2",
        "a=inactive",
        "",
    )
)
"""An SDP answer (RFC 8866) without transport: the emulator has no media."""

_MAX_PARTS = 10
_MAX_MEDIA = 20


def answer_to(offer: str) -> str:
    """Return an answer that a browser takes: it rejects each medium of the offer (RFC 3264 6).

    To an offer without any it is `SDP_ANSWER`.
    """
    lines: list[str] = []
    for line in offer.splitlines():
        if line.startswith("m=") and sum(each.startswith("m=") for each in lines) < _MAX_MEDIA:
            kind, _, rest = line.partition(" ")
            lines += [f"{kind} 0 {rest.partition(' ')[2]}", "c=IN IP4 0.0.0.0"]
        elif lines and line.startswith("a=mid:"):
            lines.append(line)
    return "\r\n".join([*_HEAD, *lines, ""]) if lines else SDP_ANSWER


def offer_and_session(request: Request) -> tuple[str, Any]:
    """Return the SDP offer, and the session or None.

    The body is multipart/form-data with the parts `sdp` and `session`, or the bare offer as application/sdp.

    Raises:
        Refusal: It is neither.
    """
    kind = request.header("content-type").partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return request.body.decode(errors="replace"), None
    if kind != "multipart/form-data":
        raise Refusal("Unsupported content type: expected multipart/form-data or application/sdp.", code=None)
    head = f"Content-Type: {request.header('content-type')}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    found: dict[str, str] = {}
    if message.is_multipart():
        for part in list(message.iter_parts())[:_MAX_PARTS]:
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                found[name] = payload.decode(errors="replace")
    if "sdp" not in found:
        raise Refusal("Missing required parameter: 'sdp'.", code="missing_required_parameter", param="sdp")
    if "session" not in found:
        return found["sdp"], None
    try:
        return found["sdp"], json.loads(found["session"])
    except (ValueError, RecursionError):
        raise Refusal("The session is no JSON.", code="invalid_json", param="session") from None
