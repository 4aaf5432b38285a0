"""Calls that were answered, and what was said."""

from __future__ import annotations

from django.db import models


class PhoneCall(models.Model):
    """A call that has ended. Who called is what the carrier has claimed, and proves nothing."""

    call_id = models.CharField(max_length=100, unique=True)
    caller = models.CharField(max_length=100, blank=True)
    dialed = models.CharField(max_length=100, blank=True)
    channel = models.CharField(max_length=10)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    end_reason = models.CharField(max_length=30)
    evidence = models.TextField(blank=True)
    transcript_is_complete = models.BooleanField()

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return self.call_id


class TranscriptLine(models.Model):
    """What one side has said in one turn; of the agent's words, those that were heard."""

    call = models.ForeignKey(PhoneCall, on_delete=models.CASCADE, related_name="lines")
    by = models.CharField(max_length=10)
    text = models.TextField(blank=True)
    spoken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.by}: {self.text}"
