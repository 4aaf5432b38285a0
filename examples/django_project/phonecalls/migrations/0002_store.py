"""The table of `PostgresStore`, in PostgreSQL alone."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from realtime_sip.stores import store_sql


def make(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make it."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(store_sql())


def drop(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop it."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TABLE realtime_sip_store")


class Migration(migrations.Migration):
    dependencies = [("phonecalls", "0001_initial")]

    operations = [migrations.RunPython(make, drop)]
