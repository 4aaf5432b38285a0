"""Ready-made tools for what a caller says that is no request: `Tools([wait_for_user, not_understood, end_call])`.

Their docstrings are what the model reads. `prompts.UnclearAudio` has the rules for both. `Tools`, `end_call` and
`transfer_to_human` are at the root.
"""

from __future__ import annotations

from realtime_sip.tools.ready import not_understood, wait_for_user

__all__ = ["not_understood", "wait_for_user"]
