"""What a voice webhook answers besides sending the caller to OpenAI: WhatsApp, Flex, words, a mailbox, a conference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from realtime_sip.errors import CallNotAllowedError, InvalidRequestError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.arguments import refuse
from realtime_sip.twilio.elements import VoiceResponse
from realtime_sip.twilio.to_openai import MAX_CALL, MAX_RING, MIN_RING, AnyResponse, response_of

MAX_DIGITS = 100
"""Keys that are pressed at a time at most. Twilio has no such limit; a menu takes a few."""

MAX_TASK = 16 * 1024
"""Bytes of a task at most: Twilio reads 64 KiB of TwiML (12101). The limit of TaskRouter itself is not documented."""


def dial_whatsapp(
    to: str,
    caller_id: str,
    *,
    permission: PermissionVerdict | None = None,
    into: AnyResponse | None = None,
    timeout: int | None = None,
    time_limit: int | None = None,
    action: str | None = None,
    status_callback: str | None = None,
) -> AnyResponse:
    """Return a response that connects the caller to a user of WhatsApp, who must have permitted calls.

    Args:
        to: The user's number as E.164, with or without `whatsapp:`. Calls to a user id (`BR.…`) are not documented.
        caller_id: `whatsapp:` and the number of your sender, which is activated for calls.
        permission: What `whatsapp.CallPermissions.reserve` said; not checked if left out.
        into: The response to append to; a new one if left out.
        timeout: Seconds to ring, 5 to 600; 30 if left out.
        time_limit: Seconds that the call may last; four hours if left out.
        action: The URL that Twilio asks when it is over, or did not come about.
        status_callback: The URL to which Twilio posts the progress of the call. Give a whole one: by a report Twilio
            refuses a path (21609).

    Raises:
        CallNotAllowedError: The permission is a no.
        InvalidRequestError: An argument is not valid.
    """
    if permission is not None and not permission:
        raise CallNotAllowedError("dial_whatsapp", permission)
    response = response_of("dial_whatsapp", into)
    # As in what a webhook said of the user.
    plain = to.removeprefix("whatsapp:") if isinstance(to, str) else to
    problems = {
        "to": check.number(plain),
        "caller_id": check.whatsapp_sender(caller_id),
        "timeout": None if timeout is None else check.seconds(timeout, MIN_RING, MAX_RING),
        "time_limit": None if time_limit is None else check.seconds(time_limit, 1, MAX_CALL),
        "action": check.url(action),
        "status_callback": check.url(status_callback),
    }
    refuse("dial_whatsapp", problems)
    dial = VoiceResponse().dial(caller_id=caller_id, timeout=timeout, time_limit=time_limit, action=action)
    dial.whats_app(plain, status_callback=status_callback)
    response.append(dial)
    return response


def enqueue_flex(
    workflow_sid: str,
    *,
    task: Mapping[str, Any] | None = None,
    priority: int | None = None,
    into: AnyResponse | None = None,
    action: str = "",
    wait_url: str | None = None,
) -> AnyResponse:
    """Return a response that puts the caller into the queue of Flex, for a person.

    Args:
        workflow_sid: The workflow of TaskRouter, `WW…`.
        task: Attributes of the task that the person sees, as JSON: what the caller wants, in a few words.
        priority: Of the task; a higher one comes first.
        into: The response to append to; a new one if left out.
        action: The URL that Twilio asks when the caller leaves the queue: `QueueResult`. By default it is empty, as in
            Twilio's own example. No page says whether that is no URL, or that of this document, which would put the
            caller into the queue again: pass one unless what asks for this document expects that.
        wait_url: The URL of what the caller hears meanwhile; Twilio's music if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("enqueue_flex", into)
    problems = {
        "workflow_sid": check.sid(workflow_sid, "WW"),
        "action": None if action == "" else check.url(action),
        "wait_url": check.url(wait_url),
        "priority": None if priority is None or (type(priority) is int and priority >= 0) else "must be 0 or more",
    }
    if task is None and priority is not None:
        problems["priority"] = "is that of a task: pass task"
    refuse("enqueue_flex", problems)
    queue = VoiceResponse().enqueue(
        "call" if task is None else None, action=action, method="POST", workflow_sid=workflow_sid, wait_url=wait_url
    )
    if task is not None:
        queue.task(_json(task), priority=priority)
    response.append(queue)
    return response


def studio_flow_url(account_sid: str, flow_sid: str) -> str:
    """Return the URL that starts a flow of Studio: for the voice URL of a TwiML app, or for `<Redirect>`.

    >>> studio_flow_url("AC" + 32 * "a", "FW" + 32 * "b")
    'https://webhooks.twilio.com/v1/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Flows/FWbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'

    Raises:
        InvalidRequestError: A SID is not valid.
    """
    refuse("Studio flow", {"account_sid": check.sid(account_sid, "AC"), "flow_sid": check.sid(flow_sid, "FW")})
    return f"https://webhooks.twilio.com/v1/Accounts/{account_sid}/Flows/{flow_sid}"


def press(digits: str, *, into: AnyResponse | None = None) -> AnyResponse:
    """Return a response that presses keys, as for the menu of whoever answered a call that was placed.

    What follows is up to you: append `dial_openai(…, into=…)`, and the model talks on with who answers then.

    Args:
        digits: 0 to 9, * and #, and w, which waits for half a second.
        into: The response to append to; a new one if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("press", into)
    refuse("press", {"digits": check.digits(digits, MAX_DIGITS)})
    response.append(VoiceResponse().play(digits=digits))
    return response


def reject(reason: Literal["rejected", "busy"] = "rejected") -> VoiceResponse:
    """Return a response that turns the caller away, without answering and without cost.

    Raises:
        InvalidRequestError: The reason is another.
    """
    refuse("reject", {"reason": check.one_of(reason, ("rejected", "busy"))})
    response = VoiceResponse()
    response.reject(reason)
    return response


def say(
    message: str, *, language: str | None = None, voice: str | None = None, into: AnyResponse | None = None
) -> AnyResponse:
    """Return a response that reads out `message`, and then ends the call unless more is appended.

    Args:
        message: Up to 4096 characters. It is read as it is: markup has no effect.
        language: Such as "pt-BR"; Twilio's default is English.
        voice: Such as "Polly.Camila".
        into: The response to append to; a new one if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("say", into)
    refuse("say", _spoken("message", message, language, voice))
    response.append(VoiceResponse().say(message, language=language, voice=voice))
    return response


def voicemail(
    greeting: str,
    *,
    action: str,
    language: str | None = None,
    voice: str | None = None,
    max_length: int = 120,
    pause: int = 5,
    recording_status_callback: str | None = None,
    into: AnyResponse | None = None,
) -> AnyResponse:
    """Return a response that reads out `greeting` and records what the caller says after the tone.

    Args:
        greeting: What the caller hears.
        action: The URL that Twilio asks when the caller is done, for a goodbye. Without one Twilio would ask the same
            document again, and record without end. It is not asked if nothing was said: then the call ends.
        language: Of the greeting.
        voice: Of the greeting.
        max_length: Seconds that are recorded at most.
        pause: Seconds of silence that end the recording; "#" does as well.
        recording_status_callback: The URL to which Twilio posts when the recording can be fetched; it may do so after
            `action`. Give a whole one.
        into: The response to append to; a new one if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("voicemail", into)
    problems = _spoken("greeting", greeting, language, voice) | {
        "action": check.url(action) if action is not None else "is needed: else the recording begins again",
        "max_length": check.seconds(max_length, 2, MAX_CALL),
        "pause": check.seconds(pause, 1, MAX_CALL),
        "recording_status_callback": check.url(recording_status_callback),
    }
    refuse("voicemail", problems)
    parts = VoiceResponse()
    parts.say(greeting, language=language, voice=voice)
    parts.record(
        action=action,
        timeout=pause,
        max_length=max_length,
        finish_on_key="#",
        play_beep=True,
        recording_status_callback=recording_status_callback,
    )
    parts.hangup()
    for part in parts.verbs:
        response.append(part)
    return response


def warm_transfer_wait(
    room: str,
    *,
    action: str | None = None,
    wait_url: str | None = None,
    status_callback: str | None = None,
    into: AnyResponse | None = None,
) -> AnyResponse:
    """Return a response with which the caller waits in a conference for the person who `warm_transfer_join`s it.

    The conference begins when that person comes, and ends when either leaves. If nobody comes the caller waits without
    end: redirect the call then.

    Args:
        room: A name that no other call has, such as the caller's `CallSid`: calls with the same name meet. Twilio asks
            for names without personal data.
        action: The URL that Twilio asks when the conference is over for the caller; the call ends if left out.
        wait_url: The URL of what the caller hears meanwhile; Twilio's music if left out.
        status_callback: The URL to which Twilio posts who has joined.
        into: The response to append to; a new one if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("warm_transfer_wait", into)
    urls = {"action": action, "wait_url": wait_url, "status_callback": status_callback}
    refuse("warm_transfer_wait", {"room": check.room(room), **{name: check.url(given) for name, given in urls.items()}})
    dial = VoiceResponse().dial(action=action)
    dial.conference(
        room,
        beep=False,
        start_conference_on_enter=False,
        end_conference_on_exit=True,
        wait_url=wait_url,
        status_callback=status_callback,
        status_callback_event=_joined(status_callback),
    )
    response.append(dial)
    return response


def warm_transfer_join(
    room: str,
    *,
    summary: str | None = None,
    language: str | None = None,
    voice: str | None = None,
    status_callback: str | None = None,
    into: AnyResponse | None = None,
) -> AnyResponse:
    """Return a response for the person's own call: they hear the summary alone, and then talk to the caller.

    Args:
        room: The name of the conference in which the caller waits.
        summary: What the caller wants. The caller does not hear it.
        language: Of the summary.
        voice: Of the summary.
        status_callback: The URL to which Twilio posts who has joined.
        into: The response to append to; a new one if left out.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    response = response_of("warm_transfer_join", into)
    problems = {"room": check.room(room), "status_callback": check.url(status_callback)}
    if summary is not None:
        problems |= _spoken("summary", summary, language, voice)
    refuse("warm_transfer_join", problems)
    parts = VoiceResponse()
    if summary is not None:
        parts.say(summary, language=language, voice=voice)
    parts.dial().conference(
        room,
        beep=False,
        start_conference_on_enter=True,
        end_conference_on_exit=True,
        status_callback=status_callback,
        status_callback_event=_joined(status_callback),
    )
    for part in parts.verbs:
        response.append(part)
    return response


def _joined(status_callback: str | None) -> list[str] | None:
    return None if status_callback is None else ["join"]


def _spoken(place: str, words: object, language: object, voice: object) -> dict[str, str | None]:
    return {place: check.text(words), "language": check.language(language), "voice": check.voice(voice)}


def _json(task: object) -> str:
    if not isinstance(task, Mapping):
        raise InvalidRequestError("enqueue_flex", (("task", "must be a mapping"),))
    try:
        written = json.dumps(dict(task), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequestError("enqueue_flex", (("task", "must be what JSON can write"),)) from None
    # Other letters stay as they are: escaped they are six times as long, and a redirect takes 4000 characters.
    written = check.NO_XML.sub(lambda odd: f"\\u{ord(odd[0]):04x}", written)
    if len(written.encode()) > MAX_TASK:
        raise InvalidRequestError("enqueue_flex", (("task", f"has more than {MAX_TASK} bytes as JSON"),))
    return written
