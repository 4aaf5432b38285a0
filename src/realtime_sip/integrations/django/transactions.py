"""`ATOMIC_REQUESTS`: which requests are a transaction of the project's databases, and which must not be.

Django refuses an async view then. A view that waits for a call to be decided would hold a transaction meanwhile, and
with it what the handler of that call may need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from django.utils.functional import SimpleLazyObject

View = Callable[..., Any]


def without_transaction(view: View) -> View:
    """Mark a view: its request is no transaction of any database.

    As `transaction.non_atomic_requests` does, which takes one name: which there are is not read before a request.
    """
    view._non_atomic_requests = SimpleLazyObject(lambda: {*connections})  # type: ignore[attr-defined]
    return view


def in_transaction(view: View) -> View:
    """Return a blocking view in the transactions that the project wants, if Django itself sees only an async one."""
    atomic: Any = transaction.atomic
    for alias in connections:
        if connections[alias].settings_dict["ATOMIC_REQUESTS"]:
            view = atomic(using=alias)(view)
    return view
