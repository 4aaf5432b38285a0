"""The status with which a call is refused."""

from __future__ import annotations

FINAL_FAILURE = "must be a final SIP failure, 300 to 699"


def is_final_failure(status: object) -> bool:
    """Whether `status` ends a call that rings (RFC 3261 21.3 to 21.6). A redirection counts: nobody follows it here."""
    return isinstance(status, int) and 300 <= status <= 699
