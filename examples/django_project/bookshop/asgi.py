"""For uvicorn and other ASGI servers: Django's application, with a lifespan that drains the calls."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from realtime_sip.integrations.django import asgi

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
application = asgi(get_asgi_application())
