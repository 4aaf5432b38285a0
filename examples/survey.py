"""A survey by phone: three questions, each answer recorded, a goodbye that is heard, and then the line is closed.

pip install 'realtime-sip[fastapi]' uvicorn
export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
uvicorn --factory examples.survey:from_environment
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from fastapi import FastAPI

from realtime_sip import (
    AsyncRealtimeSip,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    RealtimeSession,
    ToolOutput,
    Tools,
    end_call,
)
from realtime_sip.integrations.fastapi import openai_webhook

log = logging.getLogger("survey")

Question = Literal["visit", "staff", "again"]
QUESTIONS: dict[Question, str] = {
    "visit": "How was your visit, from 1 to 5?",
    "staff": "Did the staff help you?",
    "again": "Will you come again?",
}
SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You ask the caller three questions, one at a time, and record each answer with record_answer:\n"
    + "\n".join(f"- {name}: {words}" for name, words in QUESTIONS.items())
    + "\nIf the caller does not want to go on, say goodbye and call end_call.",
)
LIMITS = CallLimits(max_duration=300, silence=30)


@dataclass(slots=True)
class Answers:
    """What one caller has answered, and how the call ended."""

    given: dict[Question, str] = field(default_factory=dict, repr=False)
    ended: EndReason | None = None

    @property
    def complete(self) -> bool:
        """Whether every question has its answer."""
        return len(self.given) == len(QUESTIONS)


def create_app(client: AsyncRealtimeSip, *, save: Callable[[Answers], None]) -> FastAPI:
    """Return the server. `save` is called once for each call, however it ends."""

    async def on_call(incoming: IncomingCall) -> None:
        answers = Answers()
        tools = Tools()  # of this call alone, because what it records is this caller's
        tools.function(end_call)

        @tools.function
        async def record_answer(question: Question, answer: str) -> str | ToolOutput:
            """Record the caller's answer to a question.

            Args:
                question: Which question it answers.
                answer: What the caller said, in short.
            """
            answers.given[question] = answer
            # After the last one the model says nothing by itself: the goodbye comes from below.
            return ToolOutput("recorded", respond=False) if answers.complete else "recorded; ask the next question"

        try:
            async with client.calls.answer(incoming, SESSION, tools=tools, limits=LIMITS) as call:
                call.respond("Greet the caller, say that there are three questions, and ask the first.")
                async for _event in call:  # ends when the call does
                    if answers.complete:
                        break
                await call.hangup(goodbye="Thank the caller, and say goodbye in one sentence.")
            answers.ended = (await call.wait_ended()).reason
        finally:
            save(answers)

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def log_count(answers: Answers) -> None:
    """Log how many questions were answered, and not what: yours would write the answers into a database."""
    ended = answers.ended.value if answers.ended is not None else "not known"
    log.info("%d of %d questions answered; the end: %s", len(answers.given), len(QUESTIONS), ended)


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    return create_app(AsyncRealtimeSip(), save=log_count)
