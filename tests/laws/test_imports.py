"""A program loads what it uses: counted in modules and built validators, not in milliseconds."""

from __future__ import annotations

import ast
import json
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import realtime_sip

# The models of ours that can validate by now: pydantic builds a class when it is first used.
COUNT = """
import json, sys
from pydantic import BaseModel

def kinds(model):
    for kind in model.__subclasses__():
        yield kind
        yield from kinds(kind)

ours = {kind for kind in kinds(BaseModel) if kind.__module__.startswith("realtime_sip")}
built = sorted(kind.__name__ for kind in ours if kind.__pydantic_complete__)
print(json.dumps({"modules": before, "built": built}))
"""


def after(code: str) -> tuple[set[str], list[str]]:
    """Return the modules that are loaded after `code`, and the models that are built."""
    program = f"{code}\nimport sys\nbefore = sorted(sys.modules)\n{COUNT}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return set(found["modules"]), found["built"]


def ours(modules: set[str]) -> set[str]:
    return {name.removeprefix("realtime_sip.") for name in modules if name.startswith("realtime_sip.")}


def test_law_the_root_alone_loads_nothing() -> None:
    modules, _ = after("import realtime_sip")
    assert not ours(modules)
    assert not modules & {"pydantic", "httpx", "websockets", "asyncio"}


def test_law_webhooks_load_neither_the_api_nor_its_events() -> None:
    modules, built = after("from realtime_sip.webhooks import OpenAIWebhooks; OpenAIWebhooks('whsec_c2VjcmV0')")
    assert not modules & {"httpx", "websockets", "asyncio", "ssl"}
    assert not ours(modules) & {"events", "items", "session", "response", "client", "api", "call", "stores"}
    assert built == []


def test_law_a_client_loads_neither_a_call_nor_what_it_connects_with() -> None:
    for kind in ("RealtimeSip", "AsyncRealtimeSip"):
        modules, built = after(f"import realtime_sip; realtime_sip.{kind}('sk-test')")
        assert not modules & {"httpx", "httpx2", "websockets", "standardwebhooks"}
        assert not ours(modules) & {"call", "hosting", "webhooks", "tools", "event_log", "rates", "policy", "stores"}
        assert built == []


def test_law_the_events_validator_is_built_by_the_first_event_and_no_model_with_it() -> None:
    frame = '{"type": "response.output_audio.done", "event_id": "1", "response_id": "1", "item_id": "1", '
    frame += '"output_index": 0, "content_index": 0}'
    modules, built = after(f"from realtime_sip import events; events.parse_server_event({frame!r})")
    assert built == []
    assert not modules & {"httpx", "websockets", "asyncio"}


def test_law_twiml_loads_twilios_builders_alone() -> None:
    modules, built = after("from realtime_sip.twilio import twiml; twiml.dial_openai('proj_abc')")
    assert "twilio.twiml.voice_response" in modules
    assert not modules & {"twilio.rest", "twilio.http", "requests", "aiohttp", "httpx", "websockets", "asyncio"}
    assert not ours(modules) & {"client", "api", "call", "hosting", "events", "stores", "testing"}
    assert built == []


def test_law_declaring_a_trunk_loads_no_client() -> None:
    modules, built = after("from realtime_sip.twilio import trunking; trunking.for_openai('proj_abc')")
    assert not modules & {"twilio", "requests", "httpx", "websockets", "asyncio", "ssl", "phonenumbers"}
    assert not ours(modules) & {"client", "api.transport", "call", "hosting", "testing", "twilio.account"}
    assert built == []


def test_law_a_session_loads_of_the_prompts_only_what_composes_them() -> None:
    modules, built = after("import realtime_sip.session")
    loaded = {name.partition(".")[2] for name in ours(modules) if name.startswith("prompts.")}
    assert loaded == {"family", "instructions", "locales", "numbers", "section"}
    assert built == []


def imported_for_types() -> dict[str, str]:
    tree = ast.parse(Path(realtime_sip.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_law_type_checkers_and_programs_find_the_same_names_at_the_same_places() -> None:
    modules = {name for name, place in imported_for_types().items() if place == "realtime_sip"}
    assert modules == realtime_sip._MODULES
    assert {name: place for name, place in imported_for_types().items() if name not in modules} == realtime_sip._PLACES
    assert sorted(imported_for_types()) == realtime_sip.__all__


def test_the_root_looks_as_if_all_of_it_were_there() -> None:
    modules, _ = after("from realtime_sip import *; assert CallHost and Tools and events and end_call")
    assert "realtime_sip.hosting.host" in modules
    after(
        "import realtime_sip; listed = dir(realtime_sip); assert '__version__' in listed\n"
        "assert [name for name in listed if not name.startswith('_')] == realtime_sip.__all__, listed"
    )
    shown = pydoc.plain(pydoc.render_doc(realtime_sip))
    assert "class CallHost" in shown
    assert "transfer_to_human" in shown
    assert pickle.loads(pickle.dumps(realtime_sip.Tools)) is realtime_sip.Tools
    assert vars(realtime_sip)["Tools"] is realtime_sip.Tools  # asked for once, it is there


def test_a_name_that_is_not_there_is_missing_as_from_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Calls'"):
        realtime_sip.Calls  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Calls'"):
        exec("from realtime_sip import Calls")


def test_law_who_tests_without_twilio_loads_nothing_of_it_and_its_stand_in_not_the_package() -> None:
    modules, _ = after("import realtime_sip.testing")
    assert "testing.openai.emulator" in ours(modules)
    assert not {name for name in ours(modules) if name.startswith("testing.twilio")}
    modules, _ = after("from realtime_sip.testing import TwilioEmulator; TwilioEmulator()")
    assert "testing.twilio.rest" in ours(modules)
    assert not {name for name in modules if name.partition(".")[0] == "twilio"}
    assert not {name for name in ours(modules) if name.startswith("twilio")}
