"""The variables of the environment: which are there, and whether each can be what it should be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from realtime_sip import beta
from realtime_sip._redaction import miscopied
from realtime_sip.api.keys import checked_key
from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError
from realtime_sip.webhooks.unwrap import check_secrets

__all__ = ["SECRETS", "environment", "key_works", "region_of", "secret_works", "secrets_of"]

SECRETS = (
    *("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "REALTIME_SIP_CONTEXT_SECRET"),
    *("TWILIO_AUTH_TOKEN", "TWILIO_API_SECRET"),
)
"""Variables whose values are shown nowhere."""

_report = of_group(Group.ENVIRONMENT)

# Names that programs, guides and other packages use, and what is read here.
_OTHER_NAMES = {
    "OPENAI_API_KEY": ("OPENAI_KEY", "OPENAI_SECRET_KEY", "OPENAI_APIKEY", "OPENAI_TOKEN"),
    "OPENAI_WEBHOOK_SECRET": (
        *("OPENAI_WEBHOOK_SIGNING_SECRET", "OPENAI_WEBHOOK_KEY", "OPENAI_SIGNING_SECRET"),
        *("WEBHOOK_SECRET", "WEBHOOK_SIGNING_SECRET"),
    ),
    "OPENAI_BASE_URL": ("OPENAI_API_BASE", "OPENAI_API_BASE_URL", "OPENAI_ENDPOINT"),
    "OPENAI_ORG_ID": ("OPENAI_ORGANIZATION", "OPENAI_ORGANIZATION_ID"),
    "OPENAI_PROJECT_ID": ("OPENAI_PROJECT",),
    "TWILIO_ACCOUNT_SID": ("TWILIO_SID", "TWILIO_ACCOUNT_ID", "ACCOUNT_SID"),
    "TWILIO_AUTH_TOKEN": ("TWILIO_TOKEN", "TWILIO_AUTHTOKEN", "AUTH_TOKEN"),
    "TWILIO_API_KEY": ("TWILIO_API_KEY_SID", "TWILIO_API_SID"),
    "TWILIO_API_SECRET": ("TWILIO_API_KEY_SECRET",),
}
_WHAT = {
    "sk-": "an API key of OpenAI's",
    "ek_": "an ephemeral key",
    "whsec_": "a webhook secret",
    "proj_": "the id of a project",
    "org-": "the id of an organization",
}
_MAKE_KEY = "Set it to a key of your project, sk-proj-…: Project, API keys, at platform.openai.com."
_COPY_SIGNING = "Set it to the signing secret that was shown when the webhook was made; rotate it if nobody has it."
_MAKE_WEBHOOK = (
    "Make a webhook for realtime.call.incoming in the project's settings, and set it to the signing secret that is "
    "shown then; rotate it if there is one and nobody has its secret."
)
_CONSOLE = "the first page of Twilio's console has it, under account info"
_HEX = re.compile("[0-9a-f]{32}")
# Bytes of a secret, by Standard Webhooks.
_SECRET_BYTES = range(24, 65)
_SID = re.compile("(AC|SK)[0-9a-f]{32}")
_CONTEXT_SECRET = 16
# What tells gunicorn or uvicorn how many workers to start.
_WORKERS = ("WEB_CONCURRENCY", "UVICORN_WORKERS")
_WORKERS_OF_GUNICORN = re.compile(r"(?:^|\s)(?:-w|--workers)[ =]?([0-9]{1,4})")


def environment(env: Mapping[str, str]) -> list[Finding]:
    """Return what is wrong with the variables, and what is right."""
    return [
        *_swapped(env),
        _api_key(env),
        _webhook_secret(env),
        _context_secret(env),
        *_base_url(env),
        *_ids(env),
        *_twilio(env),
        *_other_names(env),
        *_of_the_beta(env),
        *_workers(env),
    ]


def key_works(env: Mapping[str, str]) -> bool:
    """Whether there is an API key that requests can be sent with."""
    key = env.get("OPENAI_API_KEY", "")
    return not _problem_of_key(key) and not key.startswith(("sk-admin-", "ek_"))


def secret_works(env: Mapping[str, str]) -> bool:
    """Whether there is a webhook secret that can sign."""
    return bool(env.get("OPENAI_WEBHOOK_SECRET")) and not _problem_of_secret(env["OPENAI_WEBHOOK_SECRET"])


def secrets_of(env: Mapping[str, str]) -> list[str]:
    """Return all secrets of the environment, also without `whsec_`, the longest first, so that none hides another."""
    there = {env[name] for name in SECRETS if env.get(name)}
    return sorted(there | {each.removeprefix("whsec_") for each in there}, key=len, reverse=True)


def region_of(env: Mapping[str, str]) -> Endpoints | None:
    """Return where the API is, or None if its base URL cannot be used."""
    try:
        return Endpoints(api=env.get("OPENAI_BASE_URL") or Endpoints.DEFAULT.api, sip=Endpoints.DEFAULT.sip)
    except ConfigurationError:
        return None


def _kind_of(value: str) -> str | None:
    return next((what for prefix, what in _WHAT.items() if value.startswith(prefix)), None)


def _swapped(env: Mapping[str, str]) -> list[Finding]:
    key, secret = env.get("OPENAI_API_KEY", ""), env.get("OPENAI_WEBHOOK_SECRET", "")
    if key.startswith("whsec_") and secret.startswith("sk-"):
        found = "OPENAI_API_KEY and OPENAI_WEBHOOK_SECRET have each other's value"
        return [_report("swapped", Level.ERROR, found, "Exchange the two.")]
    return []


def _api_key(env: Mapping[str, str]) -> Finding:
    key = env.get("OPENAI_API_KEY", "")
    name = "openai-api-key"
    if not key:
        return _report(name, Level.ERROR, "OPENAI_API_KEY is not set", _MAKE_KEY)
    problem = _problem_of_key(key)
    if problem:
        return _wrong(name, "OPENAI_API_KEY", problem, _MAKE_KEY)
    match key.split("-")[:2]:
        case ["sk", "proj"]:
            return _report(name, Level.OK, "OPENAI_API_KEY is a key of a project")
        case ["sk", "svcacct"]:
            return _report(name, Level.OK, "OPENAI_API_KEY is a key of a service account in a project")
        case ["sk", "admin"]:
            found = "OPENAI_API_KEY is an admin key, which cannot answer calls"
            return _report(name, Level.ERROR, found, "Make a key in the project that has the webhook.")
        case ["sk", _] if env.get("OPENAI_PROJECT_ID"):
            return _report(name, Level.OK, "OPENAI_API_KEY is a key of a user, and OPENAI_PROJECT_ID names the project")
        case ["sk", _]:
            found = "OPENAI_API_KEY is a key of a user, which acts in their default project"
            fix = "Make a key in the project that has the webhook, or set OPENAI_PROJECT_ID."
            return _report(name, Level.WARNING, found, fix)
    if key.startswith("ek_"):
        found = "OPENAI_API_KEY is an ephemeral key, which is for browsers and expires"
        return _report(name, Level.ERROR, found, _MAKE_KEY)
    if env.get("OPENAI_BASE_URL"):
        return _report(name, Level.NOTE, "OPENAI_API_KEY does not begin with sk-: it is for a gateway, or for Azure")
    found = "OPENAI_API_KEY does not begin with sk-, and there is no OPENAI_BASE_URL of a gateway"
    return _report(name, Level.WARNING, found, "Copy the key again, from its beginning.")


def _problem_of_key(key: str) -> str:
    if not key:
        return "is not set"
    kind = _kind_of(key)
    if kind is not None and not key.startswith(("sk-", "ek_")):
        return f"is {kind}"
    try:
        checked_key(key)
    except ConfigurationError as error:
        return str(error).removeprefix("api_key ")
    return ""


def _webhook_secret(env: Mapping[str, str]) -> Finding:
    secret = env.get("OPENAI_WEBHOOK_SECRET", "")
    name = "openai-webhook-secret"
    if not secret:
        return _report(name, Level.ERROR, "OPENAI_WEBHOOK_SECRET is not set", _MAKE_WEBHOOK)
    problem = _problem_of_secret(secret)
    if problem:
        return _wrong(name, "OPENAI_WEBHOOK_SECRET", problem, _COPY_SIGNING)
    if not secret.startswith("whsec_"):
        found = "OPENAI_WEBHOOK_SECRET does not begin with whsec_, so it is used as it is"
        return _report(name, Level.WARNING, found, "Copy it again, with its whsec_.")
    length = len(secret.removeprefix("whsec_").rstrip("=")) * 3 // 4
    if length not in _SECRET_BYTES:
        found = f"OPENAI_WEBHOOK_SECRET holds {length} bytes, and Standard Webhooks has 24 to 64: a part may be missing"
        return _report(name, Level.WARNING, found, "Copy it again, all of it.")
    return _report(name, Level.OK, "OPENAI_WEBHOOK_SECRET has the form of a signing secret")


def _problem_of_secret(secret: str) -> str:
    kind = _kind_of(secret)
    if kind is not None and not secret.startswith("whsec_"):
        return f"is {kind}"
    try:
        check_secrets(secret)
    except ConfigurationError as error:
        return str(error).removeprefix("a webhook secret ")
    return ""


def _wrong(name: str, variable: str, problem: str, fix: str) -> Finding:
    """Return what is wrong with a value: what `problem` says behind its colon is to be done, else `fix`."""
    found, colon, remedy = problem.partition(": ")
    return _report(name, Level.ERROR, f"{variable} {found}", f"{remedy[:1].upper()}{remedy[1:]}." if colon else fix)


def _context_secret(env: Mapping[str, str]) -> Finding:
    secret = env.get("REALTIME_SIP_CONTEXT_SECRET", "")
    name = "context-secret"
    if not secret:
        found = "REALTIME_SIP_CONTEXT_SECRET is not set: `incoming.context` is empty"
        return _report(name, Level.NOTE, found)
    problem = miscopied(secret)
    if problem is None and len(secret) < _CONTEXT_SECRET:
        problem = f"has fewer than {_CONTEXT_SECRET} characters"
    if problem is not None:
        fix = "Set it to a random text, the same wherever your TwiML and your webhook are answered."
        return _wrong(name, "REALTIME_SIP_CONTEXT_SECRET", problem, fix)
    if secret == env.get("OPENAI_WEBHOOK_SECRET"):
        found = "REALTIME_SIP_CONTEXT_SECRET is the webhook secret"
        return _report(name, Level.WARNING, found, "Set it to a random text of its own.")
    return _report(name, Level.OK, "REALTIME_SIP_CONTEXT_SECRET is set")


def _base_url(env: Mapping[str, str]) -> list[Finding]:
    url = env.get("OPENAI_BASE_URL", "")
    name = "openai-base-url"
    if not url:
        return []
    problem = miscopied(url)
    if problem is not None:
        return [_wrong(name, "OPENAI_BASE_URL", problem, "Set it again, without that.")]
    endpoints = region_of(env)
    if endpoints is None:
        fix = "Set it to a URL such as https://api.openai.com/v1, or remove it."
        return [_report(name, Level.ERROR, "OPENAI_BASE_URL is not a base URL", fix)]
    host = endpoints.api.partition("://")[2].partition("/")[0].lower()
    if host.startswith("sip") and host.endswith("openai.com"):
        fix = "Set it to the URL of the API, such as https://api.openai.com/v1."
        return [_report(name, Level.ERROR, "OPENAI_BASE_URL is the host that phones call, not the API's", fix)]
    if host.endswith(("openai.com", "azure.com")) and not re.search(r"/v[0-9]", endpoints.api):
        found = "OPENAI_BASE_URL has no version in its path"
        return [_report(name, Level.ERROR, found, "Add /v1 to it.")]
    if endpoints.api.endswith(("/realtime", "/responses", "/chat/completions")):
        found = "OPENAI_BASE_URL has the path of one operation at its end"
        return [_report(name, Level.ERROR, found, "Let it end with /v1.")]
    here = host.partition(":")[0] in ("127.0.0.1", "localhost") or host.startswith("[::1]")
    if endpoints.api.startswith("http://") and not here:
        found = "OPENAI_BASE_URL is http: the key is sent in the clear"
        return [_report(name, Level.WARNING, found, "Use https.")]
    if endpoints.api == Endpoints.DEFAULT.api:
        return [_report(name, Level.OK, "OPENAI_BASE_URL is the default")]
    kind = "a region of OpenAI's" if endpoints.has_residency else "this machine" if here else "a gateway"
    return [_report(name, Level.NOTE, f"OPENAI_BASE_URL leads to {host}, {kind}")]


def _ids(env: Mapping[str, str]) -> list[Finding]:
    found = []
    for variable, prefix, what in (
        ("OPENAI_ORG_ID", "org-", "an organization"),
        ("OPENAI_PROJECT_ID", "proj_", "a project"),
    ):
        value = env.get(variable)
        if not value:
            continue
        name = variable.lower().replace("_", "-")
        problem = miscopied(value)
        if problem is None and not value.startswith(prefix):
            kind = _kind_of(value)
            problem = f"is {kind}" if kind else f"does not begin with {prefix}"
        if problem is not None:
            fix = f"Set it to the id of {what}, {prefix}…, or remove it: a key of a project needs neither."
            found.append(_wrong(name, variable, problem, fix))
        else:
            found.append(_report(name, Level.OK, f"{variable} has the form of the id of {what}"))
    return found


def _twilio(env: Mapping[str, str]) -> list[Finding]:
    sid, token = env.get("TWILIO_ACCOUNT_SID", ""), env.get("TWILIO_AUTH_TOKEN", "")
    key, secret = env.get("TWILIO_API_KEY", ""), env.get("TWILIO_API_SECRET", "")
    name = "twilio-credentials"
    if not (sid or token or key or secret):
        wanted = "for a number or a sender there set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        found = f"no variable of Twilio's is set: {wanted}"
        return [_report(name, Level.NOT_CHECKED, found)]
    if _HEX.fullmatch(sid) and _SID.fullmatch(token):
        found = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN have each other's value"
        return [_report("twilio-swapped", Level.ERROR, found, "Exchange the two.")]
    wrong = list(_credentials(sid, token, key, secret))
    if wrong:
        return wrong
    if not sid:
        found = "TWILIO_AUTH_TOKEN is there for signatures, and no TWILIO_ACCOUNT_SID to look at the account with"
        return [_report(name, Level.NOT_CHECKED, found)]
    if not token:
        found = "there is an API key of Twilio's and no TWILIO_AUTH_TOKEN, which signs what Twilio requests"
        return [_report(name, Level.WARNING, found, "Set TWILIO_AUTH_TOKEN, too, if you answer TwiML.")]
    return [_report(name, Level.OK, "the variables of Twilio's have the right form")]


def _credentials(sid: str, token: str, key: str, secret: str) -> Iterator[Finding]:
    # A server that answers TwiML needs the token alone, and what places calls takes an API key in its place.
    if sid or not token or key or secret:
        form = re.compile("AC[0-9a-f]{32}")
        yield from _credential("TWILIO_ACCOUNT_SID", sid, form, "AC and 32 hexadecimal digits", _CONSOLE)
    if token or not (key or secret):
        yield from _credential("TWILIO_AUTH_TOKEN", token, _HEX, "32 hexadecimal digits", _CONSOLE)
    if token and bool(key) != bool(secret):
        there, missing = ("KEY", "SECRET") if key else ("SECRET", "KEY")
        found = f"TWILIO_API_{there} is not used: there is no TWILIO_API_{missing}"
        fix = "Set both, or neither: TWILIO_AUTH_TOKEN does without."
        yield _report(f"twilio-api-{there.lower()}", Level.WARNING, found, fix)
    elif key or secret:
        where = "Twilio's console has it, under API keys and tokens"
        form = re.compile("SK[0-9a-f]{32}")
        yield from _credential("TWILIO_API_KEY", key, form, "SK and 32 hexadecimal digits", where)
        form = re.compile(r"\S+")
        fix = "it was shown once, when the key was made"
        yield from _credential("TWILIO_API_SECRET", secret, form, "the secret of the API key", fix)


def _credential(variable: str, value: str, form: re.Pattern[str], what: str, where: str) -> Iterator[Finding]:
    problem = "is not set" if not value else miscopied(value)
    if problem is None and not form.fullmatch(value):
        problem = f"is not {what}"
        if variable == "TWILIO_ACCOUNT_SID" and value.startswith("SK"):
            problem = "is the SID of an API key, which belongs in TWILIO_API_KEY"
    if problem is not None:
        name = variable.lower().replace("_", "-")
        yield _wrong(name, variable, problem, f"Set it to {what}: {where}.")


def _other_names(env: Mapping[str, str]) -> list[Finding]:
    found = []
    for name, others in _OTHER_NAMES.items():
        there = [other for other in others if env.get(other)]
        if there and not env.get(name):
            level = Level.WARNING if name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID") else Level.ERROR
            if name.startswith("TWILIO") and not env.get("TWILIO_ACCOUNT_SID"):
                level = Level.WARNING
            text = f"{there[0]} is set, which nothing here reads"
            found.append(_report("other-name", level, text, f"Name it {name}."))
    return found


def _of_the_beta(env: Mapping[str, str]) -> list[Finding]:
    found = []
    for name, value in env.items():
        if value in beta.MODELS:
            text = f"{name} is {value}, a model of the beta API, which was switched off"
            found.append(_report("beta-name", Level.ERROR, text, f"Set it to {beta.MODELS[value]}."))
        elif beta.HEADER_VALUE in value or beta.SUBPROTOCOL in value:
            text = f"{name} asks for the beta API, which was switched off: the service refuses what has that header"
            found.append(_report("beta-name", Level.ERROR, text, "Remove it."))
    return found


def _workers(env: Mapping[str, str]) -> list[Finding]:
    said = {name: env[name] for name in _WORKERS if env.get(name, "").isdecimal()}
    if match := _WORKERS_OF_GUNICORN.search(env.get("GUNICORN_CMD_ARGS", "")):
        said["GUNICORN_CMD_ARGS"] = match[1]
    for name, number in said.items():
        if int(number) > 1:
            text = f"{name} starts {int(number)} workers, and a `MemoryStore`, the default, is one worker's own"
            fix = "Give each `CallHost` a `store=` that they share: `RedisStore` or `PostgresStore` (docs/stores.md)."
            return [_report("workers", Level.WARNING, text, fix)]
    return []
