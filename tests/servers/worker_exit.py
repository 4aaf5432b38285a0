"""What gunicorn is configured with, if the calls are to be drained by its hook."""

from __future__ import annotations


def worker_exit(_server: object, _worker: object) -> None:
    """Drain the calls of a worker that ends."""
    from shop_flask import host

    host.close()
