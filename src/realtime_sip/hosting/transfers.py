"""The transfers of this host's calls, noted where each worker can answer the carrier that asks about one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable

from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.hosting.tickets import Seals
from realtime_sip.stores.rules import MAX_NOTE, Store

_log = logging.getLogger("realtime_sip.host")

ASKED = 600.0
"""Seconds beyond a target's ring time for which a transfer is known."""
STORE = 2.0
"""Seconds that a store may take: Twilio waits for TwiML for 15 seconds, and the caller hears nothing."""
_KIND = "transfer"
MAX_WORDS = 4000
"""Characters of a reason and of a summary that are noted."""


async def note(store: Store, seals: Seals | None, request: TransferRequest) -> None:
    """Note a transfer under the caller's own call, in place of the one before: sealed, if others share the store.

    Raises what the store raises.
    """
    if request.parent_call_sid is None:
        return
    target = request.target
    for most in (MAX_WORDS, MAX_WORDS // 4):
        content = {
            "call_id": request.call_id,
            "name": request.name,
            "target": [str(target.uri), target.description, target.ring_time],
            "reason": request.reason[:most],
            "summary": request.summary[:most],
            "channel": request.channel,
        }
        text = json.dumps(content, ensure_ascii=False)
        text = text if seals is None else seals.letter(_KIND, text)
        if len(text) <= MAX_NOTE:  # else the words hardly shrink, as those of some scripts
            break
    await store.note(_key(request.parent_call_sid), text, remember=target.ring_time + ASKED)


async def noted(store: Store, seals: Seals | None, call_sids: Iterable[str | None]) -> TransferRequest | None:
    """Return the last transfer of the first of these calls that has one, or None; also if the store fails."""
    try:
        async with asyncio.timeout(STORE):
            for sid in call_sids:
                if sid is not None and (text := await store.noted(_key(sid))) is not None:
                    kind, text = (_KIND, text) if seals is None else seals.opened(text) or ("", "")
                    return _read(text, sid) if kind == _KIND else None
    except Exception as error:  # noqa: BLE001 - the caller is to go somewhere, whatever the store is
        _log.warning("which transfer the carrier asks about is not known: %s", type(error).__name__)
    return None


def _read(text: str, parent_call_sid: str) -> TransferRequest:
    content = json.loads(text)
    uri, description, ring_time = content.pop("target")
    target = TransferTarget(uri, description=description, ring_time=ring_time)
    return TransferRequest(target=target, parent_call_sid=parent_call_sid, **content)


def _key(call_sid: str) -> str:
    return f"transfer:{call_sid}"
