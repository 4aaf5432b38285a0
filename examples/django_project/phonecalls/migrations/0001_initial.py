"""The first tables."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="PhoneCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("call_id", models.CharField(max_length=100, unique=True)),
                ("caller", models.CharField(blank=True, max_length=100)),
                ("dialed", models.CharField(blank=True, max_length=100)),
                ("channel", models.CharField(max_length=10)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
                ("end_reason", models.CharField(max_length=30)),
                ("evidence", models.TextField(blank=True)),
                ("transcript_is_complete", models.BooleanField()),
            ],
            options={
                "ordering": ["-started_at"],
            },
        ),
        migrations.CreateModel(
            name="TranscriptLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("by", models.CharField(max_length=10)),
                ("text", models.TextField(blank=True)),
                ("spoken_at", models.DateTimeField(blank=True, null=True)),
                (
                    "call",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="phonecalls.phonecall"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
    ]
