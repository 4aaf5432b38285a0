"""The calls, for the office: they are personal data, so that they are behind a password."""

from __future__ import annotations

import secrets

from flask import Blueprint, Response, current_app, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from garage.models import Callback, PhoneCall, db

pages = Blueprint("pages", __name__)


@pages.before_request
def office() -> Response | None:
    """Let nobody pass but who has the office's password; nobody at all if there is no password."""
    password = current_app.config["OFFICE_PASSWORD"]
    given = "" if request.authorization is None else request.authorization.password or ""
    if password and secrets.compare_digest(given.encode(), str(password).encode()):
        return None
    return Response("for the office", 401, {"WWW-Authenticate": 'Basic realm="garage"'})


@pages.get("/calls")
def calls() -> str:
    """Show the latest calls with what was said, and who wants to be called."""
    newest = select(PhoneCall).order_by(PhoneCall.started_at.desc()).limit(50).options(selectinload(PhoneCall.lines))
    return render_template(
        "calls.html",
        calls=db.session.scalars(newest).all(),
        callbacks=db.session.scalars(select(Callback).order_by(Callback.id)).all(),
    )
