"""Orders in the admin pages."""

from __future__ import annotations

from django.contrib import admin

from orders.models import Order

admin.site.register(Order, list_display=["number", "status", "arrives"], list_filter=["status"])
