"""A phone service that lets nobody in without the PIN, which is pressed on the keypad and told to no model.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    uvicorn --factory examples.pin_entry:from_environment

A line that sends tones in-band, instead of as events, lets the model hear them all the same: see `collect_digits`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from fastapi import FastAPI

from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    EventLogFolder,
    IncomingCall,
    RealtimeSession,
    ToolOutput,
    Tools,
    TransferTargets,
    end_call,
)
from realtime_sip.integrations.fastapi import openai_webhook

SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You tell members of a club what is in their account. Be brief. Ask for the account number, then call "
    "enter_pin, and balance once it succeeds. Never ask anybody to say a PIN aloud. Say goodbye before end_call.",
)
RECEPTION = TransferTargets({"reception": "sip:reception@pbx.example.com"})
ASK = "Ask the caller to enter the PIN on the keypad and then press the hash key."
AGAIN = "Say that this was not right, and ask the caller to enter the PIN once more, and then to press the hash key."
TRIES = 3


@dataclass(slots=True)
class Account:
    """A member's account. It would be in a database, which has a salted hash in place of the PIN."""

    pin: str = field(repr=False)
    balance: str = ""
    wrong: int = 0

    @property
    def locked(self) -> bool:
        """Whether too many wrong PINs were entered, in this call and those before."""
        return self.wrong >= TRIES

    def opens_with(self, digits: str) -> bool:
        """Tell whether that is the PIN, in a time that does not depend on how much of it is right."""
        right = hmac.compare_digest(digits, self.pin) and not self.locked
        self.wrong = 0 if right else self.wrong + 1
        return right


def tools_for(accounts: dict[str, Account]) -> Tools:
    """Return what the model may do on one call. Whose PIN was entered is known here, and not to the model alone."""
    opened: dict[str, Account] = {}
    tools = Tools()
    tools.function(end_call)

    @tools.function  # its ten seconds stand still while the caller presses keys
    async def enter_pin(call: Call, number: str) -> str | ToolOutput:
        """Have the caller enter the PIN of the account with this number. Say nothing before: the caller is asked."""
        # A number that nobody has is asked about like any other, so that a call does not tell whose there are.
        account = accounts.get(number) or Account(pin="none")
        for prompt in (ASK, AGAIN, AGAIN):
            if account.locked:
                break
            pressed = await call.collect_digits(prompt, secret=True)
            if not pressed:
                call.transfer("reception", reason="no PIN was entered")  # the tool need not wait for it
                return ToolOutput("No PIN was entered. The caller is being transferred.", respond=False)
            if account.opens_with(pressed.digits):
                opened[number] = account
                return "The PIN is right."
        await call.hangup(goodbye="Say that the account is locked and that its owner gets a letter; say goodbye.")
        return ToolOutput(respond=False)

    @tools.function
    async def balance(number: str) -> str:
        """Tell what is in the account with this number, once its PIN was entered."""
        return opened[number].balance if number in opened else "Not told: the PIN was not entered."

    return tools


def create_app(
    client: AsyncRealtimeSip, accounts: dict[str, Account], *, event_log: EventLogFolder | None = None
) -> FastAPI:
    """Return the server. An event log has none of the keys that `enter_pin` asks for, redacted or not."""

    async def on_call(incoming: IncomingCall) -> None:
        answering = client.calls.answer(
            incoming, SESSION, tools=tools_for(accounts), transfers=RECEPTION, event_log=event_log
        )
        async with answering as call:
            call.respond("Greet the caller, and ask for the account number.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    return create_app(AsyncRealtimeSip(), {"1042": Account(pin="73918264", balance="Twelve dollars.")})
