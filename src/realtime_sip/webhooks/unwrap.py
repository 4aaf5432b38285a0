"""OpenAI's webhooks: proof that the service sent one, and its event.

The signature is that of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64. It proves who sent the
body. It proves nothing about the SIP headers inside, which whoever placed the call wrote; the context that our own
TwiML puts there has a signature of its own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from standardwebhooks import Webhook

from realtime_sip._redaction import miscopied
from realtime_sip._wire import read_json, without_lone_surrogates
from realtime_sip.errors import ConfigurationError, InvalidRequestError, WebhookPayloadError, WebhookVerificationError
from realtime_sip.sip.signed_context import ContextRefusal, ContextSigner
from realtime_sip.webhooks.events import (
    KNOWN,
    IncomingCall,
    UnknownWebhookEvent,
    WebhookEvent,
)
from realtime_sip.webhooks.received import TRACE, header_texts, names_of, read_headers, refuse, trace_context

logger = logging.getLogger("realtime_sip.webhooks")

MAX_BODY = 1024 * 1024
"""Bytes of a body at most."""

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
# Each header with the characters it may have at most.
_HEADERS = {_ID: 256, _TIMESTAMP: 12, _SIGNATURE: 4096}
_HEADER_NAMES = names_of([*_HEADERS, *TRACE])
_VERSIONS = ("v1,", "v1a,")
_PREFIX = re.compile("whsec_", re.IGNORECASE)
_NO_SECRETS = ("sk-", "ek_", "proj_", "org-")
_MAX_SIGNATURES = 20
_MAX_CALL_ID = 256

# Without a dot (so says Standard Webhooks), because the signed text is split at dots: a dot in the id would let a part
# of a signed body pass for the timestamp.
_SAFE_ID = re.compile(r"[!-\-/-~]+")
_LAST_SECOND = 253402300799  # of the year 9999, beyond which there is no datetime


def _unix_now() -> float:
    return time.time()  # looked up with each call, since tests replace it


class OpenAIWebhooks:
    """Checks and reads the webhooks of one or several endpoints.

    Args:
        secret: The signing secret that was shown when the endpoint was created. Several while a secret is rotated (the
            old one may stay valid for 24 hours), or a mapping of secret to project id for several projects; then
            `event.project` says whose secret it was. A secret that begins with `whsec_` is base64; any other is used as
            it is, as UTF-8 bytes, as the vendor's own package does.
        tolerance: Seconds by which a delivery's timestamp may differ from the clock, in either direction.
        clock: Returns Unix seconds.
        context_secret: The secret that signed the context in the headers of calls, or several while it is rotated; see
            `ContextSigner`. Without it the context of all calls is empty.

    Raises:
        ConfigurationError: A secret is empty or cannot be decoded, a context secret is too short, or the tolerance is
            not a positive number.

    Nothing is read from the environment. It can be shared between threads.

    >>> webhooks = OpenAIWebhooks("whsec_c2VjcmV0", clock=lambda: 1750287078)
    >>> body = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": []}}'
    >>> event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=1750287078))
    >>> event.call_id, event.webhook_id
    ('rtc_1', 'wh_1')
    """

    def __init__(
        self,
        secret: str | Sequence[str] | Mapping[str, str],
        *,
        tolerance: float = 300.0,
        clock: Callable[[], float] = _unix_now,
        context_secret: str | Sequence[str] | None = None,
    ) -> None:
        if not 0 < tolerance < math.inf:
            raise ConfigurationError("the tolerance of webhook timestamps is not a positive number of seconds")
        keys = [(_key(text), project) for text, project in _projects(secret)]
        if not keys:
            raise ConfigurationError("no webhook secret is given")
        if len({key for key, _ in keys}) < len(keys) and isinstance(secret, Mapping):
            raise ConfigurationError("two projects have the same webhook secret")
        self._keys = keys
        self._signer = Webhook(keys[0][0])
        self._tolerance = tolerance
        self._clock = clock
        self._contexts = ContextSigner(context_secret) if context_secret is not None else None

    def __repr__(self) -> str:
        return f"<OpenAIWebhooks secrets={len(self._keys)} tolerance={self._tolerance:g}>"

    def unwrap(self, body: bytes | str, headers: object) -> WebhookEvent:
        """Return the event, after proving that the service sent it.

        Args:
            body: The body as it was received. If it is parsed and written again, the signature no longer matches.
            headers: The request's headers, names in any case: the mapping of any framework (Django's `request.headers`
                or `META`, Flask, Starlette, AWS Lambda with single or multi values, text or bytes), or pairs.

        Raises:
            WebhookVerificationError: The service did not sign it, or not recently. `reason` is one of "body_type",
                "body_too_large", "body_encoding", "header_missing", "header_repeated", "header_malformed", "too_old",
                "too_new", "no_signature" (none of version v1), "too_many_signatures" and "no_match".
            WebhookPayloadError: Signed, but not an event. `reason` is one of "not_json" (also for JSON that is nested
                too deeply, or has a number that is too large), "not_object" and "no_type".

        A signed event of an unknown type, or one that lacks something, is an `UnknownWebhookEvent` and not an error. If
        the context of a call is forged, expired or broken, it is empty; the log says why.
        """
        data = _bytes(body)
        found = read_headers(headers, _HEADER_NAMES)
        received = _checked(found)
        timestamp = int(received[_TIMESTAMP])
        now = self._clock()
        age = now - timestamp
        if age > self._tolerance:
            refuse("the webhook was sent too long ago", "too_old")
        if age < -self._tolerance:
            refuse("the webhook's timestamp is in the future", "too_new")
        project = self._verify(data, received[_ID], timestamp, received[_SIGNATURE])
        event = _parse(data)
        event._note_delivery(webhook_id=received[_ID], timestamp=timestamp, project=project)
        if isinstance(event, IncomingCall):
            if "traceparent" in found:
                event._note_trace(trace_context(found))
            if self._contexts is not None:
                self._read_context(event, self._contexts, now)
        return event

    def sign(self, body: bytes | str, *, id: str, timestamp: float) -> dict[str, str]:  # noqa: A002 - its name
        """Return the headers with which the service would send `body`: for tests and emulators.

        Args:
            body: The body as it will be sent.
            id: The `webhook-id`: visible ASCII without a dot (Standard Webhooks).
            timestamp: Unix seconds; fractions are cut off.

        If there are several secrets, the first one signs.

        Raises:
            InvalidRequestError: The body is not UTF-8, or id or timestamp are not valid.
        """
        text = ""
        problems = []
        if not (_SAFE_ID.fullmatch(id) and len(id) <= _HEADERS[_ID]):
            problems.append(("id", "must be visible ASCII without a dot"))
        if not 1 <= timestamp <= _LAST_SECOND:
            problems.append(("timestamp", "must be Unix seconds"))
        try:
            text = body if isinstance(body, str) else body.decode()
            text.encode()
        except UnicodeError:
            problems.append(("body", "must be UTF-8"))
        if problems:
            raise InvalidRequestError("webhook", tuple(problems))
        seconds = math.floor(timestamp)
        signature = self._signer.sign(id, datetime.fromtimestamp(seconds, UTC), text)
        return {_ID: id, _TIMESTAMP: str(seconds), _SIGNATURE: signature}

    def derived_keys(self, purpose: bytes) -> list[bytes]:
        """Return a key of 32 bytes for each secret, in their order, for a purpose that no other key has."""
        return [hmac.digest(key, purpose, "sha256") for key, _ in self._keys]

    @staticmethod
    def _read_context(call: IncomingCall, contexts: ContextSigner, now: float) -> None:
        context = contexts.verify(call.sip, now=now)
        if isinstance(context, ContextRefusal):
            logger.warning("call %s: the context in its headers does not count: %s", call.call_id, context.value)
        elif context is not None:
            call._note_context(context)

    def _verify(self, body: bytes, webhook_id: str, timestamp: int, signatures: str) -> str | None:
        candidates = [part.encode() for part in signatures.split(" ") if part.startswith("v1,")]
        if not candidates:
            refuse("the webhook has no signature of version v1", "no_signature")
        if len(candidates) > _MAX_SIGNATURES:
            refuse("the webhook has too many signatures", "too_many_signatures")
        matches: list[str | None] = []
        # Every secret is tried against every signature, whatever matched before, so that time does not tell which did.
        signed = b"%b.%d.%b" % (webhook_id.encode(), timestamp, body)
        for key, project in self._keys:
            # As `Webhook.sign` does, which takes the body as text and the time as a datetime.
            expected = b"v1," + binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False)
            matched = False
            for candidate in candidates:
                matched |= hmac.compare_digest(expected, candidate)
            if matched:
                matches.append(project)
        if not matches:
            refuse(
                "no signature of the webhook matches: it is not from the service, the secret is another endpoint's, or "
                "the body is not as it was received, such as parsed and written again",
                "no_match",
            )
        return matches[0]


def _projects(secret: object) -> list[tuple[object, str | None]]:
    if isinstance(secret, Mapping):
        return list(secret.items())
    # A secret that is missing altogether, as `os.environ.get` would have it, is for `_key` to complain about.
    secrets = [secret] if isinstance(secret, str) or not isinstance(secret, Iterable) else secret
    return [(one, None) for one in secrets]


def check_secrets(secret: object) -> None:
    """Refuse what cannot be a webhook secret, without making anything of it.

    Raises:
        ConfigurationError: A secret is empty, cannot be decoded, or is something else.
    """
    for one, _ in _projects(secret):
        _key(one)


def _key(secret: object) -> bytes:
    if not isinstance(secret, str) or not secret.strip():
        raise ConfigurationError("a webhook secret is empty or no text")
    if secret.startswith(_VERSIONS):
        raise ConfigurationError(
            "a webhook secret has the version of a signature in front of it: remove it up to the comma"
        )
    wrong = miscopied(secret)
    if wrong is not None:
        raise ConfigurationError(f"a webhook secret {wrong}")
    if secret.startswith(_NO_SECRETS):
        raise ConfigurationError("a webhook secret is an API key or a project id; the right one begins with whsec_")
    if _PREFIX.search(secret) and (secret[:6] != "whsec_" or _PREFIX.search(secret, 6)):
        raise ConfigurationError("a webhook secret must begin with whsec_ and have it once: pass several as a list")
    prefix, encoded = secret[:6], secret[6:]
    try:
        if prefix != "whsec_":
            return secret.encode()
        # The padding may be missing, as other implementations of the standard allow it.
        key = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            "a webhook secret cannot be decoded: copy it again, all of it and nothing else"
        ) from None
    if not key:
        raise ConfigurationError("a webhook secret is empty")
    return key


def _bytes(body: object) -> bytes:
    if not isinstance(body, (bytes, str)):
        refuse("the body as it was received (bytes) is needed to check the signature", "body_type")
    if len(body) > MAX_BODY:
        refuse("the body is too large", "body_too_large")
    try:
        # The service signs JSON, which is UTF-8 (RFC 8259 8.1): anything else is not from there.
        if isinstance(body, str):
            data = body.encode()
        else:
            data = bytes(body)
            data.decode()
    except UnicodeError:
        raise WebhookVerificationError("the body is not UTF-8", reason="body_encoding") from None
    if len(data) > MAX_BODY:
        refuse("the body is too large", "body_too_large")
    return data


def _checked(found: Mapping[str, object]) -> dict[str, str]:
    """Return the three headers, each present and well formed."""
    texts = header_texts(found, _HEADERS)
    seconds = texts[_TIMESTAMP]
    well_formed = _SAFE_ID.fullmatch(texts[_ID]) and seconds.isdecimal() and seconds[0] != "0"  # of ASCII by now
    if not well_formed or int(seconds) > _LAST_SECOND:
        refuse("a webhook header is malformed", "header_malformed")
    return texts


def _parse(body: bytes) -> WebhookEvent:
    try:
        data = _read(body)
    except ValueError as error:
        raise WebhookPayloadError(f"the body cannot be read: {error}", reason="not_json") from None
    if not isinstance(data, dict):
        raise WebhookPayloadError("the body is not a JSON object", reason="not_object")
    kind = data.get("type")
    if not isinstance(kind, str) or not kind:
        raise WebhookPayloadError("the body has no type", reason="no_type")
    model = KNOWN.get(kind)
    if model is not None:
        try:
            # Without the arguments of `model_validate`, which are checked at each call.
            event: Any = model.__pydantic_validator__.validate_python(data)
        except ValidationError:
            event = None
        # Nothing could be done with a call of another id, which would make lines of its own in logs.
        if event is not None and (model is not IncomingCall or _is_call_id(event.data.call_id)):
            known: WebhookEvent = event
            return known
        logger.warning("a webhook of type %s lacks what its type must have; it is taken as unknown", kind)
    return UnknownWebhookEvent.model_validate(data)


def _read(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        mended = without_lone_surrogates(body)
        if mended is body:
            raise
    return read_json(mended)


def _is_call_id(text: str) -> bool:
    return len(text) <= _MAX_CALL_ID and text.isprintable()
