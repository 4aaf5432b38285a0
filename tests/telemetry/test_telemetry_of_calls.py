"""What telemetry tells about what happens in a call, by OpenTelemetry's own SDK. On virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from phone import SESSION, Phone, greet, phone, virtual
from realtime_sip import Call, CallHost, IncomingCall, Tools, TransferRequest, TransferTargets
from realtime_sip.errors import TransferError
from realtime_sip.telemetry.instruments import METRICS
from realtime_sip.telemetry.names import MAX_NAMES, OTHER, Names
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    EventAltered,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
    SocketDropped,
)
from seen import Seen, attributes, id_of, parent_of, tree

HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp()
NUMBER = "+14155550101"
MODEL = "gpt-realtime-2.1"
ASKED = "gen_ai.request.model"
WRITES = "gpt-realtime-whisper"
TRANSCRIBING: dict[str, Any] = {**SESSION, "audio": {"input": {"transcription": {"model": WRITES}}}}


@asynccontextmanager
async def watched(**options: Any) -> AsyncIterator[tuple[Phone, Seen]]:
    """Set a phone up whose host has telemetry."""
    seen = Seen()
    async with phone(**options) as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=seen.telemetry)
        yield line, seen


def order_tools(seen: Seen) -> Tools:
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        with seen.tracer_provider.get_tracer("shop").start_as_current_span("SELECT orders"):
            await asyncio.sleep(1)
        if order_id == "none":
            raise KeyError(order_id)
        return "On its way."

    @tools.function
    def plain() -> str:
        """Look."""
        with seen.tracer_provider.get_tracer("shop").start_as_current_span("look"):
            return "seen"

    return tools


@virtual
async def test_each_turn_has_its_response_with_its_tools_and_what_was_said() -> None:
    async with watched() as (line, seen):
        steps = (HELLO, CallerSays("Where is it?"), ModelCalls("order_status", {"order_id": NUMBER}))
        await line.played(*steps, ModelSays("It comes tomorrow."), BYE, talk=greet, tools=order_tools(seen))
    generate, execute = f"generate_content {MODEL}", "execute_tool order_status"
    assert tree(seen.spans) == [
        "call",
        *("  accept", "  attach", "  webhook"),
        *("  turn", f"    {generate}", "    agent_speech"),
        *("  turn", "    caller_speech", f"    {generate}", f"      {execute}", f"    {generate}", "    agent_speech"),
        *("  attach", "  end"),  # whether it is gone
    ]
    assert attributes(seen.all_of("realtime_sip.attach")[1])["realtime_sip.attach.gone"] is True
    [first, second] = seen.all_of("realtime_sip.turn")
    assert attributes(first)["realtime_sip.turn.number"] == 1
    assert "realtime_sip.turn.wait" not in attributes(first)
    waited = attributes(second)["realtime_sip.turn.wait"]
    assert waited > 1  # the time of the tool is in it
    assert seen.points("realtime_sip.turn.wait") == [({}, (1, waited))]
    assert second.start_time == seen.one("realtime_sip.caller_speech").start_time
    assert second.end_time == seen.all_of("realtime_sip.agent_speech")[-1].end_time


@virtual
async def test_what_a_tool_does_is_below_its_span_in_its_task_and_in_its_thread() -> None:
    async with watched() as (line, seen):
        steps = (ModelCalls("order_status", {"order_id": "none"}), ModelCalls("plain"), HELLO, BYE)
        await line.played(*steps, talk=greet, tools=order_tools(seen))
    tool, plain = seen.one("execute_tool order_status"), seen.one("execute_tool plain")
    inner = {span.name: parent_of(span) for span in seen.foreign}
    assert inner == {"SELECT orders": id_of(tool), "look": id_of(plain)}
    assert attributes(tool)["error.type"] == "failed"
    assert attributes(tool)["gen_ai.tool.type"] == "function"
    assert attributes(tool)["gen_ai.operation.name"] == "execute_tool"
    assert tool.status.status_code is trace.StatusCode.ERROR
    failed = {"gen_ai.tool.name": "order_status", "gen_ai.tool.type": "function", "error.type": "failed"}
    assert (failed, (1, pytest.approx(1.0))) in seen.points("gen_ai.execute_tool.duration")


@virtual
async def test_tools_of_mcp_servers_are_tools() -> None:
    server = {"type": "mcp", "server_label": "orders", "server_url": "https://mcp.example.com"}
    session = {**SESSION, "tools": [{**server, "require_approval": "never"}]}
    async with watched() as (line, seen):
        call = ModelCallsMcp("orders", "find", {"id": NUMBER}, output="on its way", seconds=8, approval=False)
        await line.played(HELLO, CallerSays("Where?"), call, ModelSays("On its way."), BYE, talk=greet, session=session)
    tool = seen.one("execute_tool find")
    assert attributes(tool)["gen_ai.tool.type"] == "extension"
    assert parent_of(tool) in {id_of(span) for span in seen.all_of(f"generate_content {MODEL}")}
    how = {"gen_ai.tool.name": "find", "gen_ai.tool.type": "extension"}
    assert seen.points("gen_ai.execute_tool.duration") == [(how, (1, pytest.approx(8.0)))]


@virtual
async def test_responses_have_the_usage_and_the_model_of_the_conventions() -> None:
    async with watched() as (line, seen):
        steps = (HELLO, CallerSays("Thanks."), ModelSays("Goodbye."), BYE)
        ended, ringing = await line.played(*steps, talk=greet, session=TRANSCRIBING)
    usage, cost = line.calls[0].usage, line.calls[0].cost
    responses = seen.all_of(f"generate_content {MODEL}")
    assert {span.kind for span in responses} == {trace.SpanKind.CLIENT}
    for span in responses:
        assert attributes(span)["gen_ai.request.model"] == MODEL
        assert attributes(span)["gen_ai.provider.name"] == "openai"
        assert attributes(span)["gen_ai.conversation.id"] == ringing.call_id
        assert attributes(span)["gen_ai.response.finish_reasons"] == ("stop",)
    written = sum(attributes(span).get("gen_ai.usage.audio.output_tokens", 0) for span in responses)
    assert written == usage.tokens.audio_out > 0
    by_kind = {
        (at["gen_ai.request.model"], at["gen_ai.token.type"], at["realtime_sip.token.modality"]): 0
        for at, _ in seen.points("realtime_sip.tokens")
    }
    for at, count in seen.points("realtime_sip.tokens"):
        by_kind[at["gen_ai.request.model"], at["gen_ai.token.type"], at["realtime_sip.token.modality"]] += count
    assert by_kind[MODEL, "output", "audio"] == usage.tokens.audio_out
    assert by_kind[MODEL, "input", "text"] == usage.tokens.text_in
    assert sum(count for (model, _, _), count in by_kind.items() if model == MODEL) == usage.tokens.total
    assert {model for model, _, _ in by_kind} == {MODEL}
    [(_, seconds)] = seen.points("realtime_sip.transcription.audio")
    assert seconds == pytest.approx(float(usage.transcription[0].seconds))
    counted = {at["gen_ai.token.type"]: total for at, total in seen.points("gen_ai.client.token.usage")}
    assert counted["output"] == (len(responses), usage.tokens.audio_out + usage.tokens.text_out)
    [(_, (count, _))] = seen.points("gen_ai.client.operation.duration")
    assert count == len(responses)
    assert cost is not None
    assert seen.points("realtime_sip.cost") == [({"gen_ai.request.model": MODEL}, pytest.approx(float(cost)))]
    assert ended.reason.value == "caller"


@virtual
async def test_the_tokens_of_transcription_are_those_of_its_model() -> None:
    used = {"type": "tokens", "input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
    kind = "conversation.item.input_audio_transcription.completed"
    fault = EventAltered(kind, lambda event: {**event, "usage": used})
    steps = (HELLO, CallerSays("Thanks."), ModelSays("Goodbye."), BYE)
    async with watched() as (line, seen):
        await line.played(*steps, talk=greet, session=TRANSCRIBING, faults=[fault])
    points = seen.points("realtime_sip.tokens")
    of = [
        (at["gen_ai.token.type"], at["realtime_sip.token.modality"], count)
        for at, count in points
        if at[ASKED] == WRITES
    ]
    assert sorted(of) == [("input", "audio", 20), ("output", "text", 5)]


@virtual
async def test_a_response_that_failed_or_was_interrupted_says_so() -> None:
    async with watched(strict=False) as (line, seen):
        long = ModelSays("Let me tell you everything about our opening hours, in each of our shops, day by day.")
        await line.played(long, CallerSays("Stop.", interrupting=True), ModelFails("failed"), HELLO, BYE, talk=greet)
    [first, *_] = seen.all_of("realtime_sip.turn")
    assert attributes(first)["realtime_sip.turn.interrupted"] is True
    [cut, *_] = seen.all_of("realtime_sip.agent_speech")
    assert attributes(cut)["realtime_sip.agent_speech.interrupted"] is True
    assert parent_of(cut) == id_of(first)
    errors = [attributes(span)["error.type"] for span in seen.spans if "error.type" in attributes(span)]
    assert errors == ["failed"]
    points = seen.points("gen_ai.client.operation.duration")
    assert [at["error.type"] for at, _ in points if "error.type" in at] == errors


@virtual
async def test_times_are_those_that_the_caller_waited() -> None:
    async with watched() as (line, seen):
        ended, _ = await line.played(HELLO, CallerSays("Thanks."), ModelSays("Goodbye."), BYE, talk=greet)
    accept, call = seen.one("realtime_sip.accept"), seen.one("realtime_sip.call")
    [first, *_] = seen.all_of("realtime_sip.agent_speech")

    def seconds(begin: int | None, end: int | None) -> Any:
        assert begin is not None
        assert end is not None
        return pytest.approx((end - begin) / 1e9, abs=1e-5)

    answered = seconds(call.start_time, accept.end_time)
    assert seen.points("realtime_sip.call.time_to_answer") == [({}, (1, answered))]
    spoke = seconds(accept.end_time, first.start_time)
    assert seen.points("realtime_sip.call.time_to_first_word") == [({}, (1, spoke))]
    assert ended.attached_at is not None
    [(_, (_, length))] = seen.points("realtime_sip.call.duration")
    assert length == pytest.approx(ended.ended_at - ended.attached_at)
    assert seen.points("realtime_sip.calls.answered") == [({"realtime_sip.channel": "phone"}, 1)]


@virtual
async def test_a_sideband_that_drops_is_attached_again_below_the_same_call() -> None:
    async with watched() as (line, seen):
        fault = SocketDropped(when="playing", code=1006)
        await line.played(HELLO, CallerSays("Thanks."), ModelSays("Goodbye."), BYE, talk=greet, faults=[fault])
    again = [attributes(span) for span in seen.all_of("realtime_sip.attach")]
    assert [each["realtime_sip.attach.again"] for each in again][:2] == [False, True]
    assert again[1]["realtime_sip.attach.after"] == "dropped"


@virtual
async def test_early_404s_are_counted_by_what_was_asked() -> None:
    async with watched() as (line, seen):
        line.openai.fail("accept", status=404, times=2)
        line.openai.fail("attach", status=404)
        await line.played(HELLO, BYE, talk=greet)
    counted = {at["realtime_sip.operation"]: count for at, count in seen.points("realtime_sip.early_404s")}
    assert counted == {"accept": 2, "attach": 1}
    assert attributes(seen.all_of("realtime_sip.attach")[0])["error.type"] == "CallGoneError"


async def transfer(call: Call) -> None:
    call.respond("Greet the caller.")
    await asyncio.sleep(10)
    try:
        await call.transfer("billing")
    except TransferError:
        await call.hangup()


@pytest.mark.parametrize(
    ("behavior", "result", "without_effect"),
    [(Behavior(refer="ignored"), "no sign", 1), (Behavior(refer="bridged"), "transferred", 0)],
)
@virtual
async def test_a_transfer_has_its_result_and_a_refer_without_effect_is_counted(
    behavior: Behavior, result: str, without_effect: int
) -> None:
    async with watched(strict=False) as (line, seen):
        targets = TransferTargets({"billing": f"tel:{NUMBER}"})
        await line.played(HELLO, talk=transfer, transfers=targets, behavior=behavior)
    span = attributes(seen.one("realtime_sip.transfer"))
    assert span["realtime_sip.transfer.target"] == "billing"
    assert span["realtime_sip.transfer.result"] == result
    assert seen.points("realtime_sip.transfers") == [({"realtime_sip.transfer.result": result}, 1)]
    assert sum(count for _, count in seen.points("realtime_sip.refers.without_effect")) == without_effect


@virtual
async def test_a_transfer_that_takes_the_fallback_says_so_and_its_refer_had_no_effect() -> None:
    async def redirected(_request: TransferRequest) -> None:
        """Let the carrier dial."""

    async with watched(strict=False) as (line, seen):
        targets = TransferTargets({"billing": f"tel:{NUMBER}"}, fallback=redirected)
        steps = (HELLO, CallerHangsUp(after=60.0))
        await line.played(*steps, talk=transfer, transfers=targets, behavior=Behavior(refer="ignored"))
    span = attributes(seen.one("realtime_sip.transfer"))
    assert span["realtime_sip.transfer.fallback"] is True
    assert [count for _, count in seen.points("realtime_sip.refers.without_effect")] == [1]


@virtual
async def test_law_nothing_personal_is_told() -> None:
    """No number, no words, no arguments: whatever was said or dialed is nowhere in what is exported."""
    async with watched(strict=False) as (line, seen):
        steps = (HELLO, CallerSays("My name is Anna."), ModelCalls("order_status", {"order_id": "secret-1042"}))
        await line.played(
            *(*steps, ModelSays("It comes tomorrow."), BYE),
            talk=greet,
            tools=order_tools(seen),
            session=TRANSCRIBING,
            invite={"caller": NUMBER},
        )
    told = "".join(span.to_json() for span in seen.spans) + str([seen.points(name) for name in seen.metric_names()])
    assert "order_status" in told
    for private in (NUMBER, NUMBER[1:], "Anna", "tomorrow", "secret-1042", "On its way", "You answer the phone"):
        assert private not in told


@virtual
async def test_a_call_that_is_answered_without_a_host_is_watched_where_the_program_says_so() -> None:
    seen = Seen()
    async with phone() as line:

        class Program:
            """Answers calls by itself."""

            async def submit(self, incoming: IncomingCall) -> None:
                self.task = asyncio.create_task(self.serve(incoming))

            async def serve(self, incoming: IncomingCall) -> None:
                with seen.telemetry.call(incoming):
                    async with line.client.calls.answer(incoming, SESSION) as call:
                        await greet(call)

        program = Program()
        ringing = await line.openai.ring(program, scenario=[HELLO, BYE])
        await ringing.ended()
        await program.task
    assert seen.names()[0] != ""
    call = seen.one("realtime_sip.call")
    assert attributes(call)["realtime_sip.end.reason"] == "caller"
    assert {"realtime_sip.accept", "realtime_sip.attach", "realtime_sip.turn"} <= set(seen.names())
    assert seen.points("realtime_sip.calls.live") == [({}, 0)]


@virtual
async def test_law_all_spans_end_however_the_call_does() -> None:
    seen = Seen()
    begun: list[str] = []
    provider = seen.tracer_provider

    class Watching(trace.TracerProvider):
        """Notes what begins."""

        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            tracer = provider.get_tracer(*args, **kwargs)

            class Tracer:
                def start_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
                    begun.append(name)
                    return tracer.start_span(name, *args, **kwargs)

            return Tracer()

    from realtime_sip.telemetry import Telemetry

    async def breaks(call: Call) -> None:
        call.respond("Greet the caller.")
        await asyncio.sleep(3)
        raise ValueError

    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=Telemetry(Watching()))
        await line.played(ModelCalls("order_status", {"order_id": "1"}), talk=breaks, tools=order_tools(seen))
        await line.played(ModelSays("A long story. " * 20), talk=breaks)
        await line.played(HELLO, CallerSays("Hello?"), talk=breaks, faults=[SocketDropped(when="playing", code=1006)])
    assert sorted(begun) == sorted(seen.names())
    ends = [attributes(call) for call in seen.all_of("realtime_sip.call")]
    assert {end["realtime_sip.end.reason"] for end in ends} == {"handler failed"}
    assert {end["error.type"] for end in ends} == {"handler failed"}


def test_law_names_that_others_choose_are_few() -> None:
    names = Names()
    first = [names.bounded(f"tool_{number}") for number in range(MAX_NAMES)]
    assert OTHER not in first
    assert names.bounded("tool_one_too_many") == OTHER
    assert names.bounded("tool_1") == "tool_1"
    assert names.bounded("call me at 415 555 0101") == OTHER
    assert names.bounded(None) == OTHER


def documented(page: str) -> dict[str, set[str]]:
    """Return the first cells of the rows of each table of a page, by its heading."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in page.splitlines():
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        cell = re.match(r"\| `([^`]+)`", line)
        if cell is not None:
            found.setdefault(heading, set()).add(cell[1])
    return found


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text()


@virtual
async def test_law_the_page_lists_what_is_emitted_and_nothing_else() -> None:
    page = documented(PAGE)
    async with watched(strict=False) as (line, seen):
        seen.telemetry.orphans()
        seen.telemetry.takeover()
        steps = (
            HELLO,
            CallerSays("Where is it?"),
            ModelCalls("order_status", {"order_id": "none"}),
            ModelFails("failed"),
        )
        line.openai.fail("accept", status=404)
        await line.played(*steps, HELLO, BYE, talk=greet, tools=order_tools(seen), session=TRANSCRIBING)
        targets = TransferTargets({"billing": f"tel:{NUMBER}"})
        fault = SocketDropped(when="playing", code=1006)
        cut = CallerSays("Stop.", interrupting=True)
        await line.played(
            ModelSays("A story. " * 9), cut, HELLO, talk=transfer, transfers=targets, behavior=Behavior(refer="ignored")
        )
        await line.played(HELLO, talk=greet, limits=_limits(), faults=[fault])
    assert page["Metrics"] == {metric.name for metric in METRICS} == seen.metric_names()
    spans = {re.sub(r"(generate_content|execute_tool) .*", r"\1 …", span.name) for span in seen.spans}
    assert page["Spans"] == spans
    told = {name for span in seen.spans for name in attributes(span)}
    told |= {name for metric in METRICS for at, _ in seen.points(metric.name) for name in at}
    told |= {"realtime_sip.transfer.fallback", *_TOKENS}
    assert page["Attributes"] == told | {"error.type"}


_TOKENS = {
    f"gen_ai.usage.{name}"
    for name in (
        *("input_tokens", "output_tokens", "cache_read.input_tokens"),
        *("text.input_tokens", "audio.input_tokens", "image.input_tokens"),
        *("text.output_tokens", "audio.output_tokens"),
        *("text.cache_read.input_tokens", "audio.cache_read.input_tokens", "image.cache_read.input_tokens"),
    )
}


def _limits() -> Any:
    from realtime_sip import CallLimits

    return CallLimits(max_duration=30)


def test_the_module_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['opentelemetry'] = None; import realtime_sip.telemetry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "realtime-sip[otel]" in done.stderr
