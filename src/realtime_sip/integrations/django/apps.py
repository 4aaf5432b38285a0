"""The app, which has no models, and reads no settings before it is asked for something."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from realtime_sip.integrations.django import checks


class RealtimeSipConfig(AppConfig):  # type: ignore[misc] # Django has no types of its own
    """`realtime_sip.integrations.django` in `INSTALLED_APPS`."""

    name = "realtime_sip.integrations.django"
    label = "realtime_sip"
    verbose_name = "Realtime SIP"

    def ready(self) -> None:
        """Register the system checks, and start nothing: this runs twice below the reloader."""
        register(checks.check_host, "realtime_sip")
        register(checks.check_requests, "realtime_sip")
        register(checks.check_deployment, "realtime_sip", deploy=True)
