"""A garage's application, whose two phone numbers are answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask

from garage.models import db, init_db
from garage.pages import pages
from garage.phone import create_host
from realtime_sip.integrations.flask import health, openai_webhook


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the application. What `config` has not, variables such as `GARAGE_WORKSHOP_NUMBER` have."""
    logging.basicConfig(level=logging.INFO)
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite:///garage.db",  # in Flask's instance folder
        WORKSHOP_NUMBER="+14155550110",
        PARTS_NUMBER="+14155550120",
        OFFICE_PASSWORD=None,
        REDIS_URL=None,
        DRAIN_TIMEOUT=25.0,
    )
    app.config.from_prefixed_env("GARAGE")
    app.config.update(config or {})

    host = create_host(app.config)
    host.exit_on_sigterm()  # for `flask run`, which dies of it
    app.extensions["phone"] = host
    db.init_app(app)
    app.register_blueprint(openai_webhook(host))
    app.register_blueprint(health(host))
    app.register_blueprint(pages)
    app.cli.add_command(init_db)
    return app
