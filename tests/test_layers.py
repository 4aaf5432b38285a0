"""A module imports only from its own layer leftwards, and from layers below."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_sip

SOURCE = Path(realtime_sip.__file__).parent

# From below to above; within a layer from left to right. A package stands for all its modules, which may import
# each other.
LAYERS = [
    ["_redaction", "errors", "_wire"],
    [
        *("hosts", "_address", "sip", "context", "usage", "beta", "items", "session", "_signature", "tools"),
        *("response", "events"),
    ],
    [
        *("_http", "settings", "protocol", "playback", "hold", "turns", "limits", "ended", "transfer", "lifecycle"),
        *("digits", "escalation", "session_update", "transcript", "conversation", "meter", "decision"),
        *("_webhook_events", "webhooks"),
    ],
    ["transport", "sideband", "calls", "client_secrets", "client", "dedupe"],
    [
        *("event_queue", "outbox", "guardrail", "tool_runner", "event_log", "record", "speech", "call_tools"),
        *("runtime", "call", "answer", "policy", "host", "router"),
    ],
    ["testing", "cli"],
]
# A face offers what is built on it: `client.calls.answer` opens the block of a Call. It is imported when it is called.
UPWARDS = {("calls", "answer"), ("calls", "runtime")}
FLAT = [name for layer in LAYERS for name in layer]

# Only here: everything else imports the standard library, the core dependencies, and itself.
FRAMEWORKS = {"fastapi", "starlette", "uvicorn", "flask", "django", "twilio", "phonenumbers", "redis", "pytest", "h11"}
MAY_IMPORT_FRAMEWORKS = {"testing", "cli"}
# What an extra brings, imported when it is asked for.
LAZILY = {("policy", "phonenumbers")}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def place(path: Path) -> str:
    """Return the name in `FLAT` of the module or of the package it is in."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path: Path) -> list[tuple[str, int]]:
    """Return what a module imports at run time, as dotted names with their lines."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            assert node.module is not None
            if node.module == "realtime_sip":
                found.extend((f"realtime_sip.{alias.name}", node.lineno) for alias in node.names)
            else:
                found.append((node.module, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def test_every_module_has_its_place() -> None:
    assert {place(path) for path in modules()} == set(FLAT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_law_a_module_imports_only_leftwards_and_below(path: Path) -> None:
    mine = place(path)
    for name, line in imports(path):
        head, _, rest = name.partition(".")
        if head == "realtime_sip" and rest:
            theirs = rest.partition(".")[0]
            if (mine, theirs) in UPWARDS:
                continue
            assert theirs == mine or FLAT.index(theirs) < FLAT.index(mine), f"{path.name}:{line} imports {name}"
        elif head in FRAMEWORKS:
            assert mine in MAY_IMPORT_FRAMEWORKS or (mine, head) in LAZILY, f"{path.name}:{line} imports {name}"


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in modules()} & {"utils", "util", "helpers", "common", "constants", "types", "misc"}


def test_importing_the_package_loads_no_framework_and_no_test_code() -> None:
    code = "import realtime_sip, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {*FRAMEWORKS, "opentelemetry", "openai", "orjson", "httpx2", "vcr", "hypothesis"} - {"h11"}
    assert not unwanted & set(loaded)
    assert not {name for name in loaded if name.split(".")[1:2] in (["testing"], ["cli"]) and "realtime_sip" in name}
    assert "realtime_sip.client" in loaded
