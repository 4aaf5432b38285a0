"""The API key of one request: a text, or what a function of the program's returns, asked before each request."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from realtime_sip._redaction import miscopied
from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.api.operations import Failure
from realtime_sip.errors import ConfigurationError

ApiKey: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]

_NO_KEYS = ("whsec_", "proj_", "org-")
# A function that hangs keeps its thread.
_THREADS = Threads("realtime-sip-key", 32)

Asked = tuple[object, BaseException | None]


def checked_key(key: object) -> str:
    """Return the key, if it can be one.

    Raises:
        ConfigurationError: It cannot; the message says what to do.
    """
    if not isinstance(key, str) or not key:
        raise ConfigurationError("api_key is empty or no text")
    wrong = miscopied(key)
    if wrong is not None:
        raise ConfigurationError(f"api_key {wrong}")
    if key.startswith("Bearer "):
        raise ConfigurationError("api_key has 'Bearer' in front of it: remove it, since the client adds it")
    if not key.isascii() or " " in key:
        raise ConfigurationError("api_key must be ASCII text without blanks: copy it again")
    if key.startswith(_NO_KEYS):
        raise ConfigurationError("api_key is a webhook secret, a project or an organization; a key begins with sk-")
    return key


def check_is_plain(api_key: object) -> None:
    """Refuse a function that the blocking client could not ask.

    Raises:
        ConfigurationError: It is async.
    """
    if inspect.iscoroutinefunction(api_key) or inspect.iscoroutinefunction(getattr(api_key, "__call__", None)):  # noqa: B004
        raise ConfigurationError("api_key is an async function; the blocking client takes a plain one")


def ask(api_key: ApiKey, within: Callable[[Callable[[], Asked]], Asked]) -> str | Failure:
    """Return the key, or what kept it away. `within` runs a function, and raises TimeoutError if it takes too long."""
    if isinstance(api_key, str):
        return api_key
    try:
        value, error = within(lambda: _asked(api_key))
    except TimeoutError:
        return _LATE
    if inspect.iscoroutine(value):
        value.close()
        return Failure(
            "api_key returned an awaitable; the blocking client takes a plain function", sent=False, of="misuse"
        )
    return _key(value, error)


async def ask_async(api_key: ApiKey, seconds: float) -> str | Failure:
    """Return the key, or what kept it away. A plain function runs in a thread, since it may ask somebody else."""
    if isinstance(api_key, str):
        return api_key
    value: object
    error: BaseException | None = None
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            if inspect.iscoroutinefunction(api_key) or not threading.main_thread().is_alive():
                value, error = _asked(api_key)  # while the interpreter exits no thread starts any more
            else:
                value, error = await asyncio.get_running_loop().run_in_executor(_THREADS, _asked, api_key)
            if inspect.isawaitable(value):
                value = await value
    except NoThreadError:
        return Failure("api_key hangs, too often", sent=False, of="key")
    except (Exception, SystemExit) as raised:  # noqa: BLE001 - the program's own code
        return _LATE if deadline.expired() else _key(None, raised)
    return _key(value, error)


def _asked(api_key: Callable[[], object]) -> Asked:
    try:
        return api_key(), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the program's own code; StopIteration passes no future
        return None, error


def _key(value: object, error: BaseException | None) -> str | Failure:
    if error is not None:
        return Failure(f"api_key raised {type(error).__name__}", sent=False, of="key", cause=error)
    try:
        return checked_key(value)
    except ConfigurationError as wrong:
        return Failure(f"what api_key returned is no key: {wrong}", sent=False, of="misuse")


_LATE = Failure("api_key did not return in time", sent=False, of="key")
