"""The admin pages, and OpenAI's webhook."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("realtime_sip.integrations.django.urls")),  # /openai/webhook, /health/ready, /health/live
]
