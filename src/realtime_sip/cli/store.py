"""`realtime-sip store sql`: the SQL of the table that a `PostgresStore` uses."""

from __future__ import annotations

import argparse

from realtime_sip.cli.command import Commands

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "store",
        help="print the SQL of the table that PostgresStore uses",
        description="What several workers share. `sql` prints the SQL that makes its table; running it again does no "
        "harm.",
    )
    parser.add_argument("what", choices=["sql"])
    parser.add_argument(
        "--table", default="realtime_sip_store", help="its name, with the schema's before it (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the SQL and return 0."""
    from realtime_sip.stores.postgres import store_sql

    print(store_sql(options.table), end="")
    return 0
