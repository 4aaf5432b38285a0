"""The tables, with what is in them on the first day."""

from __future__ import annotations

from datetime import datetime

import click
from flask.cli import with_appcontext
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Table(DeclarativeBase):
    """What all tables have in common."""


db = SQLAlchemy(model_class=Table)


class Repair(Table):
    """A car that is in the workshop."""

    __tablename__ = "repairs"

    plate: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]


class Part(Table):
    """A part, and how many of it are on the shelf."""

    __tablename__ = "parts"

    number: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    on_shelf: Mapped[int]


class Callback(Table):
    """Somebody who wants to be called."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str]
    reason: Mapped[str]
    call_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PhoneCall(Table):
    """A call that was answered, once it has ended."""

    __tablename__ = "calls"

    call_id: Mapped[str] = mapped_column(primary_key=True)
    agent: Mapped[str]
    caller: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_by: Mapped[str]
    complete: Mapped[bool]
    lines: Mapped[list[TranscriptLine]] = relationship(order_by="TranscriptLine.id")


class TranscriptLine(Table):
    """What one side said in one turn."""

    __tablename__ = "transcript_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id"), index=True)
    by: Mapped[str]
    text: Mapped[str]


def first_day() -> None:
    """Make the tables, and fill them with something to ask for."""
    db.create_all()
    db.session.merge(Repair(plate="7ABC123", status="ready, and open until six"))
    db.session.merge(Repair(plate="8XYZ987", status="waiting for a spare part until Friday"))
    db.session.merge(Part(number="W-4410", name="wiper blade", on_shelf=3))
    db.session.commit()


@click.command("init-db")
@with_appcontext
def init_db() -> None:
    """Make the tables. In production let migrations do that, such as Flask-Migrate's."""
    first_day()
