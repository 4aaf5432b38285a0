"""What leaves on a live call is what the service takes, and a null that the model writes is a default: over sockets."""

from __future__ import annotations

from typing import Any

import pytest

from phone import SESSION, outputs, phone, types, virtual
from realtime_sip import Call, Tools
from realtime_sip.errors import InvalidRequestError
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays

BYE = CallerHangsUp()


@virtual
async def test_a_null_of_the_models_is_the_default_and_no_failure_of_the_tool() -> None:
    seen: list[object] = []

    def place_order(item: str, place: tuple[float, float] = (0.0, 0.0), gift: bool = False) -> str:
        seen.append((item, place, gift))
        return "ordered"

    scenario = (
        CallerSays("A loaf, please."),
        ModelCalls("place_order", arguments={"item": "loaf", "place": None, "gift": None}),
        ModelSays("It is ordered."),
        BYE,
    )
    async with phone() as line:
        _, ringing = await line.played(*scenario, tools=Tools([place_order]))
    assert seen == [("loaf", (0.0, 0.0), False)]
    assert outputs(ringing) == ["ordered"]
    assert ringing.accepted_session is not None
    place = ringing.accepted_session["tools"][0]["parameters"]["properties"]["place"]
    assert (place["items"], "prefixItems" in place) == ({"type": "number"}, False)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"audio": {"output": {"voice": None}}}, "audio.output.voice"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": None}}}},
            "turn_detection.threshold",
        ),
        ({"tools": [{"type": "function", "name": "f", "description": None}]}, "tools.0.description"),
        ({"max_output_tokens": None}, "max_output_tokens"),
    ],
)
def test_a_null_that_the_service_does_not_take_is_refused_before_it_is_sent(changed: dict[str, Any], name: str) -> None:
    @virtual
    async def run() -> None:
        refused: list[InvalidRequestError] = []

        async def talk(call: Call) -> None:
            for ask in (
                call.update(changed),
                call.send({"type": "session.update", "session": {"type": "realtime", **changed}}),
            ):
                try:
                    await ask
                except InvalidRequestError as error:
                    refused.append(error)
            await call.update({"audio": {"input": {"turn_detection": None, "transcription": None}}, "prompt": None})
            await call.wait_ended()

        async with phone() as line:
            _, ringing = await line.played(CallerHangsUp(after=5.0), talk=talk, session=SESSION)
        assert [f"{name}: cannot be null" in str(error) for error in refused] == [True, True]
        sent = [frame["session"] for frame in ringing.client_events if frame["type"] == "session.update"]
        nothing = {"turn_detection": None, "transcription": None}
        assert [session for session in sent if len(session) > 1] == [
            {"type": "realtime", "audio": {"input": nothing}, "prompt": None}
        ]
        assert "error" not in types(ringing.server_events)

    run()
