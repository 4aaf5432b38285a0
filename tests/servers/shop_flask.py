"""The shop as an application of Flask."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import shop
from flask import Flask

from realtime_sip import ThreadCallHost
from realtime_sip.integrations.flask import openai_webhook

app = Flask(__name__)
host = ThreadCallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
host.exit_on_sigterm()
app.register_blueprint(openai_webhook(host))

with suppress(ImportError):
    uwsgi: Any = import_module("uwsgi")  # only uWSGI itself has it
    uwsgi.atexit = host.close

if __name__ == "__main__":
    # As `flask run --debug`, but without watchdog if that is installed: it loses changes on a busy machine.
    app.run(port=int(sys.argv[1]), debug=True, reloader_type="stat")
