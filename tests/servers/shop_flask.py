"""The shop as an application of Flask."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

import shop
from flask import Flask, Response, request

from realtime_sip import ThreadCallHost

app = Flask(__name__)
host = ThreadCallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN, around=app.app_context)
host.exit_on_sigterm()


@app.post("/openai/webhook")
def webhook() -> Response:
    """Take a call."""
    host.submit(shop.verified(request.get_data(), request.headers))
    return Response()


with suppress(ImportError):
    uwsgi: Any = import_module("uwsgi")  # only uWSGI itself has it
    uwsgi.atexit = host.close
