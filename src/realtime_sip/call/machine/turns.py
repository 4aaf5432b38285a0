"""Whose turn it is: responses, tools, speech and interruption, decided without I/O.

`Turns` is told what happened (`receive`, `respond`, `tool_output`, …) and when, and returns what to do now. It never
waits: where something must happen later, `deadline` says when to call `tick`.

The rules, which the service does not enforce for its clients:

- One response at a time writes to the conversation, though the service starts some by itself. Ours is asked for when
  none is active and the caller does not speak; where both sides ask at once, the refusal is expected and ours waits.
- A tool runs once per `call_id`, from the completed items of responses in the conversation. Its output is sent as soon
  as it is there. Only the response to it waits: until the response that called has ended, and all tools have answered.
  A response that the service has started meanwhile, knowing the output, is as good.
- Speech is over when it was heard or cut off, or when its response ended without any; in any case some time later.
- Events count by their type and ids, known or unknown, and may be missing: no state is without a deadline.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from realtime_sip import events
from realtime_sip.call.machine.hold import Hold
from realtime_sip.call.machine.playback import Playback, PlaybackTimings
from realtime_sip.items import FunctionCallOutput, McpApprovalResponse, SystemMessage
from realtime_sip.outcomes import Heard
from realtime_sip.response import ResponseConfig

__all__ = ["AskApproval", "Effect", "RunTool", "Send", "SpeechEnded", "TurnTimings", "Turns"]

_TAG = "realtime_sip"
"""The metadata key that marks our responses, so that they are known among those that the service starts."""
_BUSY = "conversation_already_has_active_response"
_UNKNOWN = ""
_REMEMBERED = 512
_MOST_UNSEEN = 100
_MOST_TRIES = 8
_MOST_FAILED_ANSWERS = 3
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTimings:
    """How long to wait for what may never come, in seconds."""

    created: float = 10.0
    """For `response.created` after asking for a response."""
    deaf: float = 60.0
    """For the same while nothing at all comes: longer than a dead socket takes to be replaced."""
    response: float = 60.0
    """For any sign of the active response."""
    caller: float = 60.0
    """For the end of the caller's words."""
    own_response: float = 1.0
    """For the response that turn detection starts after the caller's words."""
    tool: float = 120.0
    """For the output of a tool that somebody else runs; after that it holds nothing up."""
    mcp: float = 30.0
    """For an approved MCP call to begin, or one in progress to end."""
    unknown: float = 2.0
    """For an event that tells what the service does, where nothing else does."""
    playback: PlaybackTimings = field(default_factory=PlaybackTimings)
    """For the caller to hear what was made."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the service."""

    event: events.ClientEvent


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run this function once, and report with `tool_output`."""

    call_id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Decide whether an MCP server may be called, and report with `approve`."""

    request_id: str
    server_label: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The speech of what was asked for under `key` is over, and how much of it was heard."""

    key: str
    heard: Heard


Effect = Send | RunTool | AskApproval | SpeechEnded


@dataclass(slots=True)
class _Ask:
    """A response that we want. `key` is the event's id, and names its speech."""

    key: str
    config: ResponseConfig
    answer: bool = False  # to tools, rather than for somebody who waits for its speech
    tries: int = 0
    maybe_sent: bool = False
    despite_hold: bool = False


@dataclass(slots=True)
class _Call:
    """A function call, and its output when it is there."""

    asked_at: float
    output: Send | None = None
    in_conversation: bool = False
    holds: bool = True  # the response to other outputs


class Turns:
    """The turns of one call. `detection` is the turn detection that it was accepted with, as `Hold` takes it."""

    def __init__(self, timings: TurnTimings | None = None, *, detection: dict[str, Any] | None = None) -> None:
        self._timings = timings or TurnTimings()
        self._hold = Hold(detection)
        self._playback = Playback(self._timings.playback)
        self._wanted: deque[_Ask] = deque()
        self._asked: _Ask | None = None  # sent, and neither granted nor refused
        self._asked_at = 0.0
        self._heard_at = _NEVER
        self._stray: str | None = None  # a response that the service has started during a hold, as it seems
        self._answered_by_ask: set[str] = set()  # call ids whose outputs were sent before we asked
        self._untagged = False  # a response without any tag was created since we asked
        self._told: deque[str] = deque(maxlen=_REMEMBERED)  # keys of speech that is over
        self._beside: dict[str, float] = {}  # keys of what was asked for outside of the conversation
        self._active: str | None = None
        self._active_seen = 0.0
        self._calls: dict[str, _Call] = {}
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)  # call ids and approval requests
        self._to_answer: set[str] = set()  # call ids whose output no response has taken up
        self._mcp: dict[str, float] = {}  # MCP calls and approvals that are under way, and until when
        self._mcp_to_answer = False
        self._unseen: dict[str, Send] = {}  # items of ours that the conversation was not seen to hold
        self._failed_answers = 0
        self._answer_tries = 0
        self._caller_since: float | None = None
        self._service_responds = True
        self._own_until = _NEVER  # the service may start a response by itself
        self._not_before = _NEVER  # an answer that failed is not asked for again

    # --- what can be asked --------------------------------------------------------------------------------------------

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller is in the middle of their words."""
        return self._caller_since is not None

    @property
    def tools_running(self) -> bool:
        """Whether a tool, or an MCP call, has not answered yet."""
        return bool(self._mcp) or any(call.output is None and call.holds for call in self._calls.values())

    @property
    def speaking(self) -> bool:
        """Whether a response is wanted now, being made, or being heard."""
        # What has to wait for the end of a hold is not waited for.
        asked = self._asked is not None or any(ask.despite_hold or not self._hold.on for ask in self._wanted)
        return asked or self._active is not None or self._playback.going_on

    @property
    def audible(self) -> bool:
        """Whether the caller hears a response now, as far as is known."""
        return self._playback.audible

    @property
    def held(self) -> bool:
        """Whether responses are held, but for those that were asked for despite that."""
        return self._hold.on

    @property
    def awaiting(self) -> bool:
        """Whether the service has something to say: that a response begins, or how it goes on."""
        return self._asked is not None or self._active is not None

    @property
    def busy(self) -> bool:
        """Whether anything is going on, so that silence does not count."""
        return self.speaking or self.caller_speaks or self.tools_running or self._must_answer

    @property
    def active(self) -> str | None:
        """The id of the response that is being made, or None."""
        return self._active or None

    @property
    def _must_answer(self) -> bool:
        return bool(self._to_answer) or self._mcp_to_answer

    # --- what happens on our side -------------------------------------------------------------------------------------

    def respond(self, config: ResponseConfig, *, key: str, now: float, despite_hold: bool = False) -> list[Effect]:
        """Ask for a response when it is its turn. `key` names its speech in `SpeechEnded`."""
        tagged = config.model_copy(update={"metadata": {**(config.metadata or {}), _TAG: key}})
        if config.conversation == "none":
            self._beside[key] = now
            return [Send(events.ResponseCreate(event_id=key, response=tagged))]
        self._wanted.append(_Ask(key, tagged, despite_hold=despite_hold))
        return self.tick(now)

    def hold(self, reason: str, now: float) -> list[Effect]:
        """Have nobody but us start responses, and let those that are wanted wait."""
        return [*map(Send, self._hold.begin(reason, now)), *self.tick(now)]

    def release(self, reason: str, now: float) -> list[Effect]:
        """Go on as before the hold."""
        return [*map(Send, self._hold.end(reason, now)), *self.tick(now)]

    def withdraw(self, now: float) -> list[Effect]:
        """Give up every response that was not asked for yet, answers to tools too: the call is about to end."""
        effects = [e for ask in self._wanted for e in self._ended(ask.key, Heard.NOT_AT_ALL)]
        self._wanted.clear()
        self._nothing_to_answer()
        return [*effects, *self.tick(now)]

    def give_up(self, key: str) -> list[Effect]:
        """Give up what was asked for under this key, where it waits: it would come too late."""
        ask = next((ask for ask in self._wanted if ask.key == key), None)
        if ask is None:
            return []
        self._wanted.remove(ask)
        return self._ended(key, Heard.NOT_AT_ALL)

    def interrupt(self, now: float) -> list[Effect]:
        """Stop what is being made and what is being heard."""
        effects: list[Effect] = []
        going_on = self._active is not None or self._asked is not None
        if going_on:
            # Without an id it is for what we have asked for just now, too.
            effects.append(Send(events.ResponseCancel(response_id=self._active or None)))
        if going_on or self._playback.audible:
            effects.append(Send(events.OutputAudioBufferClear()))
        self._playback.cut_off(now)
        return [*effects, *self.tick(now)]

    def tool_output(self, call_id: str, output: str, *, respond: bool, now: float) -> list[Effect]:
        """Send a tool's output; with `respond`, a response to it follows. A second output of a call is ignored."""
        call = self._calls.get(call_id)
        if call is None and call_id not in self._seen:
            call = self._calls[call_id] = _Call(now)
            self._seen.append(call_id)
        if call is None or call.output is not None:
            return []
        # An id of our own, so that sending it again after a lost connection cannot make a second item.
        item = FunctionCallOutput(id=f"item_{secrets.token_hex(10)}", call_id=call_id, output=output)
        call.output = Send(events.ConversationItemCreate(item=item))
        if respond:
            self._to_answer.add(call_id)
        return [call.output, *self.tick(now)]

    def approve(self, request_id: str, *, approve: bool, now: float) -> list[Effect]:
        """Answer an MCP server's request for approval."""
        self._mcp.pop(f"ask {request_id}", None)
        if approve:
            self._mcp[f"approved {request_id}"] = now + self._timings.mcp
        else:
            self._mcp_to_answer = True
        item_id = f"item_{secrets.token_hex(10)}"
        item = McpApprovalResponse(id=item_id, approval_request_id=request_id, approve=approve)
        self._unseen[item_id] = Send(events.ConversationItemCreate(item=item))
        return [self._unseen[item_id], *self.tick(now)]

    def tell(self, text: str) -> list[Effect]:
        """Tell the model something. It is told again where the connection was lost before the conversation had it."""
        item = SystemMessage.text(text).model_copy(update={"id": f"item_{secrets.token_hex(10)}"})
        self._unseen[str(item.id)] = Send(events.ConversationItemCreate(item=item))
        while len(self._unseen) > _MOST_UNSEEN:
            del self._unseen[next(iter(self._unseen))]
        return [self._unseen[str(item.id)]]

    def attached_again(self, now: float) -> list[Effect]:
        """Note that the sideband was lost and is back. Nothing was replayed, so nothing of before is assumed."""
        effects: list[Effect] = [c.output for c in self._calls.values() if c.output and not c.in_conversation]
        effects += self._unseen.values()
        effects += map(Send, self._hold.attached_again(now))
        self._caller_since = None
        self._own_until = now + self._timings.unknown
        if self._active is not None:
            self._presume_active(now)
        if self._asked is not None:
            self._asked.maybe_sent = True
            self._wanted.appendleft(self._asked)
            self._asked = None
        return [*effects, *self.tick(now)]

    # --- what happens on the service's side ---------------------------------------------------------------------------

    def receive(self, event: events.ServerEvent, now: float) -> list[Effect]:
        """Take in what the service says."""
        kind = event.type
        self._heard_at = now
        if kind.startswith("response."):
            response_id = getattr(event, "response_id", None)
            if isinstance(response_id, str) and response_id:
                self._sign_of(response_id, now)
        handler = _HANDLERS.get(kind)
        if handler is None:
            return []
        return [*handler(self, event.to_wire(), now), *self.tick(now)]

    def _sign_of(self, response_id: str, now: float) -> None:
        if self._playback.is_over(response_id):
            return
        self._playback.appeared(response_id, now)
        if self._active in (None, _UNKNOWN, response_id) and self._playback.is_being_made(response_id):
            if self._active == _UNKNOWN:
                self._playback.abandoned("", now)
            self._active, self._active_seen = response_id, now

    def is_outside(self, event: events.ServerEvent) -> bool:
        """Whether an event is of a response outside of the conversation."""
        response_id = getattr(event, "response_id", None)
        return isinstance(response_id, str) and self._playback.is_outside(response_id)

    def _presume_active(self, now: float) -> None:
        """Take it that a response is active, of which nothing is known; believe it for a short time."""
        self._active, self._active_seen = _UNKNOWN, now + self._timings.unknown - self._timings.response

    def _created(self, raw: dict[str, Any], now: float) -> list[Effect]:
        shown = _object(raw.get("response"))
        response_id, metadata = _text(shown.get("id")), _object(shown.get("metadata"))
        key = _text(metadata.get(_TAG)) or None
        outside = "conversation_id" in shown and shown["conversation_id"] is None
        if self._playback.is_over(response_id):
            return []
        asked = self._asked
        ours = asked is not None and key == asked.key
        self._untagged = self._untagged or key is None
        # Turn detection may be faster than the update that told it to start none.
        stray = self._hold.on and key is None and not self._is_known(response_id)
        self._playback.created(response_id, key=key, outside=outside, now=now)
        if outside:
            self._beside.pop(key or "", None)
            self._active = None if self._active == response_id else self._active
            return []
        self._active, self._active_seen = response_id, now
        self._own_until = _NEVER
        if stray:
            # It answers nothing, for it is stopped, as soon as it is certain that it is none of ours.
            self._stray = response_id
            maybe_outside = bool(self._beside) and "conversation_id" not in shown
            maybe_ours = asked is not None or maybe_outside or any(ask.maybe_sent for ask in self._wanted)
            return [] if maybe_ours else self._stop_stray()
        if ours:
            self._asked = None
            self._to_answer -= self._answered_by_ask
        else:
            # The service's own, or one of before the connection was lost: it knows what is in the conversation.
            self._wanted = deque(ask for ask in self._wanted if not (ask.maybe_sent and ask.key == key))
            self._to_answer -= {i for i in self._to_answer if i not in self._calls or self._calls[i].in_conversation}
        self._mcp_to_answer = False
        self._failed_answers = self._answer_tries = 0
        self._forget_answered()
        return []

    def _is_known(self, response_id: str) -> bool:
        return any(response_id == known for known, _ in self._playback.deadlines())

    def _stop_stray(self) -> list[Effect]:
        """Stop a response that the service has started during a hold; not what the caller still hears of another."""
        stray, self._stray = self._stray, None
        if stray is None or stray != self._active or not self._hold.on:
            return []
        cancel = Send(events.ResponseCancel(response_id=stray))
        alone = all(stray == known for known, _ in self._playback.deadlines())
        return [cancel, Send(events.OutputAudioBufferClear())] if alone else [cancel]

    def _done(self, raw: dict[str, Any], now: float) -> list[Effect]:
        shown = _object(raw.get("response"))
        response_id = _text(shown.get("id"))
        if self._active in (response_id, _UNKNOWN):
            self._active = None
        if self._asked is not None and self._untagged:
            # If ours was not this one, the service has refused it, or starts it now.
            self._asked_at = min(self._asked_at, now + self._timings.unknown - self._timings.created)
        if self._playback.is_over(response_id):
            return []
        self._playback.done(response_id, shown, now, key=self._made_meanwhile(shown))
        if self._playback.is_outside(response_id):
            return []
        return self._calls_in(_list(shown.get("output")), now)

    def _made_meanwhile(self, shown: dict[str, Any]) -> str | None:
        """Return the key of a response that was created while the sideband was lost: it is not asked for again."""
        key = _text(_object(shown.get("metadata")).get(_TAG))
        ask = next((ask for ask in self._wanted if ask.maybe_sent and ask.key == key), None)
        if ask is None:
            return None
        self._wanted.remove(ask)
        self._to_answer -= self._answered_by_ask if ask.answer else set()
        self._forget_answered()
        return key

    def _output_item(self, raw: dict[str, Any], now: float) -> list[Effect]:
        if self._playback.is_outside(_text(raw.get("response_id"))):
            return []
        return self._calls_in([raw.get("item")], now)

    def _calls_in(self, items: Iterable[object], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for item in map(_object, items):
            item_id, call_id, name = (_text(item.get(field)) for field in ("id", "call_id", "name"))
            arguments = _text(item.get("arguments"))
            if item.get("type") == "function_call" and item.get("status", "completed") == "completed":
                if call_id and name and call_id not in self._seen:
                    self._seen.append(call_id)
                    self._calls[call_id] = _Call(now)
                    effects.append(RunTool(call_id, name, arguments))
            elif item.get("type") == "mcp_approval_request" and item_id and item_id not in self._seen:
                self._seen.append(item_id)
                self._mcp[f"ask {item_id}"] = now + self._timings.mcp
                effects.append(AskApproval(item_id, _text(item.get("server_label")), name, arguments))
        return effects

    def _item(self, raw: dict[str, Any], now: float) -> list[Effect]:
        item = _object(raw.get("item"))
        self._unseen.pop(_text(item.get("id")), None)
        if item.get("type") == "mcp_approval_request":
            return self._calls_in([item], now)
        call = self._calls.get(_text(item.get("call_id")))
        if item.get("type") == "function_call_output" and call is not None:
            call.in_conversation = True
            self._forget_answered()
        return []

    def _mcp_begins(self, raw: dict[str, Any], now: float) -> list[Effect]:
        for approved in [name for name in self._mcp if name.startswith("approved ")][:1]:
            del self._mcp[approved]
        self._mcp[_text(raw.get("item_id"))] = now + self._timings.mcp
        return []

    def _mcp_ends(self, raw: dict[str, Any], _now: float) -> list[Effect]:
        self._mcp.pop(_text(raw.get("item_id")), None)
        self._mcp_to_answer = True
        return []

    def _caller_begins(self, _raw: dict[str, Any], now: float) -> list[Effect]:
        self._caller_since = now
        return []

    def _caller_ends(self, _raw: dict[str, Any], now: float) -> list[Effect]:
        self._caller_since = None
        self._own_until = now + self._timings.own_response if self._service_responds else _NEVER
        return []

    def _caller_dropped(self, _raw: dict[str, Any], _now: float) -> list[Effect]:
        self._caller_since = None
        return []

    def _playing(self, raw: dict[str, Any], now: float) -> list[Effect]:
        self._playback.started(_text(raw.get("response_id")), now)
        return []

    def _played(self, raw: dict[str, Any], now: float) -> list[Effect]:
        response_id = _text(raw.get("response_id"))
        self._playback.stopped(response_id, now)
        if self._active == response_id:
            # What was played was made; if its end does not come soon, it was lost.
            self._active_seen = now - self._timings.response + self._timings.created
        return []

    def _cleared(self, raw: dict[str, Any], now: float) -> list[Effect]:
        self._playback.cleared(_text(raw.get("response_id")), now)
        return []

    def _session(self, raw: dict[str, Any], now: float) -> list[Effect]:
        heard = _object(_object(_object(raw.get("session")).get("audio")).get("input"))
        if "turn_detection" in heard:
            detection = heard["turn_detection"]
            self._hold.reported(detection, now)
            self._service_responds = isinstance(detection, dict) and detection.get("create_response") is not False
        return []

    def _error(self, raw: dict[str, Any], now: float) -> list[Effect]:
        error = _object(raw.get("error"))
        asked, code, cause = self._asked, error.get("code"), _text(error.get("event_id"))
        if self._hold.refused(cause, now):
            return []
        if cause in self._beside:
            del self._beside[cause]
            return self._ended(cause, Heard.FAILED)
        if asked is None or not (cause == asked.key or (not cause and code == _BUSY)):
            return []
        if self._active is None and code == _BUSY:
            self._presume_active(now)
        asked.tries += 1
        if code != _BUSY or asked.tries >= _MOST_TRIES:
            return self._ask_failed(now)
        self._asked = None
        if asked.maybe_sent:
            # What is active is most likely the response that was asked for before the connection was lost.
            self._to_answer -= self._answered_by_ask
            return self._ended(asked.key, Heard.ASSUMED)
        if asked.answer:
            self._answer_tries = asked.tries  # what is to be answered stays so
        else:
            self._wanted.appendleft(asked)
        return self._stop_stray()

    def _ask_granted_unseen(self) -> list[Effect]:
        """Take it that a response without our tag was ours all the same: nothing has refused it."""
        asked = self._asked
        assert asked is not None
        self._asked = None
        self._to_answer -= self._answered_by_ask
        return self._ended(asked.key, Heard.ASSUMED)

    def _ask_failed(self, now: float) -> list[Effect]:
        """Give up what we asked for; an answer to tools is tried a few times more, for the caller waits for it."""
        asked = self._asked
        assert asked is not None
        self._asked = None
        if asked.answer:
            self._failed_answers += 1
            self._not_before = now + 2.0 ** (self._failed_answers - 1)
            if self._failed_answers >= _MOST_FAILED_ANSWERS or asked.tries >= _MOST_TRIES:
                self._nothing_to_answer()
        return self._ended(asked.key, Heard.FAILED)

    def _ended(self, key: str, heard: Heard) -> list[Effect]:
        """Tell that a speech is over, once: another response may turn out to have been the one that was asked for."""
        if key in self._told:
            return []
        self._told.append(key)
        return [SpeechEnded(key, heard)]

    def _nothing_to_answer(self) -> None:
        self._to_answer.clear()
        self._mcp_to_answer = False
        self._failed_answers = self._answer_tries = 0
        self._wanted = deque(ask for ask in self._wanted if not ask.answer)
        self._forget_answered()

    def _forget_answered(self) -> None:
        """Forget the calls that are over. That they were seen stays remembered."""
        self._calls = {i: c for i, c in self._calls.items() if not c.in_conversation or i in self._to_answer}

    # --- what time does -----------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest, unless something happens before; None for never."""
        return min((when for _, when in self._deadlines()), default=None)

    def _deadlines(self) -> list[tuple[str, float]]:
        timings, times = self._timings, []
        if self._asked is not None:
            # While nothing at all is heard, the socket is what is to blame, and a new one asks again.
            heard = self._heard_at >= self._asked_at
            times.append(("asked", self._asked_at + (timings.created if heard else timings.deaf)))
        if self._active is not None:
            times.append(("active", self._active_seen + timings.response))
        if self._caller_since is not None:
            times.append(("caller", self._caller_since + timings.caller))
        if self._wanted or self._must_answer:
            times += [("wait", when) for when in (self._own_until, self._not_before) if when > _NEVER]
        times += [(f"beside {key}", at + timings.created) for key, at in self._beside.items()]
        times += [(f"tool {i}", c.asked_at + timings.tool) for i, c in self._calls.items() if not c.output and c.holds]
        times += [(f"mcp {name}", until) for name, until in self._mcp.items()]
        times += [("playback", when) for _, when in self._playback.deadlines()]
        times += [("hold", when) for when in (self._hold.deadline,) if when is not None]
        return times

    def tick(self, now: float) -> list[Effect]:
        """Give up what did not come in time, end what was heard, and ask for a response if it is its turn."""
        effects: list[Effect] = []
        for what, when in self._deadlines():
            if when > now:
                continue
            kind, _, name = what.partition(" ")
            if kind == "asked":
                effects += self._ask_granted_unseen() if self._untagged else self._ask_failed(now)
            elif kind == "active":
                self._playback.abandoned(self._active or "", now)
                self._active = None
            elif kind == "caller":
                self._caller_since = None
            elif kind == "wait":
                self._own_until = self._own_until if self._own_until > now else _NEVER
                self._not_before = self._not_before if self._not_before > now else _NEVER
            elif kind == "beside":
                del self._beside[name]
                effects += self._ended(name, Heard.FAILED)
            elif kind == "tool":
                self._calls[name].holds = False
            elif kind == "mcp":
                del self._mcp[name]
                self._mcp_to_answer = True
            elif kind == "hold":
                effects += map(Send, self._hold.tick(now))
        for key, heard in self._playback.expire(now):
            effects += self._ended(key, heard)
        return [*effects, *self._ask(now)]

    def _ask(self, now: float) -> list[Effect]:
        if self._asked is not None or self._active is not None or self._caller_since is not None:
            return []
        if self._own_until > now:
            return []
        wanted = next((ask for ask in self._wanted if ask.despite_hold or not self._hold.on), None)
        if wanted is not None:
            self._wanted.remove(wanted)
            ask = wanted
        elif self._hold.on:
            return []
        elif self._must_answer and not self.tools_running and self._not_before <= now:
            key = f"answer_{secrets.token_hex(8)}"
            ask = _Ask(key, ResponseConfig(metadata={_TAG: key}), answer=True, tries=self._answer_tries)
        else:
            return []
        if ask.answer and not self._must_answer:
            return self._ask(now)  # a response that the service started meanwhile has answered
        self._asked, self._asked_at, self._untagged = ask, now, False
        self._answered_by_ask = {call_id for call_id, call in self._calls.items() if call.output is not None}
        return [Send(events.ResponseCreate(event_id=ask.key, response=ask.config))]


_HANDLERS = {
    "response.created": Turns._created,
    "response.done": Turns._done,
    "response.output_item.done": Turns._output_item,
    "conversation.item.added": Turns._item,
    "conversation.item.created": Turns._item,
    "conversation.item.done": Turns._item,
    "response.mcp_call.in_progress": Turns._mcp_begins,
    "response.mcp_call.completed": Turns._mcp_ends,
    "response.mcp_call.failed": Turns._mcp_ends,
    "input_audio_buffer.speech_started": Turns._caller_begins,
    "input_audio_buffer.speech_stopped": Turns._caller_ends,
    "input_audio_buffer.committed": Turns._caller_ends,
    "input_audio_buffer.timeout_triggered": Turns._caller_ends,
    "input_audio_buffer.cleared": Turns._caller_dropped,
    "output_audio_buffer.started": Turns._playing,
    "output_audio_buffer.stopped": Turns._played,
    "output_audio_buffer.cleared": Turns._cleared,
    "session.created": Turns._session,
    "session.updated": Turns._session,
    "error": Turns._error,
}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
