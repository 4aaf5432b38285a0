"""What the shop had before anybody answered its phone."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order of a customer."""

    class Status(models.TextChoices):
        """How far an order is."""

        PACKED = "packed"
        SENT = "sent"
        CANCELED = "canceled"

    number = models.CharField(max_length=12, unique=True)
    postcode = models.CharField(max_length=12)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PACKED)
    arrives = models.DateField(null=True, blank=True)

    def __str__(self) -> str:
        return self.number
