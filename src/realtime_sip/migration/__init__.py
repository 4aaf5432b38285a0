"""From the beta Realtime API to the current one: `to_ga` converts what a program sends, keeps and has recorded.

>>> migrated = to_ga({"type": "session.update", "session": {"voice": "alloy", "temperature": 0.8}})
>>> migrated.value
{'type': 'session.update', 'session': {'type': 'realtime', 'audio': {'output': {'voice': 'alloy'}}}}
>>> for change in migrated.changes:
...     print(change)
session.type: added; a session says whether it speaks ("realtime") or only transcribes ("transcription")
session.voice: moved to session.audio.output.voice
session.temperature: dropped; there is none any more; say in the instructions how to sound

What is of the current API already comes back as it is, and with no changes. The command `realtime-sip migrate` finds
what is of the beta in source code; the table of names is the same that refuses them before they are sent.
"""

from __future__ import annotations

from realtime_sip.migration.shapes import Change, ChangeKind, Migrated, Shape, to_ga

__all__ = ["Change", "ChangeKind", "Migrated", "Shape", "to_ga"]
