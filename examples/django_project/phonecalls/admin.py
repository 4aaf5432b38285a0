"""Calls in the admin pages: to be read by who may, and changed by nobody.

`phonecalls.view_phonecall` shows who called; what was said needs `phonecalls.view_transcriptline` too.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from phonecalls.models import PhoneCall, TranscriptLine


class ReadOnly:
    """Denies everything but viewing, which is the user's permission, also to superusers."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Deny it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Deny it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Deny it."""
        return False


class TranscriptInline(ReadOnly, admin.TabularInline):
    """What was said, below its call."""

    model = TranscriptLine
    fields = ("by", "text", "spoken_at")


@admin.register(PhoneCall)
class PhoneCallAdmin(ReadOnly, admin.ModelAdmin):
    """Calls, the newest first."""

    list_display = ("started_at", "caller", "dialed", "end_reason", "transcript_is_complete")
    list_filter = ("dialed", "end_reason")
    search_fields = ("caller", "call_id")
    date_hierarchy = "started_at"
    inlines = (TranscriptInline,)
