"""Twilio's signature: proof that Twilio sent a request, and for which account.

It is an HMAC over the URL as Twilio requested it and, if a form was posted, over each field's name and value, sorted.
What it does not cover:

- Nothing stands between a name and its value: `CallerName=Ann` and `CallerNameA=nn` are signed alike. So the payloads
  of `realtime_sip.twilio.webhooks` are read from both together, and of a field that this package does not know neither
  the name nor the value is proven.
- There is no timestamp: a request that somebody recorded is good forever.
- Neither the method nor the headers are signed.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NoReturn, TypeAlias

from realtime_sip._redaction import miscopied
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.twilio.form import out_of_bounds, signed_form
from realtime_sip.webhooks.received import header_text, names_of, read_headers, refuse

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"

MAX_BODY = 1024 * 1024
"""Bytes of a body at most; of a form it is `MAX_FORM`."""

MAX_URL = 32 * 1024
"""Bytes of a URL at most: a webhook by GET has all parameters in it."""

_SIGNATURE, _SETTINGS, _TYPE = SIGNATURE_HEADER.lower(), SETTINGS_HEADER.lower(), "content-type"
_HOST, _FORWARDED_HOST, _FORWARDED_PROTO = "host", "x-forwarded-host", "x-forwarded-proto"
_NAMES = names_of([_SIGNATURE, _SETTINGS, _TYPE])
_FORWARDED_NAMES = names_of([_HOST, _FORWARDED_HOST, _FORWARDED_PROTO])
_FORM = "application/x-www-form-urlencoded"
_USUAL_FORM = "application/x-www-form-urlencoded; charset=UTF-8"
_MAX_HEADER = 512
_ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_KEY_ID = re.compile(r"[!-+\--<>-~]{1,200}")  # visible ASCII without the comma and the equals sign

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_OTHER_SECRETS = re.compile(r"(?:AC|SK|AP)[0-9a-fA-F]{32}|sk-.*|whsec_.*|proj_.*")
_HASH = re.compile(rb"[?&]bodySHA256=([^&]*)")

_HOST_AND_PORT = rb"(\[[0-9A-Fa-f:.]{2,45}\]|[^/?#@:\[\]\x00-\x20\x7f]{1,253})(?::([0-9]{1,5}))?"
_ORIGIN = re.compile(rb"([Hh][Tt][Tt][Pp][Ss]?|[Ww][Ss][Ss]?)://([^/?#@\x00-\x20\x7f]{1,512}@)?" + _HOST_AND_PORT)
_AUTHORITY = re.compile(_HOST_AND_PORT)
_PORTS = {b"https": b":443", b"wss": b":443", b"http": b":80", b"ws": b":80"}
_NOT_IN_A_TARGET = re.compile(rb"[\x00-\x20\x7f#]")

Tokens: TypeAlias = str | Sequence[str]
"""An auth token, or several while one is rotated."""


@dataclass(frozen=True, slots=True)
class _Key:
    secret: bytes
    account: str | None
    algorithm: str = "sha1"


class TwilioSignature:
    """Checks the signature of Twilio's webhooks: voice, status callbacks, messages; forms, JSON and GET.

    Args:
        token: The account's auth token; several while it is rotated; or a mapping of account SID to its token or
            tokens, since each subaccount has its own. Empty if `shared_keys` sign everything.
        public_url: Where Twilio reaches the program: scheme, host, port if Twilio's URL has one, and the path under
            which a proxy mounts the program, if it takes it off: "https://voice.example.com". With it, nothing that a
            request says about its host counts.
        shared_keys: The shared keys that sign in place of the token (Twilio's webhooks configuration): key id to
            secret, or to (account SID, secret).
        trusted_proxies: Addresses or networks of the proxies whose `X-Forwarded-Host` and `X-Forwarded-Proto` count, in
            place of `public_url`: "10.0.0.0/8". They must set both headers, or pass `Host` on, for every request.

    Raises:
        ConfigurationError: A token, key, URL or proxy cannot be what it is given for.

    Nothing is read from the environment. It can be shared between threads.

    >>> twilio = TwilioSignature("the account's auth token", "https://voice.example.com")
    >>> body = b"AccountSid=AC00000000000000000000000000000001&CallSid=CA1"
    >>> headers = twilio.sign("https://voice.example.com/voice", body)
    >>> twilio.verify("/voice", body, headers)
    'AC00000000000000000000000000000001'
    """

    def __init__(
        self,
        token: Tokens | Mapping[str, Tokens],
        public_url: str | None = None,
        *,
        shared_keys: Mapping[str, str | tuple[str, str]] | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self._tokens = _tokens(token)
        self._all = [key for keys in self._tokens.values() for key in keys]
        self._by_account = isinstance(token, Mapping)
        self._keys = _shared_keys(shared_keys or {}, bound=self._by_account and len(self._tokens) > 1)
        if not self._tokens and not self._keys:
            raise ConfigurationError("neither an auth token nor a shared key of Twilio is given")
        self._base = b"" if public_url is None else _base(public_url)
        self._origins = _origins(self._base) if self._base else []
        self._proxies = _networks(trusted_proxies)
        if self._base and self._proxies:
            raise ConfigurationError("with public_url no forwarded header counts: give public_url or trusted_proxies")

    def __repr__(self) -> str:
        return f"<TwilioSignature tokens={len(self._all)} shared_keys={len(self._keys)}>"

    def verify(
        self,
        target_or_url: str | bytes,
        body: bytes | str,
        headers: object,
        *,
        method: str = "POST",
        peer: str | None = None,
    ) -> str | None:
        """Return the SID of the account that signed the request, None if the request names none.

        Args:
            target_or_url: The request's target as it was received, path and query, byte for byte ("/voice?a=1"); or, if
                `public_url` and `trusted_proxies` are not set, the whole URL. Flask, Starlette and Django decode what
                they call the URL; take `RAW_URI` or `REQUEST_URI`, under ASGI `raw_path` and `query_string`.
            body: The body as it was received, b"" if there is no body.
            headers: The request's headers, as `OpenAIWebhooks.unwrap` takes them.
            method: The request's method.
            peer: The address that the connection came from; needed for `trusted_proxies` alone.

        With a mapping of tokens, a request that names an account must be signed with that account's token.

        Raises:
            WebhookVerificationError: Twilio did not sign it. `reason` is one of "body_type", "body_too_large",
                "body_encoding", "too_many_fields", "target_malformed", "header_missing", "header_repeated",
                "header_malformed", "proxy_not_trusted", "unknown_algorithm", "unhashed_body" (neither a form nor under
                a hash that the URL has), "body_hash" (another body), "ambiguous_form" (its first field may be the end
                of the URL), "ambiguous_account" (it names several), "unknown_account", "account_mismatch" and
                "no_match".
            ConfigurationError: Twilio names a shared key that is not among `shared_keys`; or the target is no whole
                URL, and neither `public_url` nor `trusted_proxies` say what belongs before it.
        """
        data = _bytes(body)
        received = read_headers(headers, _NAMES)
        signature = header_text(received.get(_SIGNATURE), _MAX_HEADER).strip(" \t").encode()
        origins, target = self._url(_target(target_or_url), headers, peer)
        is_get = isinstance(method, str) and method.upper() in {"GET", "HEAD"}
        endings, named = _endings(target, data, received.get(_TYPE), is_get=is_get)
        keys, account = self._candidates(received.get(_SETTINGS), _only(named))
        for signed in (origin + ending for origin in origins for ending in endings):
            # Each key is tried, whatever matched before, so that time does not tell which did.
            matched = [
                key for key in keys if hmac.compare_digest(_signature(key.secret, signed, key.algorithm), signature)
            ]
            if matched:
                return matched[0].account or account
        return refuse(
            "the signature does not match: the request is not from Twilio, the token is another account's, the URL is "
            "not the one that Twilio requested, or target or body are not as they were received",
            "no_match",
        )

    def sign(
        self, url: str, body: bytes | str = b"", *, method: str = "POST", shared_key: str | None = None
    ) -> dict[str, str]:
        """Return the headers with which Twilio would send a request: for tests and emulators.

        Args:
            url: The whole URL. A body that is no form needs `bodySHA256=` with its SHA-256 in hexadecimal in there.
            body: The body as it will be sent.
            method: With "GET" the URL alone is signed.
            shared_key: The id of the shared key that signs. Otherwise it is the first token, of the account that the
                request names if there are several.

        Raises:
            InvalidRequestError: The URL is not a whole one, or there is no such key.
        """
        whole = url.encode()
        origin = _ORIGIN.match(whole)
        if origin is None:
            raise InvalidRequestError("webhook", (("url", "must be the whole URL"),))
        data = body.encode() if isinstance(body, str) else body
        is_form = method.upper() != "GET" and b"bodySHA256=" not in whole
        form, named = signed_form(data if is_form else whole.partition(b"?")[2])
        account = _only(named)
        if shared_key is None:
            keys = self._tokens.get(account or "") or self._all
            settings = {}
        else:
            keys = [self._keys[shared_key]] if shared_key in self._keys else []
            settings = {SETTINGS_HEADER: f"key={shared_key},algorithm=HMAC_SHA256"}
        if not keys:
            raise InvalidRequestError("webhook", (("shared_key", "no key to sign with"),))
        signature = _signature(keys[0].secret, whole + form if is_form else whole, keys[0].algorithm)
        return {SIGNATURE_HEADER: signature.decode(), **settings}

    def _candidates(self, settings: object, account: str | None) -> tuple[list[_Key], str | None]:
        """Return the keys that may have signed, and the account that the request names."""
        named, algorithm = _settings(settings)
        if named is not None:
            key = self._keys.get(named)
            if key is None:
                raise ConfigurationError(
                    "Twilio signed a webhook with a shared key that is not among shared_keys: add the key that "
                    "Twilio's webhooks configuration names for this URL"
                )
            if account is not None and key.account not in {None, account}:
                refuse("the shared key is another account's", "account_mismatch")
            return [_Key(key.secret, key.account, algorithm)], account
        if algorithm != "sha1":
            refuse("the settings of the signature name no key", "header_malformed")
        if not self._by_account or account is None:
            return self._all, account
        if account not in self._tokens:
            refuse("the request names an account whose token is not given", "unknown_account")
        return self._tokens[account], account

    def _url(self, target: bytes, headers: object, peer: str | None) -> tuple[Sequence[bytes], bytes]:
        """Return the beginnings that the signed URL may have, and what follows."""
        origin = _ORIGIN.match(target)
        if self._origins:
            if origin is not None:
                inside = target.startswith(self._base) and target[len(self._base) :][:1] in {b"", b"/", b"?"}
                target = target[len(self._base) :] if inside else target[origin.end() :]
            return self._origins, target
        if self._proxies:
            if not self._is_trusted(peer):
                refuse("the request did not come through a trusted proxy", "proxy_not_trusted")
            return _origins(_forwarded(headers)), target if origin is None else target[origin.end() :]
        if origin is None:
            raise ConfigurationError("give public_url, so that it is known which URL Twilio requested")
        return _origins(origin[0]), target[origin.end() :]

    def _is_trusted(self, peer: str | None) -> bool:
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._proxies)


def _tokens(token: object) -> dict[str, list[_Key]]:
    if isinstance(token, Mapping):
        found = {}
        for account, tokens in token.items():
            if not isinstance(account, str) or not _ACCOUNT_SID.fullmatch(account):
                raise ConfigurationError(
                    "tokens are given by account: each key must be an account SID, AC and 32 digits"
                )
            found[account] = [_Key(_secret(one, "an auth token"), account) for one in _several(tokens)]
        secrets = [key.secret for keys in found.values() for key in keys]
        if len(set(secrets)) < len(secrets):
            raise ConfigurationError("an auth token of Twilio is given twice")
        return found
    keys = [_Key(_secret(one, "an auth token"), None) for one in _several(token)]
    return {"": keys} if keys else {}


def _several(tokens: object) -> list[object]:
    # A token that is missing altogether, as `os.environ.get` would have it, is for `_secret` to complain about.
    return [tokens] if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable) else list(tokens)


def _shared_keys(keys: object, *, bound: bool) -> dict[str, _Key]:
    found = {}
    for name, value in keys.items() if isinstance(keys, Mapping) else ():
        if not isinstance(name, str) or not _KEY_ID.fullmatch(name):
            raise ConfigurationError(
                "the id of a shared key of Twilio must be visible text without comma and equals sign"
            )
        account, secret = value if isinstance(value, tuple) and len(value) == 2 else (None, value)
        if account is None and bound:
            raise ConfigurationError("with tokens of several accounts give each shared key as (account SID, secret)")
        if account is not None and not (isinstance(account, str) and _ACCOUNT_SID.fullmatch(account)):
            raise ConfigurationError("the account of a shared key must be an account SID, AC and 32 digits")
        found[name] = _Key(_secret(secret, "a shared key"), account, "sha256")
    if not isinstance(keys, Mapping):
        raise ConfigurationError("shared keys of Twilio are given by their id")
    return found


def _secret(text: object, what: str) -> bytes:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{what} of Twilio is empty or no text")
    wrong = miscopied(text)
    if wrong is not None:
        raise ConfigurationError(f"{what} of Twilio {wrong}")
    if _OTHER_SECRETS.fullmatch(text):
        raise ConfigurationError(f"{what} of Twilio is a SID or a key of something else")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} of Twilio is no text") from None


def _base(url: object) -> bytes:
    data = url.encode("utf-8", "replace") if isinstance(url, str) else b""
    origin = _ORIGIN.match(data)
    rest = data[origin.end() :] if origin is not None else b"?"
    if len(data) > MAX_URL or not _is_port(origin) or (rest and rest[:1] != b"/") or _NOT_IN_A_TARGET.search(rest):
        raise ConfigurationError("public_url must be scheme, host and perhaps a path, as https://voice.example.com")
    if b"?" in rest:
        raise ConfigurationError("public_url must not have a query: it is what stands before each request's target")
    return data.removesuffix(b"/")


def _networks(proxies: object) -> list[IPv4Network | IPv6Network]:
    texts = [proxies] if isinstance(proxies, str) or not isinstance(proxies, Iterable) else list(proxies)
    names = [text for text in texts if isinstance(text, str)]
    if len(names) == len(texts):
        with suppress(ValueError):
            return [ip_network(name) for name in names]
    raise ConfigurationError(
        "trusted_proxies are addresses or networks, as 10.0.0.7 or 10.0.0.0/8, without bits beyond the prefix"
    )


def _bytes(body: object) -> bytes:
    if not isinstance(body, (bytes, str)):
        refuse("the body as it was received (bytes) is needed to check the signature", "body_type")
    if len(body) > MAX_BODY:
        refuse("the body is too large", "body_too_large")
    try:
        data = body.encode() if isinstance(body, str) else bytes(body)
    except UnicodeEncodeError:
        data = None
    if data is None:
        refuse("the body is not UTF-8", "body_encoding")
    if len(data) > MAX_BODY:
        refuse("the body is too large", "body_too_large")
    return data


def _target(target: object) -> bytes:
    if not isinstance(target, (bytes, str)) or len(target) > MAX_URL:
        _refuse_target()
    try:
        data = target.encode() if isinstance(target, str) else bytes(target)
    except UnicodeEncodeError:
        data = b""
    origin = _ORIGIN.match(data)
    rest = data if origin is None else data[origin.end() :]
    begins = rest[:1] == b"/" or (origin is not None and rest[:1] in {b"", b"?"} and _is_port(origin))
    if not begins or len(data) > MAX_URL or _NOT_IN_A_TARGET.search(rest):
        _refuse_target()
    return data


def _refuse_target() -> NoReturn:
    refuse("the request's target is neither a path with its query nor a whole URL", "target_malformed")


def _is_port(origin: re.Match[bytes] | None) -> bool:
    return origin is not None and (origin[4] is None or 0 < int(origin[4]) < 65536)


def _forwarded(headers: object) -> bytes:
    found = read_headers(headers, _FORWARDED_NAMES)
    # A proxy that appends writes the last one; what stands before it the client may have sent.
    proto, host = (
        header_text(value, _MAX_HEADER).rpartition(",")[2].strip(" \t").encode()
        for value in (found.get(_FORWARDED_PROTO), found.get(_FORWARDED_HOST) or found.get(_HOST))
    )
    if proto.lower() not in _PORTS or not _AUTHORITY.fullmatch(host):
        refuse("a forwarded header is malformed", "header_malformed")
    return proto.lower() + b"://" + host


def _endings(target: bytes, body: bytes, content_type: object, *, is_get: bool) -> tuple[list[bytes], set[bytes]]:
    """Return what the signed text may have after scheme and host, and the accounts that the request names."""
    is_form = bool(body) and not is_get and _is_form(content_type)
    hashed = False
    if b"bodySHA256=" in target:
        hashed = {each.lower() for each in _HASH.findall(target)} == {hashlib.sha256(body).hexdigest().encode()}
        # Twilio may ask by GET, without a body, for a URL in which a hash was left over.
        if not hashed and not is_form and (body or not is_get):
            refuse("the URL has the hash of another body", "body_hash")
    if body and not hashed and not is_form:
        refuse("the body is neither a form nor under a hash that the URL has", "unhashed_body")
    targets = [target]
    if target[:1] != b"/":
        targets.append(b"/" + target)
    elif target == b"/" or target[:2] == b"/?":
        targets.append(target[1:])
    if not is_form:
        query = target.partition(b"?")[2]
        return targets, signed_form(query)[1] if b"AccountSid" in query and not out_of_bounds(query) else set()
    wrong = out_of_bounds(body)
    if wrong is not None:
        refuse("the form is not read", wrong)
    form, named = signed_form(body)
    # Nothing stands between the URL and the first field either.
    if form[:1] in {b"/", b"?", b"&"} and not hashed:
        refuse("the form's first field may be the end of a signed URL", "ambiguous_form")
    return [each + form for each in targets] + (targets if hashed else []), named


def _is_form(content_type: object) -> bool:
    kind = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type
    return (
        kind == _USUAL_FORM
        or not kind
        or (isinstance(kind, str) and kind.partition(";")[0].strip(" \t").lower() == _FORM)
    )


def _only(named: set[bytes]) -> str | None:
    if len(named) > 1:
        refuse("the request names several accounts", "ambiguous_account")
    return next(iter(named)).decode() if named else None


def _settings(value: object) -> tuple[str | None, str]:
    """Return the id of the key that signed, None for the auth token, and the name of the hash."""
    if value is None or value in ("", b""):
        return None, "sha1"
    parts: dict[str, str] = {}
    for part in header_text(value, _MAX_HEADER).split(","):
        name, _, text = part.partition("=")
        if name.strip(" \t") in parts:
            refuse("the settings of the signature are malformed", "header_malformed")
        parts[name.strip(" \t")] = text.strip(" \t")
    key, algorithm = parts.get("key"), _ALGORITHMS.get(parts.get("algorithm", "HMAC_SHA1").upper())
    if algorithm is None:
        refuse("the signature's algorithm is not known here", "unknown_algorithm")
    if key is not None and not _KEY_ID.fullmatch(key):
        refuse("the settings of the signature are malformed", "header_malformed")
    return key, algorithm


def _origins(url: bytes) -> list[bytes]:
    """Return a URL, up to its path, in all the ways in which it may be signed.

    Twilio signs it with and without its port; host names have no case; how it signs a user and password is not
    documented.
    """
    origin = _ORIGIN.match(url)
    if origin is None:
        return []
    scheme, user, host, port = origin.groups()
    rest = url[origin.end() :]
    users = (b"",) if user is None else (user, b"")
    hosts = (host,) if host == host.lower() else (host, host.lower())
    ports = (b"", _PORTS[scheme.lower()]) if port is None else (b":" + port, b"")
    return [
        b"%b://%b%b%b%b" % (scheme, each, name, number, rest) for each in users for name in hosts for number in ports
    ]


def _signature(secret: bytes, text: bytes, algorithm: str) -> bytes:
    return binascii.b2a_base64(hmac.digest(secret, text, algorithm), newline=False)
