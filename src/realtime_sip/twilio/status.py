"""The statuses of calls and messages, in the order in which they can follow each other."""

from __future__ import annotations

# Of calls and of messages: no word of one means another thing for the other. What has the same rank is not news.
_RANKS = {
    **dict.fromkeys(("accepted", "scheduled", "receiving"), 0),
    "queued": 1,
    **dict.fromkeys(("initiated", "sending"), 2),
    **dict.fromkeys(("ringing", "sent"), 3),
    **dict.fromkeys(("in-progress", "answered"), 4),
    **dict.fromkeys(("completed", "busy", "failed", "no-answer", "canceled"), 5),
    **dict.fromkeys(("received", "delivered", "undelivered"), 5),
    "read": 6,
}
_FINAL = 5

UNANSWERED = frozenset({"busy", "failed", "no-answer", "canceled"})
"""The statuses of a call that ended before anybody answered."""


def is_final(status: str | None) -> bool:
    """Return whether a call or message with this status is over. A message that was delivered may still be read."""
    return _RANKS.get(status or "", 0) >= _FINAL


def is_news(status: str, *, after: str | None) -> bool:
    """Return whether a status says more than the last one that is known, of the same call or message.

    Statuses come in any order, and more than once: as callbacks, and as the answer to the request that created the call
    or message, which may be the last to arrive. Whatever was known stays true: "sent" does not take "delivered" back.

    >>> is_news("completed", after="ringing"), is_news("queued", after="completed"), is_news("read", after="delivered")
    (True, False, True)

    A word that is not known here is news, unless the last one is final.
    """
    if after is None:
        return True
    new, old = _RANKS.get(status), _RANKS.get(after)
    if new is None or old is None:
        return status != after and not is_final(after)
    return new > old
