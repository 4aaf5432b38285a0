"""What takes several steps: say it, then act. Generators that wait for a condition, without I/O.

Each yields what it waits for, and how many seconds beyond the end of the known speech, which moves as the length of
speech becomes known; None if what it waits for ends by itself. Whichever comes first resumes it.
"""

from __future__ import annotations

from inspect import GEN_RUNNING, getgeneratorstate

from realtime_sip.call.machine.state import CallState, Sequence, Steps

AFTER_SPEECH = 30.0
"""The most seconds beyond the end of the known speech that hanging up and transferring wait."""


def start(s: CallState, key: str, steps: Steps) -> None:
    """Begin a sequence, unless one of that name is under way. Its first step is taken with the rules that follow."""
    if key not in s.sequences:
        s.sequences[key] = Sequence(steps)


def stop(s: CallState, key: str) -> None:
    """Give a sequence up; its `finally` puts right what has to be."""
    sequence = s.sequences.pop(key, None)
    s.timers.stop(f"sequence {key}")
    if sequence is not None and getgeneratorstate(sequence.steps) != GEN_RUNNING:
        sequence.steps.close()


def stop_all(s: CallState) -> None:
    """Give all of them up, because the call is over."""
    for key in [*s.sequences]:
        stop(s, key)


def late(s: CallState, key: str) -> None:
    """Resume a sequence whose time is over, unless what is being said turned out to be longer."""
    sequence = s.sequences.get(key)
    if sequence is None or sequence.seconds is None:
        return
    until = max(sequence.since, s.book.speech_ends(sequence.since)) + sequence.seconds
    if until > s.now:
        s.timers.set(f"sequence {key}", until)
    else:
        sequence.condition = lambda: True


def rule_sequences(s: CallState) -> bool:
    """Resume the sequences whose condition holds."""
    resumed = False
    for key, sequence in [*s.sequences.items()]:
        if not sequence.condition():
            continue
        resumed = True
        s.timers.stop(f"sequence {key}")
        try:
            sequence.condition, sequence.seconds = next(sequence.steps)
        except StopIteration:
            if s.sequences.get(key) is sequence:
                del s.sequences[key]
            continue
        sequence.since = s.now
        if sequence.seconds is not None and key in s.sequences:
            s.timers.set(f"sequence {key}", s.book.speech_ends(s.now) + sequence.seconds)
    return resumed
