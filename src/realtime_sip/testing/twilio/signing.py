"""Twilio's signatures, written from their description alone, so that what verifies them has a second opinion."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Literal

__all__ = ["body_hash", "signature"]


def signature(
    token: str, url: str, form: Iterable[tuple[str, str]] = (), *, algorithm: Literal["sha1", "sha256"] = "sha1"
) -> str:
    """Return `X-Twilio-Signature` for a request to `url`, which is written exactly as it is requested.

    `form` has the fields of a form's body, in any order. Names are sorted; so are the values of a repeated name, and
    equal ones count once. Each is written as its name and its value, with nothing in between. A JSON body is not in it:
    the URL has its hash (`body_hash`) as `bodySHA256`. The algorithm of the account's token is "sha1", that of a shared
    key "sha256".

    >>> signature("12345", "https://example.com/myapp.php?foo=1&bar=2", [("Digits", "1234"), ("CallSid", "CA1234")])
    'aL1kVWMyv7g8jHIYrnTCoctQVpg='
    """
    fields = sorted(set(form))
    text = url + "".join(name + value for name, value in fields)
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), algorithm)).decode()


def body_hash(body: bytes) -> str:
    """Return `bodySHA256` of a body."""
    return hashlib.sha256(body).hexdigest()
