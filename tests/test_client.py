"""The clients: their settings, their environment, and that their two faces are one."""

from __future__ import annotations

import inspect
import pydoc
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_sip import AsyncRealtimeSip, AsyncSideband, Endpoints, RealtimeSip, Sideband
from realtime_sip.api.calls import Calls, WebRtcCall
from realtime_sip.api.client_secrets import AsyncClientSecrets, ClientSecret, ClientSecrets
from realtime_sip.api.protocol import Protocol
from realtime_sip.client import AsyncCalls
from realtime_sip.errors import ConfigurationError, MisuseError
from realtime_sip.webhooks import OpenAIWebhooks

ENVIRONMENT = ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
CONTEXT_SECRET = "REALTIME_SIP_CONTEXT_SECRET"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, CONTEXT_SECRET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client() -> Iterator[RealtimeSip]:
    with RealtimeSip("sk-test", webhook_secret="whsec_" + "c2VjcmV0" * 4) as client:
        yield client


def public(face: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(face) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [
        (Calls, AsyncCalls),
        (ClientSecrets, AsyncClientSecrets),
        (Sideband, AsyncSideband),
        (RealtimeSip, AsyncRealtimeSip),
    ],
)
def test_the_two_faces_have_the_same_methods_signatures_and_docstrings(sync: type, asynchronous: type) -> None:
    ours, theirs = public(sync), public(asynchronous)
    # A whole call needs an event loop: timers, tools and a socket at the same time.
    assert ours.keys() == theirs.keys() - {"answer"}
    for name, member in ours.items():
        if not callable(member) or name == "send":
            continue
        there = theirs[name]
        assert _parameters(member) == _parameters(there), name
        assert inspect.getdoc(member) == inspect.getdoc(there), name
    assert _parameters(sync) == _parameters(asynchronous)


def _parameters(function: Any) -> list[tuple[str, str, object]]:
    signature = inspect.signature(function)
    return [
        (p.name, re.sub(r"\bAsync", "", str(p.annotation)).replace("httpx.Client", "httpx.C"), p.default)
        for p in signature.parameters.values()
        if p.name not in ("self", "connection", "http_client")
    ]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(
        ENVIRONMENT, ("sk-env", "whsec_c2VjcmV0", "http://127.0.0.1:9/v1/", "org-env", "proj_env"), strict=True
    ):
        monkeypatch.setenv(name, value)
    with RealtimeSip() as client:
        settings = client.settings
        assert settings.headers() == {
            "Authorization": "Bearer sk-env",
            "OpenAI-Organization": "org-env",
            "OpenAI-Project": "proj_env",
        }
        assert settings.endpoints.api == "http://127.0.0.1:9/v1"
        assert settings.endpoints.socket == "ws://127.0.0.1:9/v1"
        assert client.webhooks.sign(b"{}", id="wh_1", timestamp=1700000000)


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with RealtimeSip("sk-given", endpoints=Endpoints.EU) as client:
        assert client.settings.headers() == {"Authorization": "Bearer sk-given"}
        assert client.settings.endpoints is Endpoints.EU


def test_no_key_is_said_at_the_door() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        RealtimeSip()


def test_no_webhook_secret_is_said_when_it_is_needed() -> None:
    with RealtimeSip("sk-test") as client, pytest.raises(ConfigurationError, match="OPENAI_WEBHOOK_SECRET"):
        client.webhooks  # noqa: B018


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "sk-test\n"},
        {"api_key": "sk tést"},
        {"organization": "org\r\nX: y"},
        {"project": ""},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": None},
        {"ping_interval": -1},
        {"ping_timeout": "20"},
        {"base_url": "api.openai.com"},
        {"base_url": "ftp://api.openai.com"},
        {"base_url": "https://user:pass@api.openai.com/v1"},
        {"base_url": "https://api.openai.com/v1?x=1"},
        {"base_url": "http://[::1"},
        {"base_url": "http://host:99999/v1"},
        {"base_url": "http://host:port/v1"},
        {"base_url": "http://a..b/v1"},
        {"base_url": "http://1.2.3.999/v1"},
        {"base_url": "http://two words/v1"},
        {"base_url": f"http://{'a' * 70}/v1"},
        {"base_url": "http://host/v1\r\nX:y"},
        {"base_url": "http://hôst/v1"},
        {"base_url": 7},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RealtimeSip(**{"api_key": "sk-test", **options})
    assert "pass" not in str(caught.value)


MISCOPIED = [
    ('"{}"', "quotes"),
    ("'{}'", "quotes"),
    ("“{}”", "quotes"),
    ('{}"', "quotes"),
    (" {}", "white space"),
    ("{}\n", "white space"),
    ("{}\r\n", "white space"),
    ("\ufeff{}", "invisible"),
    ("{}\u200b", "invisible"),
    ("NAME={}", "a name"),
    ("export NAME={}", "a name"),
    ("NAME = {}", "a name"),
    ('NAME="{}"', "a name|quotes"),
    ("name: {}", "a name"),
    ("my-secret={}", "a name"),
    ("${{NAME}}", "placeholder"),
    ("$NAME", "placeholder"),
    ("<your secret>", "placeholder"),
]
"""How a key or a secret looks if something came into it on its way, and what the error says of it."""


@pytest.mark.parametrize(("how", "says"), MISCOPIED)
@pytest.mark.parametrize("what", ["api_key", "webhook_secret", "context_secret", "OPENAI_API_KEY"])
def test_law_settings_are_what_they_seem(monkeypatch: pytest.MonkeyPatch, what: str, how: str, says: str) -> None:
    good = {"api_key": "sk-proj-abc123", "webhook_secret": "whsec_c2VjcmV0", "context_secret": "whsec_0123456789abcdef"}
    for kind in (RealtimeSip, AsyncRealtimeSip):
        options: dict[str, Any] = {"api_key": good["api_key"]}
        if what == "OPENAI_API_KEY":
            monkeypatch.setenv(what, how.format(good["api_key"]))
            options = {}
        else:
            options[what] = how.format(good[what])
        with pytest.raises(ConfigurationError, match=says) as caught:
            kind(**options)
        assert "abc123" not in str(caught.value)
        assert "c2Vj" not in str(caught.value)


@pytest.mark.parametrize("what", ["OPENAI_WEBHOOK_SECRET", "REALTIME_SIP_CONTEXT_SECRET", "OPENAI_ORG_ID"])
def test_law_settings_are_what_they_seem__from_the_environment(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv(what, '"whsec_c2VjcmV0"')
    with pytest.raises(ConfigurationError, match="quotes"):
        RealtimeSip("sk-test")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"api_key": "Bearer sk-test"}, "Bearer"),
        ({"api_key": "sk test"}, "blanks"),
        ({"webhook_secret": "v1,whsec_c2VjcmV0"}, "up to the comma"),
        ({"webhook_secret": "WHSEC_c2VjcmV0"}, "whsec_"),
        ({"webhook_secret": "secret whsec_c2VjcmV0"}, "whsec_"),
        ({"webhook_secret": "whsec_c2VjcmV0,whsec_c2VjcmV0"}, "as a list"),
        ({"webhook_secret": ["whsec_c2VjcmV0", "'whsec_c2VjcmV0'"]}, "quotes"),
        ({"webhook_secret": {"'whsec_c2VjcmV0'": "proj_1"}}, "quotes"),
        ({"context_secret": ["'0123456789abcdef'"]}, "quotes"),
    ],
)
def test_law_settings_are_what_they_seem__what_else_comes_in_front(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        RealtimeSip(**{"api_key": "sk-test", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "0123456789abcdef0123456789abcdef"},
        {"api_key": "c2VjcmV0IGtleQ=="},
        {"api_key": "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"},
        {"api_key": "task-sk-1"},
        {"webhook_secret": "plain text, é"},
        {"webhook_secret": "p'ss-w\"rd"},
        {"webhook_secret": "c2VjcmV0IGtleQ=="},
        {"context_secret": "a secret of several words"},
        {"context_secret": "'tis the season, again"},
        {"context_secret": "MC4CAQAwBQYDK2VwBCIEIA=="},
    ],
)
def test_no_false_refusal_of_a_key_or_a_secret(options: dict[str, Any]) -> None:
    with RealtimeSip(**{"api_key": "sk-test", "webhook_secret": "whsec_c2VjcmV0", **options}) as client:
        assert client.webhooks.sign(b"{}", id="wh_1", timestamp=1700000000)


@pytest.mark.parametrize("kind", [RealtimeSip, AsyncRealtimeSip])
def test_law_what_tests_replace_is_looked_up_when_it_is_needed(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = kind("sk-test", webhook_secret="whsec_c2VjcmV0")
    body = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": []}}'
    headers = client.webhooks.sign(body, id="wh_1", timestamp=1_000_000_000)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_001.0)
    assert client.webhooks.unwrap(body, headers).call_id == "rtc_1"
    assert OpenAIWebhooks("whsec_c2VjcmV0").unwrap(body, headers).webhook_id == "wh_1"
    assert client.settings.clock() == 1_000_000_001.0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://[::1]:8000/v1",
        "http://mock_openai:8000/v1",
        "https://api.openai.com./v1/",
        "http://localhost",
    ],
)
def test_a_base_url_may_be_that_of_a_stand_in(url: str) -> None:
    with RealtimeSip("sk-test", base_url=url) as client:
        assert client.settings.endpoints.api == url.rstrip("/")


@pytest.mark.parametrize(
    "parts",
    [
        {"sip": "sip.example.com\r\nX: y"},
        {"sip": "user@sip.example.com"},
        {"sip": ""},
        {"key_header": "api-key\r\nX"},
        {"key_header": ""},
    ],
)
def test_law_control_characters_never_reach_a_header_or_a_uri__from_hosts(parts: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Endpoints(**{"api": "https://api.example.com/v1", "sip": "sip.example.com", **parts})


def test_with_options_is_a_changed_copy(client: RealtimeSip) -> None:
    other = client.with_options(timeout=1.5, project="proj_2")
    assert (other.settings.timeout, other.settings.project) == (1.5, "proj_2")
    assert client.settings.timeout == 5.0
    assert other.settings.headers()["Authorization"] == client.settings.headers()["Authorization"]
    assert other.webhooks.sign(b"{}", id="wh_1", timestamp=1700000000) == client.webhooks.sign(
        b"{}", id="wh_1", timestamp=1700000000
    )


def test_with_options_does_not_take_the_key_away(client: RealtimeSip) -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        client.with_options(api_key=None)  # type: ignore[arg-type]


def test_with_options_refuses_what_is_unknown(client: RealtimeSip) -> None:
    with pytest.raises(ConfigurationError, match="unknown option deadline"):
        client.with_options(deadline=3)  # type: ignore[call-arg]


def test_law_secrets_are_not_in_repr(client: RealtimeSip) -> None:
    for shown in (repr(client), repr(client.settings), repr(client.webhooks), str(client.settings)):
        assert "sk-test" not in shown
        assert "c2Vj" not in shown


def test_law_secrets_and_bodies_are_not_in_the_repr_of_what_comes_back() -> None:
    call = WebRtcCall(call_id="rtc_1", sdp="v=0\r\na=ice-pwd:hush")
    secret = ClientSecret.model_validate(
        {"value": "ek_hush", "expires_at": 1, "session": {"type": "realtime", "instructions": "hush"}}
    )
    close = Protocol().closed(1008, "key sk-hush, caller +1 415 555 0100")
    for shown in (repr(call), repr(secret), str(secret), repr(close), str(close)):
        assert "hush" not in shown
        assert "415" not in shown
    assert "rtc_1" in repr(call)


def test_azure_is_one_setting_for_api_and_sip() -> None:
    with RealtimeSip.azure("contoso", region="eastus2", api_key="key", timeout=3) as client:
        assert client.settings.endpoints.sip_uri("proj_1") == "sip:proj_1@eastus2.sip.ai.azure.com;transport=tls"
        assert client.settings.headers() == {"api-key": "key"}
        assert client.settings.timeout == 3


@pytest.mark.parametrize("resource", ["", "contoso.openai.azure.com", "a/b", "-a", "a" * 64])
def test_an_azure_resource_is_a_bare_name(resource: str) -> None:
    with pytest.raises(ConfigurationError, match="resource"):
        Endpoints.azure(resource, region="eastus2")


@pytest.mark.parametrize(
    ("endpoints", "uri"),
    [
        (Endpoints.DEFAULT, "sip:proj_1@sip.api.openai.com;transport=tls"),
        (Endpoints.EU, "sip:proj_1@sip-eu.api.openai.com;transport=tls"),
        (Endpoints.INDIA, "sip:proj_1@sip-in.api.openai.com;transport=tls"),
    ],
)
def test_api_and_sip_host_belong_together(endpoints: Endpoints, uri: str) -> None:
    assert endpoints.sip_uri("proj_1") == uri


@pytest.mark.parametrize("project", ["", "1", "proj_", "proj_1@evil.example", "proj_1;x=y", "proj_1\r\n"])
def test_a_sip_uri_is_made_of_a_project_id_only(project: str) -> None:
    with pytest.raises(ConfigurationError, match="project id"):
        Endpoints.DEFAULT.sip_uri(project)


async def test_a_client_that_is_closed_before_its_first_request_says_so() -> None:
    client = RealtimeSip("sk-test")
    other = client.with_options(timeout=1)
    client.close()
    for closed in (client, other):
        with pytest.raises(MisuseError, match="has been closed"):
            closed.calls.hangup("rtc_1")
    async with AsyncRealtimeSip("sk-test") as asynchronous:
        pass
    with pytest.raises(MisuseError, match="has been closed"):
        await asynchronous.calls.hangup("rtc_1")


async def test_the_async_client_closes_what_it_opened() -> None:
    async with AsyncRealtimeSip("sk-test") as client:
        assert repr(client) == "AsyncRealtimeSip(https://api.openai.com/v1)"


@pytest.mark.parametrize("kind", [RealtimeSip, AsyncRealtimeSip])
def test_help_says_what_a_method_does(kind: Any) -> None:
    client = kind("sk-test")
    for method in (client.calls.accept, client.client_secrets.create, client.connect, kind.__init__):
        assert "Raises:" in pydoc.render_doc(method)
    assert "target_uri: 'str | SipUri'" in pydoc.render_doc(client.calls.refer)
