"""Threads for blocking code: how many there are, and that none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from realtime_sip._threads import Threads


def test_a_run_that_is_canceled_before_its_thread_begins_takes_no_thread_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin: list[Callable[[], None]] = []

    class Slow(threading.Thread):
        def start(self) -> None:
            begin.append(self.run)

    monkeypatch.setattr(threading, "Thread", Slow)
    everybodys = Threads("all", 1)
    threads = Threads("mine", 1, among=everybodys)
    for _ in range(3):
        assert threads.submit(int).cancel()
        begin.pop()()
