"""The first tables."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.CharField(max_length=12, unique=True)),
                ("postcode", models.CharField(max_length=12)),
                (
                    "status",
                    models.CharField(
                        choices=[("packed", "Packed"), ("sent", "Sent"), ("canceled", "Canceled")],
                        default="packed",
                        max_length=10,
                    ),
                ),
                ("arrives", models.DateField(blank=True, null=True)),
            ],
        ),
    ]
