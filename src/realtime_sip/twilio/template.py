"""Message templates with a button for calls, or with a request for permission to call."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Pause, Reply, unexpected
from realtime_sip.errors import CallNotAllowedError, InvalidRequestError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.operations import API, CONTENT, Steps, ask, body, checked_sid, form, get, segment
from realtime_sip.twilio.records import Made
from realtime_sip.twilio.whatsapp_call import checked_sender
from realtime_sip.twilio.whatsapp_user import WhatsAppUser

CallTemplateKind: TypeAlias = Literal["twilio/card", "whatsapp/card", "twilio/call-to-action"]
"""What a template with a button for calls may be."""

_TEXT = {"twilio/card": "title", "whatsapp/card": "body", "twilio/call-to-action": "body"}
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
_MAX_TITLE = 25
_PENDING = ("received", "pending")
_FIRST_PAUSE, _LONGEST_PAUSE, _MAX_WAIT = 2.0, 60.0, 86_400.0
_CARD, _REQUEST = "VOICE_CALL", "VOICE_CALL_REQUEST"


class TemplateRecord(Made):
    """A template as Twilio has it.

    Attributes:
        sid: `HX…`.
        variables: The samples of its variables, by name.
        types: Its contents, by type.
    """

    friendly_name: str | None = None
    language: str | None = None
    variables: dict[str, Any] | None = None
    types: dict[str, Any] | None = None

    @property
    def asks_for_permission(self) -> bool:
        """Whether it is a request for permission to call."""
        return any(
            isinstance(action, dict) and action.get("type") == _REQUEST
            for content in (self.types or {}).values()
            if isinstance(content, dict) and isinstance(content.get("actions"), list)
            for action in content["actions"]
        )


class Approval(Inbound):
    """What WhatsApp says of a template.

    Attributes:
        status: "unsubmitted", "received", "pending", "approved", "rejected", "paused" or "disabled".
        rejection_reason: Why it was rejected, or "".
    """

    name: str | None = None
    category: str | None = None
    status: str | None = None
    rejection_reason: str | None = None

    @property
    def is_decided(self) -> bool:
        """Whether WhatsApp has said yes or no: nothing is pending, or a status that is not known here came."""
        return self.status not in _PENDING


class ApprovalRecord(Inbound):
    """The approvals of a template, by channel."""

    whatsapp: Approval | None = None


class SentMessage(Made):
    """A message that was sent: its SID, and "queued" or "accepted" at first."""

    status: str | None = None


@dataclass(frozen=True, slots=True)
class CallTemplate:
    """A template with a button by which the user calls. It may be sent in a conversation, and outside once approved.

    Attributes:
        friendly_name: Its name at Twilio.
        text: What it says, with `{{1}}` for a variable.
        button: The text of the button, without variables, up to 25 characters. That length is reported of other buttons
            at Meta, and not verified; Twilio's page names none for this one.
        kind: What it is: of "twilio/card" the text is the title, of the others the body.
        language: Such as "pt_BR".
        variables: A sample of each variable, by name. WhatsApp approves the template with them.

    Raises:
        InvalidRequestError: A value is not valid, or the samples are not those of the variables.
    """

    friendly_name: str
    text: str
    _: KW_ONLY
    button: str
    kind: CallTemplateKind = "twilio/card"
    language: str = "en"
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = _problems(self.friendly_name, self.language) | {
            "text": check.text(self.text),
            "button": _title(self.button),
            "kind": check.one_of(self.kind, tuple(_TEXT)),
        }
        check.refuse("template", problems)
        used = set(_VARIABLE.findall(self.text))
        if used != set(self.variables) or not all(isinstance(v, str) and v for v in self.variables.values()):
            raise InvalidRequestError("template", (("variables", "must have a sample of each variable, and no other"),))

    def to_wire(self) -> dict[str, Any]:
        """Return it as Twilio's API takes it."""
        content = {_TEXT[self.kind]: self.text, "actions": [{"title": self.button, "type": _CARD}]}
        wire = {"friendly_name": self.friendly_name, "language": self.language}
        samples = {"variables": dict(self.variables)} if self.variables else {}
        return {**wire, **samples, "types": {self.kind: content}}


@dataclass(frozen=True, slots=True)
class PermissionRequestTemplate:
    """A request for permission to call. WhatsApp needs no approval of it within a conversation, and then shows words of
    its own; with approval it may be sent at any time, with these.

    Attributes:
        friendly_name: Its name at Twilio.
        text: What it says.
        button: The text of its only button.
        language: Such as "pt_BR".

    Raises:
        InvalidRequestError: A value is not valid.
    """

    friendly_name: str
    _: KW_ONLY
    text: str = "May we call you?"
    button: str = "Call permission"
    language: str = "en"

    def __post_init__(self) -> None:
        problems = _problems(self.friendly_name, self.language)
        check.refuse("template", problems | {"text": check.text(self.text), "button": _title(self.button)})
        if _VARIABLE.search(self.text):
            raise InvalidRequestError("template", (("text", "of a request has no variables"),))

    def to_wire(self) -> dict[str, Any]:
        """Return it as Twilio's API takes it: the request is the only button, as it has to be."""
        content = {"body": self.text, "actions": [{"type": _REQUEST, "title": self.button}]}
        wire = {"friendly_name": self.friendly_name, "language": self.language}
        return {**wire, "types": {"twilio/call-to-action": content}}


def create_template(template: CallTemplate | PermissionRequestTemplate) -> Steps[TemplateRecord]:
    """Return the steps that create a template: one, which is never repeated after a timeout or a 5xx."""
    if not isinstance(template, (CallTemplate, PermissionRequestTemplate)):
        raise InvalidRequestError("template", (("", "must be a CallTemplate or a PermissionRequestTemplate"),))
    return ask(body("whatsapp.create_template", CONTENT, template.to_wire(), TemplateRecord))


def submit_template(sid: str, name: str, category: str) -> Steps[Approval]:
    """Return the steps that submit a template for WhatsApp's approval."""
    problems = {
        "name": None if isinstance(name, str) and _NAME.fullmatch(name) else "must be a to z, 0 to 9 and _ alone",
        "category": check.one_of(category, ("UTILITY", "MARKETING")),
    }
    check.refuse("submit_template", problems)
    path = f"{_path(sid)}/ApprovalRequests/whatsapp"
    return ask(body("whatsapp.submit_template", path, {"name": name, "category": category}, Approval))


def approval(sid: str, wait: float = 0.0) -> Steps[Approval]:
    """Return the steps that read what WhatsApp says of a template, again and again while it says nothing."""
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= _MAX_WAIT:
        raise InvalidRequestError("approval", (("wait", f"must be 0 to {_MAX_WAIT:g} seconds"),))
    return _approval(f"{_path(sid)}/ApprovalRequests", float(wait))


def _approval(path: str, left: float) -> Steps[Approval]:
    pause = _FIRST_PAUSE
    while True:
        record = yield from ask(get("whatsapp.approval", path, ApprovalRecord))
        said = record.whatsapp or Approval(status="unsubmitted")
        if said.is_decided or left <= 0:
            return said
        pause = min(pause, left)
        yield Pause(pause)
        left -= pause
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def send_template(
    sender: str,
    user: str | WhatsAppUser,
    sid: str,
    variables: Mapping[str, str],
    permission: PermissionVerdict | None,
    status_callback: str | None,
) -> Steps[SentMessage]:
    """Return the steps that send a template with all of its variables."""
    checked_sender(sender)
    to = WhatsAppUser.of(user)
    path = _path(sid)
    whole = all(isinstance(each, str) and each for each in variables.values())
    check.refuse(
        "send_template",
        {"variables": None if whole else "must be texts", "status_callback": check.url(status_callback)},
    )
    if permission is not None and not permission:
        raise CallNotAllowedError("send_template", permission)
    return _sent(sender, to.address, sid, path, dict(variables), permission, status_callback)


def _sent(
    sender: str,
    to: str,
    sid: str,
    path: str,
    variables: dict[str, str],
    permission: PermissionVerdict | None,
    status_callback: str | None,
) -> Steps[SentMessage]:
    template = yield from ask(get("whatsapp.template", path, TemplateRecord))
    if template.types is None:
        raise unexpected(Reply(200, {}), "whatsapp.template: the reply has no types")
    if template.asks_for_permission and permission is None:
        problem = "is needed: this template asks for permission, which WhatsApp limits. Pass what may_request said"
        raise InvalidRequestError("send_template", (("permission", problem),))
    used = set(_VARIABLE.findall(json.dumps(template.types))) | set(template.variables or {})
    if used != set(variables):
        names = ", ".join(sorted(used)) or "no variables"
        problem = f"the template has {names}: one left out would send its sample, and Twilio refuses another (21656)"
        raise InvalidRequestError("send_template", (("variables", problem),))
    fields = {
        "ContentSid": sid,
        "From": sender,
        "To": to,
        "ContentVariables": json.dumps(variables) if variables else None,
        "StatusCallback": status_callback,
    }
    return (yield from ask(form("whatsapp.send_template", f"{API}/Messages.json", fields, SentMessage)))


def _path(sid: str) -> str:
    return f"{CONTENT}/{segment(checked_sid(sid, 'HX', 'template'))}"


def _problems(friendly_name: object, language: object) -> dict[str, str | None]:
    named = isinstance(friendly_name, str) and 0 < len(friendly_name) <= 64 and friendly_name.isprintable()
    worded = isinstance(language, str) and _LANGUAGE.fullmatch(language)
    return {
        "friendly_name": None if named else "must have 1 to 64 characters",
        "language": None if worded else "must be a language of WhatsApp's, such as en or pt_BR",
    }


def _title(title: object) -> str | None:
    if not isinstance(title, str) or not 0 < len(title.strip()) <= _MAX_TITLE or not title.isprintable():
        return f"must have 1 to {_MAX_TITLE} characters"
    return "must have no variables" if "{{" in title else None
