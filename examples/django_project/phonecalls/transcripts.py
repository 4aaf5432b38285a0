"""What is kept of a call."""

from __future__ import annotations

from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.db import transaction

from phonecalls.models import PhoneCall, TranscriptLine
from realtime_sip import Call, CallEnded, IncomingCall


async def keep(incoming: IncomingCall, call: Call) -> None:
    """Write a call into the database when it has ended, with what was said: all of it or nothing."""
    await _written(incoming, call, await call.wait_ended())


@sync_to_async
def _written(incoming: IncomingCall, call: Call, ended: CallEnded) -> None:
    transcript = call.transcript
    ends = {
        "ended_at": _at(ended.ended_at),
        "end_reason": ended.reason.value,
        "evidence": ended.evidence,
        "transcript_is_complete": transcript.complete,
    }
    begins = {
        "caller": incoming.caller or "",
        "dialed": incoming.dialed or "",
        "channel": incoming.channel,
        "started_at": _at(ended.started_at),
    }
    with transaction.atomic():
        # If workers share a store, one may have taken the call over from another, which has kept its beginning.
        kept, _ = PhoneCall.objects.update_or_create(
            call_id=incoming.call_id, defaults=ends, create_defaults=begins | ends
        )
        TranscriptLine.objects.bulk_create(
            TranscriptLine(
                call=kept,
                by=line.by,
                text=line.heard,
                spoken_at=None if line.started_at is None else _at(line.started_at),
            )
            for line in transcript
        )


def _at(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
