"""Values of attributes that others choose, kept few: each new one makes another series of a metric."""

from __future__ import annotations

import re

OTHER = "_OTHER"
"""In place of a value that is one too many, or no name; as the semantic conventions write it."""
MAX_NAMES = 100

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")


class Names:
    """The first hundred names of one kind."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def bounded(self, name: str | None) -> str:
        """Return a name, or `OTHER`."""
        if name is None or not _NAME.fullmatch(name):
            return OTHER
        if name not in self._known:
            if len(self._known) >= MAX_NAMES:
                return OTHER
            self._known.add(name)
        return name
