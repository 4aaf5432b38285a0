"""The tables, with what is in them on the first day.

    python -m florist.tables

In production let a tool for migrations, such as Alembic, make them.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import ClassVar

from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from florist.settings import Settings


class Table(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True)}


class Order(Table):
    """Flowers that somebody has ordered."""

    __tablename__ = "orders"

    number: Mapped[str] = mapped_column(primary_key=True)
    postcode: Mapped[str]
    status: Mapped[str]


class Booking(Table):
    """A day on which nothing else can be decorated."""

    __tablename__ = "bookings"

    day: Mapped[date] = mapped_column(primary_key=True)


class Callback(Table):
    """Somebody who wants to be called."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str]
    reason: Mapped[str]
    call_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PhoneCall(Table):
    """A call that was answered, once it has ended."""

    __tablename__ = "calls"

    call_id: Mapped[str] = mapped_column(primary_key=True)
    agent: Mapped[str]
    caller: Mapped[str | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    ended_by: Mapped[str]
    complete: Mapped[bool]
    lines: Mapped[list[TranscriptLine]] = relationship(order_by="TranscriptLine.id")


class TranscriptLine(Table):
    """What one side said in one turn."""

    __tablename__ = "transcript_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"), index=True)
    by: Mapped[str]
    text: Mapped[str]


async def create_tables(engine: AsyncEngine) -> None:
    """Make the tables that are not there."""
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)


async def first_day(engine: AsyncEngine) -> None:
    """Make the tables, and fill them with something to ask for."""
    await create_tables(engine)
    async with async_sessionmaker(engine).begin() as database:
        await database.merge(Order(number="1042", postcode="94110", status="on its way, and there before noon"))
        await database.merge(Order(number="1043", postcode="94117", status="waiting for peonies until Friday"))
        await database.merge(Booking(day=date(2027, 6, 5)))


async def main() -> None:
    """Prepare the database of the settings."""
    engine = create_async_engine(Settings().database_url)
    await first_day(engine)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
