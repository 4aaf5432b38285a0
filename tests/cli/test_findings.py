"""What is wrong with a server that was rung: what the tests of the command cannot bring about on one machine."""

from __future__ import annotations

import pytest

from realtime_sip.cli.findings import Environment, of_call
from realtime_sip.testing import WebhookResponse

ENVIRONMENT = Environment(exports={"OPENAI_BASE_URL": "http://127.0.0.1:15060/v1"})


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/openai", True),
        ("http://[::1]:8000/openai", True),
        ("http://localhost/openai", True),
        ("http://app.localhost/openai", True),
        ("http://192.0.2.7:8000/openai", False),
        ("https://voice.example.com/openai", False),
    ],
)
def test_a_server_elsewhere_cannot_call_back_without_a_tunnel(url: str, here: bool) -> None:
    taken = WebhookResponse(url=url, type="realtime.call.incoming", webhook_id="wh_1", attempt=1, status_code=200)
    (wrong,) = of_call(ENVIRONMENT, url, answers=[taken], requests=[], sidebands=0, refusals=[], end=None)
    assert wrong.startswith("The server called nobody back here")
    assert ("export OPENAI_BASE_URL=" in wrong) is here
    assert ("ssh -R 15060:127.0.0.1:15060" in wrong) is not here
