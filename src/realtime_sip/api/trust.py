"""Which authorities of TLS are trusted if the program names none."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext


def default_trust() -> SSLContext:
    """Return a context with the system's authorities and, unless the environment names others, certifi's.

    All clients of the process share it, since reading the authorities takes longer than all else about a client.
    """
    return _read(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@functools.lru_cache(maxsize=4)
def _read(file: str, folder: str) -> SSLContext:
    from ssl import create_default_context

    context = create_default_context()
    if not (file or folder):
        # A system may have none, and certifi lacks those that a company has added to its systems.
        with suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context
