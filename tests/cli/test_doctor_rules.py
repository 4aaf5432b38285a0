"""The rules of `realtime-sip doctor`: facts in, findings out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import pytest

from realtime_sip.api.causes import UNTRUSTED
from realtime_sip.api.webhook_endpoints import WebhookEndpoint
from realtime_sip.cli.doctor.answer import Answer
from realtime_sip.cli.doctor.clock import skew, skew_of
from realtime_sip.cli.doctor.environment import environment, key_works, secret_works
from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group, shown_url, without_secrets
from realtime_sip.cli.doctor.openai_project import Project, model, project
from realtime_sip.cli.doctor.packages import installed, packages
from realtime_sip.cli.doctor.shown import as_json, as_text
from realtime_sip.cli.doctor.sip_uri import project_of, sip_uri
from realtime_sip.cli.doctor.twilio_account import Found, Wanted, twilio
from realtime_sip.cli.doctor.voice_url import Answers, voice_url
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    QuotaError,
    RealtimeSipError,
    ServerError,
)
from realtime_sip.session import MODEL_SHUTDOWNS
from realtime_sip.twilio.records import AccountRecord, OriginationRecord, PhoneNumber, TrunkRecord
from realtime_sip.twilio.senders import Sender, TwimlApp

KEY, SECRET = "sk-proj-abcdefgh12345678", "whsec_dGhlIHNlY3JldCBvZiBhIHRlc3QsIDMyIGJ5dGVzLi4="
SID, TOKEN = "AC" + "0" * 31 + "7", "0123456789abcdef0123456789abcde7"
GOOD = {"OPENAI_API_KEY": KEY, "OPENAI_WEBHOOK_SECRET": SECRET}
TWILIO = {**GOOD, "TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": TOKEN}
OK, NOTE, WARNING, ERROR, UNCHECKED = Level
TODAY = date(2026, 11, 26)


def at(findings: list[Finding], name: str) -> Finding:
    (found,) = [each for each in findings if each.name == name]
    return found


def wrong(findings: list[Finding]) -> list[tuple[str, Level]]:
    return [(each.name, each.level) for each in findings if each.level in (WARNING, ERROR)]


# --- the environment --------------------------------------------------------------------------------------------------


def test_an_environment_without_mistakes_has_none() -> None:
    assert wrong(environment(TWILIO)) == []
    assert {each.name for each in environment(TWILIO) if each.level is OK} == {
        *("openai-api-key", "openai-webhook-secret", "twilio-credentials")
    }


MISTAKES: dict[str, tuple[dict[str, str], str, Level, str, str]] = {
    "no key": ({"OPENAI_API_KEY": ""}, "openai-api-key", ERROR, "is not set", "sk-proj-"),
    "quotes": ({"OPENAI_API_KEY": f'"{KEY}"'}, "openai-api-key", ERROR, "has quotes around it", "Remove them"),
    "blank": ({"OPENAI_API_KEY": f"{KEY} "}, "openai-api-key", ERROR, "white space or a line end", "Remove it"),
    "name": (
        {"OPENAI_API_KEY": f"OPENAI_API_KEY={KEY}"},
        "openai-api-key",
        ERROR,
        "a name in front",
        "Remove the name",
    ),
    "bearer": ({"OPENAI_API_KEY": f"Bearer {KEY}"}, "openai-api-key", ERROR, "'Bearer' in front", "Remove it"),
    "placeholder": ({"OPENAI_API_KEY": "${KEY}"}, "openai-api-key", ERROR, "is a placeholder", "its place"),
    "secret as key": ({"OPENAI_API_KEY": SECRET}, "openai-api-key", ERROR, "is a webhook secret", "Set it"),
    "project as key": ({"OPENAI_API_KEY": "proj_a"}, "openai-api-key", ERROR, "is the id of a project", "Set it"),
    "admin": ({"OPENAI_API_KEY": "sk-admin-a"}, "openai-api-key", ERROR, "is an admin key", "in the project"),
    "ephemeral": ({"OPENAI_API_KEY": "ek_abc"}, "openai-api-key", ERROR, "is an ephemeral key", "Set it"),
    "user": ({"OPENAI_API_KEY": "sk-abc"}, "openai-api-key", WARNING, "default project", "OPENAI_PROJECT_ID"),
    "other": ({"OPENAI_API_KEY": "abc"}, "openai-api-key", WARNING, "does not begin with sk-", "Copy"),
    "no secret": ({"OPENAI_WEBHOOK_SECRET": ""}, "openai-webhook-secret", ERROR, "is not set", "signing secret"),
    "key as secret": ({"OPENAI_WEBHOOK_SECRET": KEY}, "openai-webhook-secret", ERROR, "is an API key", "Set it"),
    "v1": (
        {"OPENAI_WEBHOOK_SECRET": f"v1,{SECRET}"},
        "openai-webhook-secret",
        ERROR,
        "version of a sig",
        "Remove it",
    ),
    "no base64": ({"OPENAI_WEBHOOK_SECRET": "whsec_!!"}, "openai-webhook-secret", ERROR, "be decoded", "Copy it again"),
    "no whsec": (
        {"OPENAI_WEBHOOK_SECRET": "c2VjcmV0"},
        "openai-webhook-secret",
        WARNING,
        "begin with whsec_",
        "Copy",
    ),
    "short": ({"REALTIME_SIP_CONTEXT_SECRET": "abc"}, "context-secret", ERROR, "fewer than 16", "random text"),
    "shared": (
        {"REALTIME_SIP_CONTEXT_SECRET": SECRET},
        "context-secret",
        WARNING,
        "the webhook secret",
        "its own",
    ),
    "no url": ({"OPENAI_BASE_URL": "api.openai.com"}, "openai-base-url", ERROR, "is not a base URL", "https://"),
    "no version": ({"OPENAI_BASE_URL": "https://api.openai.com"}, "openai-base-url", ERROR, "no version", "/v1"),
    "SIP host": (
        {"OPENAI_BASE_URL": "https://sip.api.openai.com/v1"},
        "openai-base-url",
        ERROR,
        "that phones",
        "API",
    ),
    "operation": (
        {"OPENAI_BASE_URL": "https://a.example/v1/realtime"},
        "openai-base-url",
        ERROR,
        "one operation",
        "/v1",
    ),
    "clear": ({"OPENAI_BASE_URL": "http://a.example/v1"}, "openai-base-url", WARNING, "in the clear", "https"),
    "quoted url": ({"OPENAI_BASE_URL": "'https://a.example/v1'"}, "openai-base-url", ERROR, "quotes", "Remove"),
    "org": ({"OPENAI_ORG_ID": "proj_a"}, "openai-org-id", ERROR, "is the id of a project", "org-"),
    "project": (
        {"OPENAI_PROJECT_ID": "org-a"},
        "openai-project-id",
        ERROR,
        "is the id of an organization",
        "proj_",
    ),
    "project name": ({"OPENAI_PROJECT_ID": "shop"}, "openai-project-id", ERROR, "begin with proj_", "proj_"),
    "beta model": (
        {"MODEL": "gpt-4o-realtime-preview"},
        "beta-name",
        ERROR,
        "a model of the beta",
        "gpt-realtime-2.1",
    ),
    "beta header": (
        {"OPENAI_HEADERS": "OpenAI-Beta: realtime=v1"},
        "beta-name",
        ERROR,
        "asks for the beta",
        "Remove",
    ),
    "workers": ({"WEB_CONCURRENCY": "4"}, "workers", WARNING, "starts 4 workers", "RedisStore"),
    "gunicorn": ({"GUNICORN_CMD_ARGS": "--workers=3"}, "workers", WARNING, "starts 3 workers", "PostgresStore"),
    "gunicorn -w": ({"GUNICORN_CMD_ARGS": "-b :80 -w 2"}, "workers", WARNING, "starts 2 workers", "store="),
    "sid": ({"TWILIO_ACCOUNT_SID": "SK" + "0" * 32}, "twilio-account-sid", ERROR, "of an API key", "AC and 32"),
    "token": ({"TWILIO_AUTH_TOKEN": "abc"}, "twilio-auth-token", ERROR, "is not 32", "32 hexadecimal"),
    "no token": ({"TWILIO_AUTH_TOKEN": ""}, "twilio-auth-token", ERROR, "is not set", "32 hexadecimal"),
    "key without secret": (
        {"TWILIO_API_KEY": "SK" + "0" * 32},
        "twilio-api-key",
        WARNING,
        "is not used",
        "both, or neither",
    ),
    "key alone": (
        {"TWILIO_API_KEY": "SK" + "0" * 32, "TWILIO_AUTH_TOKEN": ""},
        "twilio-api-secret",
        ERROR,
        "is not set",
        "shown once",
    ),
    "cut": ({"OPENAI_WEBHOOK_SECRET": SECRET[:20]}, "openai-webhook-secret", WARNING, "holds 10 bytes", "all of it"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_of_the_environment_has_a_name(case: str) -> None:
    changed, name, level, found, fix = MISTAKES[case]
    findings = environment({**TWILIO, **changed})
    assert wrong(findings) == [(name, level)]
    assert (found in at(findings, name).found, fix in at(findings, name).fix) == (True, True), at(findings, name)


def test_what_is_exchanged_is_said_first() -> None:
    swapped = environment({"OPENAI_API_KEY": SECRET, "OPENAI_WEBHOOK_SECRET": KEY})
    assert (swapped[0].name, swapped[0].fix) == ("swapped", "Exchange the two.")
    of_twilio = environment({**GOOD, "TWILIO_ACCOUNT_SID": TOKEN, "TWILIO_AUTH_TOKEN": SID})
    assert at(of_twilio, "twilio-swapped").level is ERROR


@pytest.mark.parametrize(
    ("there", "read"),
    [
        ("OPENAI_WEBHOOK_SIGNING_SECRET", "OPENAI_WEBHOOK_SECRET"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        ("OPENAI_ORGANIZATION", "OPENAI_ORG_ID"),
        ("TWILIO_TOKEN", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_API_KEY_SID", "TWILIO_API_KEY"),
    ],
)
def test_a_name_that_is_not_read_is_named(there: str, read: str) -> None:
    said = at(environment({there: "x"}), "other-name")
    assert (said.found, said.fix) == (f"{there} is set, which nothing here reads", f"Name it {read}.")
    assert "other-name" not in {each.name for each in environment({there: "x", read: "x"})}


def test_an_api_key_of_twilio_signs_nothing() -> None:
    env = {**TWILIO, "TWILIO_AUTH_TOKEN": "", "TWILIO_API_KEY": "SK" + "0" * 32, "TWILIO_API_SECRET": "abc"}
    assert wrong(environment(env)) == [("twilio-credentials", WARNING)]
    assert at(environment(GOOD), "twilio-credentials").level is UNCHECKED


def test_a_token_alone_verifies_signatures() -> None:
    said = environment({**GOOD, "TWILIO_AUTH_TOKEN": TOKEN})
    assert wrong(said) == []
    assert at(said, "twilio-credentials").level is UNCHECKED


def test_what_is_said_to_be_wrong_with_a_value_has_one_remedy() -> None:
    said = at(environment({**GOOD, "OPENAI_WEBHOOK_SECRET": f'"{SECRET}"'}), "openai-webhook-secret")
    assert said.found == "OPENAI_WEBHOOK_SECRET has quotes around it"
    assert said.fix.startswith("Remove them (docker's")


@pytest.mark.parametrize(
    ("url", "level", "found"),
    [
        ("https://api.openai.com/v1", OK, "is the default"),
        ("https://eu.api.openai.com/v1", NOTE, "eu.api.openai.com, a region of OpenAI's"),
        ("https://gateway.example/openai", NOTE, "gateway.example, a gateway"),
        ("http://127.0.0.1:15060/v1", NOTE, "127.0.0.1:15060, this machine"),
    ],
)
def test_a_base_url_says_where_it_leads(url: str, level: Level, found: str) -> None:
    said = at(environment({**GOOD, "OPENAI_BASE_URL": url}), "openai-base-url")
    assert (said.level, found in said.found) == (level, True)


def test_other_keys_and_ids_that_are_right() -> None:
    for key in ("sk-svcacct-abc", "sk-abc"):
        assert wrong(environment({**GOOD, "OPENAI_API_KEY": key, "OPENAI_PROJECT_ID": "proj_a"})) == []
    of_gateway = environment({**GOOD, "OPENAI_API_KEY": "abc", "OPENAI_BASE_URL": "https://a.example/v1"})
    assert at(of_gateway, "openai-api-key").level is NOTE
    assert at(environment({**GOOD, "REALTIME_SIP_CONTEXT_SECRET": "x" * 16}), "context-secret").level is OK
    assert (key_works(GOOD), key_works({}), key_works({"OPENAI_API_KEY": "sk-admin-a"})) == (True, False, False)
    assert (secret_works(GOOD), secret_works({}), secret_works({"OPENAI_WEBHOOK_SECRET": KEY})) == (True, False, False)


@pytest.mark.parametrize("case", MISTAKES)
def test_no_value_of_the_environment_is_shown_that_is_secret(case: str) -> None:
    env = {**TWILIO, **MISTAKES[case][0], "TWILIO_API_SECRET": "the-secret-of-the-key"}
    text = as_text(environment(env), colored=False)
    for name in ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "TWILIO_AUTH_TOKEN", "TWILIO_API_SECRET"):
        assert len(env[name]) < 8 or env[name] not in text


# --- packages ---------------------------------------------------------------------------------------------------------

OURS = ("0.1.0", ["httpx>=0.27", "websockets>=15", "httpx2!=2.16.1,>=2; extra == 'httpx2'", "ruff>=9; extra == 'dev'"])


@pytest.mark.parametrize(
    ("there", "level", "found"),
    [
        ({"httpx": ("0.28.1", []), "websockets": ("17.4", [])}, OK, "the versions fit: realtime-sip 0.1.0"),
        ({"websockets": ("14.0", [])}, ERROR, "realtime-sip needs websockets>=15, and 14.0 is installed"),
        ({"httpx2": ("2.16.1", [])}, ERROR, "realtime-sip needs httpx2!=2.16.1,>=2"),
        ({"ruff": ("1.0", [])}, OK, "the versions fit"),
        ({"websockets": ("17.4", []), "shop": ("1", ["websockets<16"])}, WARNING, "shop needs websockets<16"),
        ({"websockets": ("17.4", []), "openai": ("3", ["websockets<16; extra == 'realtime'"])}, NOTE, "[realtime]"),
        ({"websockets": ("17.4", []), "shop": ("1", ["websockets<16; extra == 'old'"])}, OK, "the versions fit"),
        ({"websockets": ("17.4", []), "shop": ("1", ["websockets<16; python_version < '3'"])}, OK, "fit"),
        ({"websockets": ("17.4", []), "shop": ("1", ["what is this"])}, OK, "the versions fit"),
    ],
)
def test_versions_that_do_not_fit_are_named(
    there: Mapping[str, tuple[str, list[str]]], level: Level, found: str
) -> None:
    first = packages({"realtime-sip": OURS, **there}, (3, 12))[0]
    assert (first.level, found in re.sub(r">=2,!=2.16.1", "!=2.16.1,>=2", first.found)) == (level, True), first


def test_what_is_installed_here_fits_and_a_newer_python_is_a_note() -> None:
    there = installed()
    assert there["realtime-sip"][1]
    assert at(packages({"realtime-sip": OURS}, (3, 99)), "python").level is NOTE


def test_without_packaging_versions_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "packaging.requirements", None)
    (said,) = packages({"realtime-sip": OURS}, (3, 12))
    assert (said.level, said.fix) == (UNCHECKED, "Install realtime-sip[cli].")


# --- OpenAI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "listed", "level", "found"),
    [
        ("gpt-realtime-2.1", {"gpt-realtime-2.1": None}, OK, "no day is announced"),
        ("gpt-realtime-2.1", None, UNCHECKED, "was not asked"),
        ("gpt-realtime-2.1", {"gpt-realtime": None}, ERROR, "may not use gpt-realtime-2.1"),
        ("gpt-4o-realtime-preview", None, ERROR, "switched off"),
        ("gpt-live-1", None, ERROR, "Live API"),
        ("gpt-realtime", None, WARNING, "will be shut down on 2027-01-20"),
        ("whisper-1", None, NOTE, "will be shut down on 2027-02-26"),
        ("mine", {"mine": date(2026, 11, 26)}, ERROR, "was shut down on 2026-11-26"),
        ("mine", {"mine": date(2027, 1, 1)}, WARNING, "will be shut down on 2027-01-01"),
        ("gpt-5", {"gpt-5": None}, WARNING, "neither answers calls nor transcribes"),
        ("gpt-realtime-whisper", {"gpt-realtime-whisper": None}, OK, "no day is announced"),
        ("gpt-transcribe", {"gpt-transcribe": None}, OK, "no day is announced"),
    ],
)
def test_a_model_is_judged_by_its_end(
    name: str, listed: dict[str, date | None] | None, level: Level, found: str
) -> None:
    today = TODAY if name != "whisper-1" else date(2026, 11, 1)
    said = model(name, listed, today)
    assert (said.level, found in said.found) == (level, True), said
    assert "gpt-realtime" in MODEL_SHUTDOWNS


@pytest.mark.parametrize(
    ("error", "level", "found"),
    [
        (AuthenticationError("no", status_code=401), ERROR, "refuses the key (401)"),
        (QuotaError("no", status_code=429), ERROR, "cannot pay"),
        (PermissionDeniedError("no", status_code=403), WARNING, "may not list models"),
        (NotFoundError("no", status_code=404), WARNING, "no list of models"),
        (NetworkError("no", sent=False), ERROR, "cannot be reached"),
        (ConfigurationError("no"), ERROR, "cannot be reached"),
        (ProxyError("no", sent=False), ERROR, "cannot be reached"),
        (ServerError("no", status_code=500), ERROR, "OpenAI fails"),
    ],
)
def test_a_refusal_says_what_to_do(error: RealtimeSipError, level: Level, found: str) -> None:
    (said,) = project(Project(failure=error), url=None, secret=None, configured=None)
    assert (said.level, found in said.found, bool(said.fix)) == (level, True, True)


def test_a_certificate_that_is_not_trusted_is_no_matter_of_the_network() -> None:
    error = ConfigurationError(f"models.list: ConnectError: TLS, the certificate does not verify (why); {UNTRUSTED}")
    (said,) = project(Project(failure=error), url=None, secret=None, configured=None)
    assert said.found.endswith("the certificate does not verify (why)")
    assert "SSL_CERT_FILE" in said.fix


@pytest.mark.parametrize("error", [NetworkError("no", sent=False), ServerError("no", status_code=500)])
def test_what_is_not_openai_is_looked_for_at_the_base_url(error: RealtimeSipError) -> None:
    base = "https://gateway.example/v1"
    (said,) = project(Project(failure=error), url=None, secret=None, configured=None, base_url=base)
    assert "OPENAI_BASE_URL" in said.fix
    assert base in said.fix


URL = "https://voice.example.com/openai/webhook"


def endpoint(url: str = URL, *kinds: str, hint: str | None = None) -> WebhookEndpoint:
    types = list(kinds) or ["realtime.call.incoming"]
    return WebhookEndpoint(id="wep_1", url=url, event_types=types, signing_secret_hint=hint)


@pytest.mark.parametrize(
    ("endpoints", "url", "expected", "found"),
    [
        ([], URL, ("webhook-endpoint", ERROR), "none at all"),
        ([endpoint(URL, "batch.completed")], URL, ("webhook-endpoint", ERROR), "1 for other events"),
        ([endpoint()], URL, ("webhook-endpoint", OK), f"announced to {URL}"),
        ([endpoint()], None, ("webhook-endpoint", OK), f"announced to {URL}"),
        ([endpoint("https://VOICE.example.com:443/openai/webhook")], URL, ("webhook-endpoint", OK), URL),
        ([endpoint(f"{URL}/")], URL, ("webhook-endpoint", WARNING), "the slash at its end"),
        ([endpoint("https://old.example.com/hook")], URL, ("webhook-endpoint", ERROR), "and not to"),
        ([endpoint()], "http://127.0.0.1:8000/x", ("webhook-endpoint", NOTE), "on this machine"),
        ([endpoint(), endpoint()], URL, ("webhook-endpoints-twice", WARNING), "more than once"),
        ([endpoint(), endpoint("https://b.example/x")], URL, ("webhook-endpoints-twice", WARNING), "whichever"),
        ([endpoint("not a url:x")], URL, ("webhook-endpoint", ERROR), "public https URLs alone"),
    ],
)
def test_endpoints_are_held_against_the_url(
    endpoints: list[WebhookEndpoint], url: str | None, expected: tuple[str, Level], found: str
) -> None:
    findings = project(Project(models={}, endpoints=endpoints, skew=0.0), url=url, secret=None, configured=None)
    said = at(findings, expected[0])
    assert (said.level, found in said.found) == (expected[1], True), said


@pytest.mark.parametrize(
    ("hint", "level"),
    [
        (f"whsec_...{SECRET[-4:]}", OK),
        (f"whsec_dGh…{SECRET[-4:]}", OK),
        ("whsec_dGhl****", OK),
        ("whsec_...wxyz", WARNING),
        ("whsec_zzz...", WARNING),
    ],
)
def test_the_secret_is_held_against_what_is_shown_of_it(hint: str, level: Level) -> None:
    there = Project(models={}, endpoints=[endpoint(hint=hint)])
    assert at(project(there, url=None, secret=SECRET, configured=None), "webhook-secret-hint").level is level


@pytest.mark.parametrize("url", ["http://voice.example.com/hook", "https://127.0.0.1/hook", "https://shop.local/hook"])
def test_an_endpoint_that_openai_cannot_reach_announces_nothing(url: str) -> None:
    there = Project(models={}, endpoints=[endpoint(url)])
    said = at(project(there, url=url, secret=None, configured=None), "webhook-endpoint")
    assert (said.level, "public https URLs alone" in said.found) == (ERROR, True)
    emulated = project(there, url=url, secret=None, configured=None, base_url="http://127.0.0.1:15060/v1")
    assert at(emulated, "webhook-endpoint").level is OK


@pytest.mark.parametrize("error", [PermissionDeniedError("x", status_code=403), NotFoundError("x", status_code=404)])
def test_endpoints_that_cannot_be_read_are_not_checked(error: RealtimeSipError) -> None:
    findings = project(Project(models={}, endpoints_failure=error), url=URL, secret=SECRET, configured=None)
    assert at(findings, "webhook-endpoint").level is UNCHECKED


def test_the_key_of_another_project_is_named() -> None:
    there = Project(models={}, id="proj_a", endpoints=[endpoint()])
    assert at(project(there, url=None, secret=None, configured="proj_b"), "project").level is ERROR
    assert at(project(there, url=None, secret=None, configured="proj_a"), "project").level is OK
    assert at(project(Project(models={}), url=None, secret=None, configured=None), "project").level is UNCHECKED


@pytest.mark.parametrize(
    ("seconds", "level", "found"),
    [
        (None, UNCHECKED, "has no Date"),
        (2.0, OK, "to 30 s"),
        (-40.0, WARNING, "is 40 s ahead of"),
        (40.0, WARNING, "is 40 s behind"),
        (301.0, ERROR, "is refused as too old or too new"),
    ],
)
def test_clocks_bear_what_a_webhook_bears(seconds: float | None, level: Level, found: str) -> None:
    said = skew(of_group(Group.OPENAI), "clock", seconds, ours="this machine", theirs="OpenAI")
    assert (said.level, found in said.found) == (level, True)


@pytest.mark.parametrize("text", ["", "yesterday", "Thu, 99 Nov 2026 08:00:10 GMT"])
def test_a_date_that_is_no_date_says_nothing(text: str) -> None:
    assert skew_of({"date": text}, 0.0) is None


# --- the SIP URI ------------------------------------------------------------------------------------------------------

URI = "sip:proj_abc@sip.api.openai.com;transport=tls"


@pytest.mark.parametrize(
    ("uri", "name", "level", "found"),
    [
        (URI, "sip-uri", OK, "reaches sip.api.openai.com by TLS"),
        (f"{URI};secure=true", "sip-uri", OK, "with SRTP"),
        ("sip:proj_abc@sip.api.openai.com", "sip-transport", ERROR, "no ;transport=tls"),
        ("sips:proj_abc@sip.api.openai.com", "sip-transport", WARNING, "is sips:"),
        ("sip:proj_abc@sip.api.openai.com:5060;transport=tls", "sip-port", ERROR, "has port 5060"),
        ("sip:org-abc@sip.api.openai.com;transport=tls", "sip-project", ERROR, "an organization's id"),
        ("sip:+14155550100@sip.api.openai.com;transport=tls", "sip-project", ERROR, "no project's id"),
        ("sip:proj_xyz@sip.api.openai.com;transport=tls", "sip-project", ERROR, "the key belongs to proj_abc"),
        ("sip:proj_abc@api.openai.com;transport=tls", "sip-uri", ERROR, "is the host of the API"),
        ("sip:shop@pbx.example.com;transport=tls", "sip-uri", NOTE, "is not OpenAI's"),
        ("sip:proj_abc@sbc.example.com;transport=tls", "sip-uri", WARNING, "is not OpenAI's"),
        ("sip:proj_abc@sip.api.openai.co;transport=tls", "sip-uri", ERROR, "is not OpenAI's"),
        ("sip:proj_abc@sip-eu.api.openai.com;transport=tls", "sip-region", ERROR, "served by eu.api.openai.com"),
        ("sip:proj_abc@sip-ae.api.openai.com;transport=tls", "sip-region", WARNING, "not a documented one"),
        (f"{URI};region=mars", "sip-place", WARNING, "ignores it silently"),
        (f"{URI}?edge=tokyo", "sip-uri", ERROR, "before the '?'"),
        ("sip:proj_abc@sip.api.openai.com;transport=tls&secure=true", "sip-uri", ERROR, "not valid"),
        ("hello", "sip-uri", ERROR, "not valid"),
        ("sip:proj_abc@eastus2.sip.ai.azure.com;transport=tls", "sip-uri", OK, "eastus2.sip.ai.azure.com"),
    ],
)
def test_a_sip_uri_is_read_as_twilio_and_openai_do(uri: str, name: str, level: Level, found: str) -> None:
    endpoints = Endpoints.DEFAULT if "azure" not in uri else None
    said = at(sip_uri(uri, source="the TwiML", project="proj_abc", endpoints=endpoints), name)
    assert (said.level, found in said.found) == (level, True), said


@pytest.mark.parametrize(
    ("uri", "endpoints", "right"),
    [
        ("sip:proj_xyz@sip.api.openai.com;transport=tls", None, "sip:proj_abc@sip.api.openai.com;transport=tls"),
        ("sip:proj_abc@sip.api.openai.com", None, "sip:proj_abc@sip.api.openai.com;transport=tls"),
        ("hello", Endpoints.EU, "sip:proj_abc@sip-eu.api.openai.com;transport=tls"),
    ],
)
def test_what_is_to_be_written_is_the_uri_of_the_project(uri: str, endpoints: Endpoints | None, right: str) -> None:
    (said,) = [each for each in sip_uri(uri, source="it", project="proj_abc", endpoints=endpoints) if each.fix]
    assert f"Write {right}." in said.fix


def test_a_host_that_is_not_documented_is_warned_whatever_the_api_is() -> None:
    gateway = Endpoints(api="https://gateway.example/v1", sip="sip.api.openai.com")
    uri = "sip:proj_abc@sip.openai.com;transport=tls"
    assert wrong(sip_uri(uri, source="it", project=None, endpoints=gateway)) == [("sip-region", WARNING)]


def test_the_region_of_a_sip_host_is_that_of_the_api() -> None:
    uri = Endpoints.EU.sip_uri("proj_abc")
    assert wrong(sip_uri(uri, source="it", project=None, endpoints=Endpoints.EU)) == []
    assert wrong(sip_uri(URI, source="it", project=None, endpoints=Endpoints.EU)) == [("sip-region", ERROR)]
    gateway = Endpoints(api="https://gateway.example/v1", sip="sip.api.openai.com")
    assert wrong(sip_uri(uri, source="it", project=None, endpoints=gateway)) == []
    assert (project_of(URI), project_of("hello"), project_of("sip:a@b.example")) == ("proj_abc", None, None)


# --- Twilio -----------------------------------------------------------------------------------------------------------

NUMBER, VOICE = "+14155550199", "https://voice.example.com/twilio/voice"
APP = "AP" + "0" * 32


def number(**fields: object) -> PhoneNumber:
    return PhoneNumber.model_validate({"sid": "PN1", "phone_number": NUMBER, "voice_url": VOICE, **fields})


def trunk(*urls: str, **fields: object) -> dict[str, tuple[TrunkRecord, list[OriginationRecord]] | None]:
    record = TrunkRecord.model_validate({"sid": "TK1", "transfer_mode": "enable-all", **fields})
    there = [OriginationRecord.model_validate({"sid": "OU1", "sip_url": url, "enabled": True}) for url in urls]
    return {"TK1": (record, there)}


def sender(status: str = "ONLINE", app: str | None = APP, limit: str = "1K Customers/24hr") -> Sender:
    record = {"sid": "XE1", "sender_id": f"whatsapp:{NUMBER}", "status": status, "offline_reasons": ["banned"]}
    return Sender.model_validate(
        {**record, "configuration": {"voice_application_sid": app}, "properties": {"messaging_limit": limit}}
    )


def app(url: str | None = VOICE) -> dict[str, TwimlApp | None]:
    return {APP: TwimlApp(sid=APP, voice_url=url)}


ANY = Wanted()
OF_TWILIO: dict[str, tuple[Found, Wanted, str, Level, str]] = {
    "credentials": (Found(failure=AuthenticationError("x", status_code=401)), ANY, "twilio-works", ERROR, "refuses"),
    "account": (Found(failure=NotFoundError("x", status_code=404)), ANY, "twilio-works", ERROR, "no such account"),
    "network": (Found(failure=NetworkError("x", sent=False)), ANY, "twilio-works", ERROR, "cannot be reached"),
    "outage": (Found(failure=ServerError("x", status_code=500)), ANY, "twilio-works", ERROR, "Twilio fails"),
    "trial": (Found(account=AccountRecord(sid=SID, type="Trial")), ANY, "twilio-account", WARNING, "is a trial"),
    "suspended": (
        Found(account=AccountRecord(sid=SID, status="suspended")),
        ANY,
        "twilio-account",
        ERROR,
        "is suspended",
    ),
    "no account": (Found(), ANY, "twilio-account", UNCHECKED, "may not read it"),
    "not owned": (Found(), Wanted(number=NUMBER), "number", ERROR, "+14…99 is no number"),
    "several": (Found(numbers=2), ANY, "number", UNCHECKED, "2 numbers: pass --number"),
    "none": (Found(), ANY, "number", UNCHECKED, "no phone number"),
    "silent": (Found(number=number(capabilities={"voice": False})), ANY, "number", ERROR, "takes no calls"),
    "nowhere": (Found(number=number(voice_url="")), ANY, "number-route", ERROR, "leads nowhere"),
    "url": (Found(number=number()), Wanted(voice_url=f"{VOICE}#rc=2"), "number-route", OK, VOICE),
    "other url": (Found(number=number()), Wanted(voice_url="https://b.example"), "number-route", ERROR, "and not"),
    "demo": (Found(number=number(voice_url="https://demo.twilio.com/x")), ANY, "number-route", ERROR, "demo"),
    "http": (Found(number=number(voice_url="http://a.example/x")), ANY, "number-route", WARNING, "in the clear"),
    "local url": (
        Found(number=number(voice_url="http://localhost:8000/voice")),
        *(ANY, "number-route", ERROR, "Twilio cannot reach"),
    ),
    "local and public": (Found(number=number()), Wanted(voice_url="http://127.0.0.1/x"), "number-route", NOTE, VOICE),
    "API key": (
        Found(failure=AuthenticationError("x", status_code=401)),
        *(Wanted(by_api_key=True), "twilio-works", ERROR, "refuses the API key"),
    ),
    "app": (Found(number=number(voice_application_sid=APP), apps=app()), ANY, "number-route", OK, "by the TwiML App"),
    "app gone": (Found(number=number(voice_application_sid=APP)), ANY, "number-route", ERROR, "cannot be read"),
    "app empty": (Found(apps=app("")), Wanted(application_sid=APP), "twiml-app", ERROR, "has no voice URL"),
    "trunk": (Found(number=number(trunk_sid="TK1"), trunks=trunk(URI)), ANY, "trunk", OK, "leads to a trunk"),
    "trunk and url": (
        Found(number=number(trunk_sid="TK1"), trunks=trunk(URI)),
        *(Wanted(voice_url=VOICE), "number-route", WARNING, "no voice URL is asked"),
    ),
    "trunk gone": (Found(number=number(trunk_sid="TK1")), ANY, "trunk", UNCHECKED, "cannot be read"),
    "empty trunk": (Found(number=number(trunk_sid="TK1"), trunks=trunk()), ANY, "trunk", ERROR, "32010"),
    "refer": (Found(number=number(trunk_sid="TK1"), trunks=trunk(URI)), ANY, "refer", OK, "phone numbers too"),
    "sip-only": (
        Found(number=number(trunk_sid="TK1"), trunks=trunk(URI, transfer_mode="sip-only")),
        *(ANY, "refer", WARNING, "to SIP URIs alone"),
    ),
    "no refer": (
        Found(number=number(trunk_sid="TK1"), trunks=trunk(URI, transfer_mode="disable-all")),
        *(ANY, "refer", WARNING, "takes no transfers"),
    ),
    "rtp": (
        Found(number=number(trunk_sid="TK1"), trunks=trunk(URI, symmetric_rtp_enabled=True)),
        *(ANY, "trunk-rtp", WARNING, "symmetric RTP"),
    ),
    "senders": (Found(senders=None), ANY, "whatsapp-sender", UNCHECKED, "cannot be read"),
    "no sender": (Found(senders=0), ANY, "whatsapp-sender", UNCHECKED, "has no WhatsApp sender"),
    "more senders": (Found(senders=2), ANY, "whatsapp-sender", UNCHECKED, "pass --sender"),
    "not mine": (Found(senders=0), Wanted(sender=f"whatsapp:{NUMBER}"), "whatsapp-sender", ERROR, "is no WhatsApp"),
    "online": (Found(senders=1, sender=sender(), apps=app()), ANY, "whatsapp-sender", OK, "is ONLINE"),
    "its app": (Found(senders=1, sender=sender(), apps=app()), ANY, "whatsapp-app", OK, VOICE),
    "offline": (Found(senders=1, sender=sender("OFFLINE")), ANY, "whatsapp-sender", ERROR, "OFFLINE (['banned'])"),
    "updating": (Found(senders=1, sender=sender("ONLINE:UPDATING")), ANY, "whatsapp-sender", WARNING, "UPDATING"),
    "calls off": (Found(senders=1, sender=sender(app=None)), ANY, "whatsapp-app", ERROR, "calls to it are off"),
    "tier": (Found(senders=1, sender=sender(limit="250 Customers/24hr")), ANY, "whatsapp-tier", WARNING, "1,000"),
    "rule": (Found(rules={VOICE: ["a webhook rule signs it"]}), ANY, "webhook-configuration", WARNING, "signs it"),
    "unread rules": (Found(rules={VOICE: ["it cannot be read"]}), ANY, "webhook-configuration", UNCHECKED, "read"),
    "no rule": (Found(rules={VOICE: []}), ANY, "webhook-configuration", OK, "no rule"),
}


@pytest.mark.parametrize("case", OF_TWILIO)
def test_what_an_account_has_is_judged(case: str) -> None:
    found, wanted, name, level, text = OF_TWILIO[case]
    findings = twilio(found, wanted)
    said = at(findings, name)
    assert (said.level, text in said.found) == (level, True), said
    assert level not in (ERROR, WARNING) or said.fix
    assert NUMBER not in as_text(findings, colored=False)


DEMO = number(voice_url="https://demo.twilio.com/welcome/voice/")


@pytest.mark.parametrize(
    ("wanted", "fix"),
    [
        (ANY, "your public voice URL (in the console, at the number, or by `account.numbers.route_to`), or a trunk"),
        (Wanted(voice_url=VOICE), f"Give it {VOICE}"),
        (Wanted(voice_url="http://127.0.0.1:8000/voice"), "Give it your public voice URL"),
        (Wanted(voice_url="http://127.0.0.1:8000/voice", emulated=True), "Give it http://127.0.0.1:8000/voice"),
        (Wanted(trunk="shop.trunks:MAIN"), "`realtime-sip twilio trunk apply shop.trunks:MAIN` leads it to the trunk."),
    ],
)
def test_a_number_is_led_to_what_was_named(wanted: Wanted, fix: str) -> None:
    assert fix in at(twilio(Found(number=DEMO), wanted), "number-route").fix


@pytest.mark.parametrize(
    ("voice_url", "url"), [(None, "https://…"), (VOICE, VOICE), ("http://127.0.0.1:8000/voice", "https://…")]
)
def test_calls_of_a_sender_are_switched_on_by_a_whole_command(voice_url: str | None, url: str) -> None:
    findings = twilio(Found(senders=1, sender=sender(app=None)), Wanted(voice_url=voice_url))
    assert f"`realtime-sip twilio whatsapp activate XE1 --voice-url {url}`" in at(findings, "whatsapp-app").fix


@pytest.mark.parametrize(
    ("found", "wanted", "levels"),
    [
        # Neither takes calls, and nobody said which should.
        (Found(number=DEMO, senders=1, sender=sender(app=None)), ANY, (ERROR, ERROR)),
        # One takes calls: the other may be there for messages, or for people.
        (Found(number=DEMO, senders=1, sender=sender(), apps=app()), ANY, (WARNING, OK)),
        (Found(number=number(), senders=1, sender=sender(app=None)), ANY, (OK, WARNING)),
        # Whoever is named has to take calls, and the other does not.
        (Found(number=number(), senders=1, sender=sender(app=None)), Wanted(sender="XE1"), (OK, ERROR)),
        (Found(number=DEMO, senders=1, sender=sender(), apps=app()), Wanted(number=NUMBER), (ERROR, OK)),
        (Found(number=DEMO, senders=1, sender=sender(app=None)), Wanted(number=NUMBER), (ERROR, WARNING)),
        (Found(number=DEMO, senders=1, sender=sender(app=None)), Wanted(number=NUMBER, sender="XE1"), (ERROR, ERROR)),
    ],
)
def test_who_was_not_asked_about_is_no_error(found: Found, wanted: Wanted, levels: tuple[Level, Level]) -> None:
    findings = twilio(found, wanted)
    assert (at(findings, "number-route").level, at(findings, "whatsapp-app").level) == levels


def test_a_number_on_a_trunk_is_no_warning_to_who_asks_about_a_sender() -> None:
    found = Found(number=number(trunk_sid="TK1"), trunks=trunk(URI), senders=1, sender=sender(), apps=app())
    findings = twilio(found, Wanted(sender="XE1", voice_url=VOICE))
    assert wrong(findings) == []


DIAL = (
    '<Response><Dial action="/after" referUrl="/refer"{}><Sip>sip:proj_abc@sip.api.openai.com</Sip></Dial></Response>'
)


@pytest.mark.parametrize(
    ("text", "name", "level", "found"),
    [
        (DIAL.format(""), "twiml", OK, "dials a SIP URI"),
        (DIAL.format(""), "refer", OK, "has a referUrl"),
        (DIAL.format(' callerId="whatsapp:+551"'), "caller-id", ERROR, "has a colon"),
        ("<Response><Dial><Sip>sip:a@b</Sip></Dial></Response>", "refer", WARNING, "13802"),
        ("<Response><Dial><Sip>sip:a@b</Sip></Dial></Response>", "dial-action", NOTE, "no action"),
        ("<Response><Say>Hello</Say></Response>", "twiml", NOTE, "dials no SIP URI"),
        ("<Hello/>", "twiml", ERROR, "is not TwiML"),
        ("Hello", "twiml", ERROR, "is not TwiML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Response>&a;</Response>', "twiml", ERROR, "is not TwiML"),
    ],
)
def test_twiml_is_read(text: str, name: str, level: Level, found: str) -> None:
    signed = Answer(status=200, headers={"content-type": "text/xml; charset=utf-8"}, text=text)
    said = at(voice_url(Answers(VOICE, Answer(status=403), signed)), name)
    assert (said.level, found in said.found) == (level, True), said


def test_a_redirect_of_a_voice_url_is_twilios() -> None:
    moved = Answer(status=301, headers={"location": f"{VOICE}/"})
    said = at(voice_url(Answers(VOICE, moved)), "voice-reachable")
    assert (said.level, "the form that Twilio posts may be lost" in said.found) == (ERROR, True)


def test_twiml_of_another_content_type_is_an_error() -> None:
    signed = Answer(status=200, headers={"content-type": "application/json"}, text=DIAL.format(""))
    assert "12300" in at(voice_url(Answers(VOICE, Answer(status=403), signed)), "twiml").found


@pytest.mark.parametrize(
    ("forged", "signed", "name", "level"),
    [
        (403, 403, "voice-signed", ERROR),
        (403, 500, "voice-signed", ERROR),
        (500, 500, "voice-signed", ERROR),
        (403, None, "voice-signed", ERROR),
        (200, 200, "voice-forged", ERROR),
        (200, 200, "voice-signed", UNCHECKED),
        (500, 200, "voice-forged", ERROR),
        (404, None, "voice-reachable", ERROR),
    ],
)
def test_a_voice_url_has_to_tell_the_two_apart(forged: int, signed: int | None, name: str, level: Level) -> None:
    def answer(status: int | None) -> Answer:
        return Answer(status=status, failure=None if status else "timeout", text=DIAL.format(""))

    assert at(voice_url(Answers(VOICE, answer(forged), answer(signed))), name).level is level


def test_a_server_that_fails_on_each_voice_request_has_not_verified_any() -> None:
    failing = Answer(status=500)
    assert (
        at(voice_url(Answers(VOICE, failing, failing)), "voice-signed").found
        == "the server fails on each request (500)"
    )


def test_a_signature_for_this_machine_is_refused_by_who_knows_the_public_url() -> None:
    refusing = Answer(status=403)
    assert "the public URL as Twilio has it" in at(voice_url(Answers(VOICE, refusing, refusing)), "voice-signed").fix
    here = at(voice_url(Answers("http://127.0.0.1:8000/voice", refusing, refusing)), "voice-signed")
    assert here.fix.startswith("Pass the public URL: ")


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_text_and_json_say_the_same() -> None:
    findings = [
        Finding(Group.TWILIO, "number", OK, "it is there"),
        Finding(Group.OPENAI, "model", ERROR, "it was shut down " + "long ago " * 20, "Take another one."),
        Finding(Group.OPENAI, "clock", UNCHECKED, "no \x1b[31mDate"),
    ]
    text = as_text(findings, colored=False)
    assert text.startswith("OpenAI\n  error        model: it was shut down long ago")
    assert "\n               → Take another one.\n" in text
    assert text.endswith("\n\n1 error, 1 not checked")
    assert "\x1b" not in text
    assert "\x1b[31merror" in as_text(findings, colored=True)
    shown = as_json(findings)
    assert shown["ok"] is False
    assert shown["findings"][0] == {
        "group": "Twilio",
        "name": "number",
        "level": "ok",
        "found": "it is there",
        "fix": None,
    }
    assert as_text(findings[:1], colored=False).endswith("nothing: nothing that was checked keeps calls away")


def test_what_a_server_echoes_is_not_shown() -> None:
    echoed = Finding(Group.WEBHOOK, "webhook-signed", ERROR, f"it says “{SECRET} and abc”", f"{KEY}!")
    clean = without_secrets(echoed, [SECRET, KEY, "abc"])
    assert (clean.found, clean.fix) == ("it says “[secret] and abc”", "[secret]!")
    assert shown_url("https://a.example:99999/x") == "a URL that cannot be read"
    assert len(shown_url(f"https://a.example/{'x' * 500}")) == 120
