"""Everything that this package raises, named by who can do something about it.

    RealtimeSipError
    ├── MisuseError                      you: the code or its configuration is wrong; repeating will not help
    │   ├── ConfigurationError          a key, secret or option is missing or makes no sense
    │   │   ├── ApiKeyError             `api_key`, a function of yours, failed; nothing was sent (also NetworkError)
    │   │   └── ProxyError              the proxy cannot be reached; nothing was sent (also NetworkError)
    │   ├── MissingExtraError           an optional dependency is not installed (also ImportError)
    │   ├── UnknownCallError            a host is asked about a call that it never had (also LookupError)
    │   └── InvalidRequestError         what was to be sent is not valid; nothing was sent (also ValueError)
    │       ├── BetaShapeError          it has a name of the beta API; the message says the current one
    │       └── CallNotAllowedError     WhatsApp's rules allow no such call or request now; `verdict` says when
    ├── ServiceError                    them: the service answered, and refused or failed
    │   ├── BadRequestError             400, 422: the service does not accept the request
    │   │   ├── BetaDisabledError       `beta_api_shape_disabled`: it takes what was sent for the beta API's
    │   │   ├── DomainTakenError        Twilio 21248: the termination domain belongs to somebody else
    │   │   ├── LimitReachedError       Twilio: the account, the trunk or the list has as many as it may have
    │   │   ├── NumberUnavailableError  Twilio: the number cannot be bought: search again
    │   │   ├── RegulationError         Twilio: the country asks for an address, a bundle or a document first
    │   │   ├── TrialAccountError       Twilio: a trial account may not do this; upgrade it
    │   │   ├── UnreachableNumberError  Twilio 13224, 21211: whoever was to be called is not one that can be
    │   │   └── WhatsAppCallError       Twilio 37001: WhatsApp carries no such call
    │   │       ├── CallLimitError      Twilio 37003, 37006: a call with them is going on, or they had five in a day
    │   │       ├── CallPermissionError  Twilio 37000: they have not permitted calls
    │   │       └── WhatsAppSenderError  Twilio 37007, 37008, 37009: the sender may place or take no calls
    │   ├── AuthenticationError         401: the API key is not valid
    │   ├── PermissionDeniedError       403: the key may not do this
    │   ├── NotFoundError               404
    │   │   └── CallGoneError           404 `call_id_not_found`: not ready yet, or over (also EndedError)
    │   ├── DecisionAlreadyMadeError    the call was accepted or rejected before
    │   ├── RateLimitError              429; `retry_after` says when
    │   │   └── QuotaError              `insufficient_quota`, `billing_…`: the account cannot pay; waiting does not help
    │   ├── ServerError                 5xx
    │   └── UnexpectedReplyError        a success without what it should have held
    ├── EventRefusedError               them: the service answered an event that was sent with an error
    ├── TransferError                   them: the caller was not transferred, and is still on the line
    ├── NotAnEventError                 them: a WebSocket frame is not a JSON object (also ValueError)
    ├── ToolError                       you: raised by a tool of yours, to tell the model why it failed
    ├── ToolArgumentsError              them: the model called a tool with invalid arguments (also ValueError)
    ├── NetworkError                    the network: no answer; `sent` tells whether the request may have arrived
    │   ├── ApiKeyError
    │   ├── ProxyError
    │   └── DeadlineError               no answer within the deadline (also TimeoutError)
    ├── EndedError                      it is over
    │   ├── CallEndedError              the call has ended; `ended` says how
    │   ├── CallGoneError
    │   └── SocketClosedError           the WebSocket closed; `close` says how
    └── WebhookError                    a stranger: a webhook that must not be acted upon
        ├── WebhookVerificationError    not signed by the service, or too old; answer 400
        └── WebhookPayloadError         signed, but not an event; answer 400

The emulator adds one of its own, `realtime_sip.testing.ScenarioError`: a test expected something that did not happen.

Building a session or client event by hand raises pydantic's `ValidationError`, as every pydantic model does; passed as
a plain dict to a method of this package, the same mistake is `InvalidRequestError`.

No error holds a request body, a key, a phone number or a transcript. The service's messages are redacted and cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_sip._redaction import redact

if TYPE_CHECKING:
    from realtime_sip.outcomes import CallEnded, PermissionVerdict, SocketClose, TransferFailureReason

__all__ = [
    "ApiKeyError",
    "AuthenticationError",
    "BadRequestError",
    "BetaDisabledError",
    "BetaShapeError",
    "CallEndedError",
    "CallGoneError",
    "CallLimitError",
    "CallNotAllowedError",
    "CallPermissionError",
    "ConfigurationError",
    "DeadlineError",
    "DecisionAlreadyMadeError",
    "DomainTakenError",
    "EndedError",
    "EventRefusedError",
    "InvalidRequestError",
    "LimitReachedError",
    "MissingExtraError",
    "MisuseError",
    "NetworkError",
    "NotAnEventError",
    "NotFoundError",
    "NumberUnavailableError",
    "PermissionDeniedError",
    "ProxyError",
    "QuotaError",
    "RateLimitError",
    "RealtimeSipError",
    "RegulationError",
    "ServerError",
    "ServiceError",
    "SocketClosedError",
    "ToolArgumentsError",
    "ToolError",
    "TransferError",
    "TrialAccountError",
    "UnexpectedReplyError",
    "UnknownCallError",
    "UnreachableNumberError",
    "WebhookError",
    "WebhookPayloadError",
    "WebhookVerificationError",
    "WhatsAppCallError",
    "WhatsAppSenderError",
]


class RealtimeSipError(Exception):
    """The root of the tree: one `except` catches everything that this package raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Task queues hand errors on by pickle, which would call the constructor without its keywords.
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[RealtimeSipError], args: tuple[Any, ...], attributes: dict[str, Any]) -> RealtimeSipError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class MisuseError(RealtimeSipError):
    """The calling code or its configuration is wrong."""


class ConfigurationError(MisuseError):
    """A key, secret or option is missing or makes no sense."""


class MissingExtraError(MisuseError, ImportError):
    """An optional dependency is not installed; the message says what to install."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'realtime-sip[{extra}]'")


class UnknownCallError(MisuseError, LookupError):
    """A host is asked about a call that was never submitted to it, or that it has forgotten."""


class InvalidRequestError(MisuseError, ValueError):
    """What was to be sent is not valid, so nothing was sent.

    `problems` lists each as (place, what is wrong), the place as a dotted path.
    """

    def __init__(self, what: str, problems: tuple[tuple[str, str], ...]) -> None:
        self.what = what
        self.problems = problems
        super().__init__(f"{what} is not valid: " + "; ".join(f"{p}: {m}" if p else m for p, m in problems))


class BetaShapeError(InvalidRequestError):
    """A name of the beta API was to be sent; the message says the current one."""


class CallNotAllowedError(InvalidRequestError):
    """WhatsApp's rules do not allow this call, or this request for permission, now. `verdict` says why, and when."""

    def __init__(self, what: str, verdict: PermissionVerdict) -> None:
        self.verdict = verdict
        super().__init__(what, (("", str(verdict)),))


class ServiceError(RealtimeSipError):
    """The service answered, and refused or failed.

    Attributes:
        status_code: HTTP status.
        code: The service's own code, such as `call_id_not_found`, or None.
        param: The parameter that the service complains about, or None.
        request_id: The `x-request-id` to quote to the vendor's support, or None.
        retry_after: The service's advice: the seconds after which to try again, or None.
        should_retry: The service's advice: whether to try again at all, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        self.status_code = status_code
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry
        super().__init__(message)


class BadRequestError(ServiceError):
    """The service does not accept the request (400, 422); `param` may say which part."""


class BetaDisabledError(BadRequestError):
    """The service takes the request for one of the beta API, which is switched off (`beta_api_shape_disabled`).

    It is never repeated. Nothing of the beta leaves this package by itself: look at `extra_fields`, and at what stands
    between the program and the service, which may add the header `OpenAI-Beta`. `param` names the field, if the service
    does.
    """


class DomainTakenError(BadRequestError):
    """The termination domain belongs to another trunk or account (Twilio 21248): choose another name."""


class LimitReachedError(BadRequestError):
    """Twilio's account, trunk or list has as many entries as it may have; Twilio's support raises some limits.

    Codes: 21244 trunks, 21249 origination URLs, 21239 credential lists, 21242 credentials, 21255 access control lists.
    """


class NumberUnavailableError(BadRequestError):
    """The number cannot be bought, or no number is like it (Twilio 21421, 21422, 21451, 21452): search again."""


class RegulationError(BadRequestError):
    """The number's country asks for an address, a bundle or a document, which have to be approved first.

    Codes of Twilio: 21613, 21615, 21628, 21629, 21631, 21649, 21650, 21651.
    """


class TrialAccountError(BadRequestError):
    """A trial account may not do this (Twilio 21404): one number, one trunk, verified numbers only. Upgrade it."""


class UnreachableNumberError(BadRequestError):
    """Whoever was to be called is not a number or a user that can be called (Twilio 13224, 21211)."""


class WhatsAppCallError(BadRequestError):
    """WhatsApp carries no such call: by itself, from this region of Twilio's (37001)."""


class CallPermissionError(WhatsAppCallError):
    """The user has not permitted calls, or no longer does (Twilio 37000): send a request for permission."""


class CallLimitError(WhatsAppCallError):
    """A call with the user is going on (Twilio 37003), or five were connected within a day (37006)."""


class WhatsAppSenderError(WhatsAppCallError):
    """The sender may place no calls: its country (Twilio 37007), no sender (37008), or no TwiML App (37009)."""


class AuthenticationError(ServiceError):
    """The API key is not valid (401)."""


class PermissionDeniedError(ServiceError):
    """The key may not do this (403)."""


class NotFoundError(ServiceError):
    """No such thing (404)."""


class EndedError(RealtimeSipError):
    """It is over: what was asked of the call or the socket cannot happen any more."""


class CallEndedError(EndedError):
    """The call has ended, so nothing can be asked of it. An `answer` block that it leaves ends without an error."""

    def __init__(self, ended: CallEnded) -> None:
        self.ended = ended
        super().__init__(f"the call has ended: {ended.reason.value}")


class CallGoneError(NotFoundError, EndedError):
    """No such call (404 `call_id_not_found`): it has ended, or, within the first seconds, is not ready yet."""


class DecisionAlreadyMadeError(ServiceError):
    """The call was accepted or rejected before, by this program or another.

    The code is `decision_already_made`; its HTTP status is not documented, so the code alone decides.
    """


class RateLimitError(ServiceError):
    """Too many requests (429). `retry_after` is the service's advice in seconds, or None."""


class QuotaError(RateLimitError):
    """The account cannot pay (`insufficient_quota`, `billing_…`, or 402). It is never repeated: add credit."""


class ServerError(ServiceError):
    """The service failed (5xx). Whether it acted before failing is unknown."""


class UnexpectedReplyError(ServiceError):
    """The service reported success, but the reply lacks what it should hold."""


class EventRefusedError(RealtimeSipError):
    """The service answered an event that was sent over the socket with an `error`.

    Attributes:
        code: The service's own code, such as `cannot_update_voice`, or None.
        param: The field that it complains about, or None.
    """

    def __init__(self, event: str, *, code: str | None = None, param: str | None = None) -> None:
        self.code = code if code is None else redact(code)
        self.param = param if param is None else redact(param)
        super().__init__(f"the service refused a {event}: {self.code or 'no code'}, {self.param or 'no parameter'}")


class ToolError(RealtimeSipError):
    """Raise it in a tool that failed: the model gets `for_model`, and `EscalationRules` count the failure.

    Any other exception reaches the model as a failure without its message, which can hold anything.
    """

    def __init__(self, for_model: str) -> None:
        self.for_model = for_model
        super().__init__("the tool failed")


class TransferError(RealtimeSipError):
    """The caller was not transferred, and is still on the line; the model has been told.

    Attributes:
        target: The target's name in the allow-list.
        reason: Why, as a `TransferFailureReason`.
        evidence: What was seen of it, in a sentence that is safe to log.
    """

    def __init__(self, target: str, *, reason: TransferFailureReason, evidence: str) -> None:
        self.target = target
        self.reason = reason
        self.evidence = evidence
        super().__init__(f"the transfer to {target} failed: {reason.value} ({evidence})")


class NotAnEventError(RealtimeSipError, ValueError):
    """A WebSocket frame is not a JSON object, so it is not an event. The frame itself is not kept."""


class ToolArgumentsError(RealtimeSipError, ValueError):
    """The model called a tool with arguments that are not valid, so the function is not called.

    The model can correct this mistake once it knows.

    Attributes:
        tool: The tool's name.
        reason: A fixed word, safe to log: `too_long`, `not_json`, `repeated`, `not_an_object` or `invalid`.
        for_model: What to send back: which argument, and what is expected. It can quote names that the model wrote, so
            it is not part of the message of the exception.
    """

    def __init__(self, tool: str, *, reason: str, for_model: str) -> None:
        self.tool = tool
        self.reason = reason
        self.for_model = for_model
        super().__init__(f"the model's arguments for the tool {tool} are not valid: {reason}")


class NetworkError(RealtimeSipError):
    """No answer came.

    `sent` is False when the request certainly did not reach the service, so that repeating it is safe.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)


class ApiKeyError(ConfigurationError, NetworkError):
    """`api_key` is a function, and it raised, or did not return in time. What it raised is the `__cause__`."""


class ProxyError(ConfigurationError, NetworkError):
    """The proxy cannot be reached, or cannot reach the service. It is tried again, as after any other network error.

    A proxy that refuses is a plain `ConfigurationError`, which is not.
    """


class DeadlineError(NetworkError, TimeoutError):
    """No answer came within the deadline."""


class SocketClosedError(EndedError):
    """The WebSocket closed. `close` says with which code and what that means; it does not prove that the call ended."""

    def __init__(self, close: SocketClose) -> None:
        self.close = close
        super().__init__(f"the WebSocket closed: {close}")


class WebhookError(RealtimeSipError):
    """A webhook that must not be acted upon."""

    def __init__(self, message: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class WebhookVerificationError(WebhookError):
    """Nothing proves that the service sent the request. Answer 400. `reason` is a fixed word, safe to log."""


class WebhookPayloadError(WebhookError):
    """The signature is right, but the body is not an event. Answer 400. `reason` is a fixed word, safe to log."""
