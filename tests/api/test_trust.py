"""What is trusted if the program names no authorities."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fronts import Authority
from realtime_sip.api.trust import default_trust


def test_the_authorities_are_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = default_trust()
    monkeypatch.setattr(ssl, "create_default_context", None)
    assert default_trust() is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname


def test_those_of_the_environment_are_read_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = default_trust()
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).pem))
    named = default_trust()
    assert named is not first
    assert named.cert_store_stats()["x509"] == 1
    monkeypatch.undo()
    assert default_trust() is first
