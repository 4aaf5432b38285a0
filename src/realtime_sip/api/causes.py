"""Why no connection came about, or broke: in words, out of what the libraries have raised one upon the other."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

_MOST = 30

UNTRUSTED = "if an authority of your own has signed it, pass ssl="
"""What to do about a certificate that does not verify."""


def cause_of(error: BaseException) -> str:
    """Return what is at the root of an error: its kind, and in brackets the cause in words, if it is known.

    No message is in it, which could name hosts and users.
    """
    kind = type(error).__name__
    words = next((words for each in _chain(error) if (words := _in_words(each)) is not None), None)
    return kind if words is None else f"{kind}: {words}"


def is_untrusted(error: BaseException) -> bool:
    """Whether the service's certificate does not verify, so that trying again does not help."""
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _chain(error))


def is_of_tls(error: BaseException) -> bool:
    """Whether TLS failed, with whoever is at the other end by then."""
    return any(isinstance(each, ssl.SSLError) for each in _chain(error))


def _in_words(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            # OpenSSL's reason for a certificate of another name goes on to name the host.
            why = str(getattr(error, "verify_message", "")).partition(", certificate is not valid for")[0]
            return f"TLS, the certificate does not verify ({why})"
        case ssl.SSLError():
            return f"TLS ({getattr(error, 'reason', None)})"
        case socket.gaierror():
            return "DNS, the host's name is not found"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionResetError() | BrokenPipeError():
            return "the connection was reset"
        case _ if type(error).__name__ == "PoolTimeout":
            return "no connection of the pool became free"
        case _ if type(error).__name__ == "ConnectTimeout":
            return "connecting took too long"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go through an error, its parts, and what has led to it, the nearest first."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [one for one in (*parts, each.__cause__, each.__context__) if one is not None]
