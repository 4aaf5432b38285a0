"""A folder imports only from folders below it, no import runs in a circle, and what decides knows no clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_sip

SOURCE = Path(realtime_sip.__file__).parent

# From below to above. A folder stands for all its modules, unless a folder inside it stands for itself.
FLOORS = [
    *("outcomes", "_about", "_redaction", "_threads", "errors", "_program_errors", "_wire", "beta", "endpoints"),
    *("usage", "rates", "items", "prompts", "session", "response", "events", "migration"),
    *("sip", "tools", "webhooks", "api", "stores", "policy", "outbound", "event_log"),
    *("call/record", "call/machine", "call"),
    *("client", "twilio", "telemetry", "hosting", "testing", "cli", "integrations"),
]
MOST_AT_THE_TOP = 20
MOST_LINES = 500
# Declarative: one class for each shape of the wire.
WIRE_MODELS = {"events", "items", "prompts", "session"}

# Only here: everything else imports the standard library, the core dependencies, and itself.
FRAMEWORKS = {
    *("fastapi", "starlette", "uvicorn", "flask", "django", "twilio", "phonenumbers"),
    *("redis", "psycopg", "pytest", "h11", "opentelemetry"),
}
MAY_IMPORT_FRAMEWORKS = {"testing", "cli", "integrations"}
# What an extra brings, imported when it is asked for.
LAZILY = {
    *(("policy", "phonenumbers"), ("twilio", "twilio"), ("twilio", "phonenumbers")),
    *(("stores", "redis"), ("stores", "psycopg"), ("telemetry", "opentelemetry")),
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def place(parts: tuple[str, ...]) -> str:
    """Return the floor of a module, given the parts of its name behind the package's."""
    inner = "/".join(parts[:2])
    return inner if inner in FLOORS else parts[0]


def parts_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path, *, running: bool = True) -> list[tuple[str, int]]:
    """Return what a module imports, as dotted names with their lines; with `running` without that for types alone."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST) -> None:
        if running and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                is_module = (SOURCE.parent / Path(*inside.split("."))).with_suffix(".py").exists()
                is_folder = (SOURCE.parent / Path(*inside.split("."))).is_dir()
                found.append((inside if is_module or is_folder else node.module, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def test_every_module_has_its_place() -> None:
    assert {place(parts_of(path)) for path in modules()} == set(FLOORS)


def test_law_few_files_stand_at_the_top() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= MOST_AT_THE_TOP


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_law_a_folder_imports_only_from_folders_below_it(path: Path) -> None:
    mine = place(parts_of(path))
    for name, line in imports(path):
        head, _, rest = name.partition(".")
        if head == "realtime_sip" and rest:
            theirs = place(tuple(rest.split(".")))
            assert theirs == mine or FLOORS.index(theirs) < FLOORS.index(mine), f"{path.name}:{line} imports {name}"
        elif head in FRAMEWORKS:
            assert mine in MAY_IMPORT_FRAMEWORKS or (mine, head) in LAZILY, f"{path.name}:{line} imports {name}"


def test_law_no_import_runs_in_a_circle() -> None:
    known = {".".join(("realtime_sip", *parts_of(path))): path for path in modules()}
    above: list[str] = []
    over: set[str] = set()

    def visit(name: str) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name in over:
            return
        above.append(name)
        for imported, _ in imports(known[name]):
            if imported in known and imported != name:
                visit(imported)
        above.pop()
        over.add(name)

    for name in known:
        visit(name)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_law_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES or place(parts_of(path)) in WIRE_MODELS, f"{path.name} has {lines} lines"


@pytest.mark.parametrize("folder", ["machine", "record"])
def test_law_what_decides_and_what_remembers_knows_no_io_and_no_clock(folder: str) -> None:
    for path in (SOURCE / "call" / folder).glob("*.py"):
        outside = {name.partition(".")[0] for name, _ in imports(path, running=False)}
        assert not outside & {"asyncio", "time", "datetime", "threading", "socket", "httpx", "websockets"}, path.name


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in modules()} & {"utils", "util", "helpers", "common", "constants", "types", "misc"}


def test_importing_the_package_loads_no_framework_and_no_test_code() -> None:
    code = "from realtime_sip import *; import sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {*FRAMEWORKS, "openai", "orjson", "httpx2", "vcr", "hypothesis"} - {"h11"}
    assert not unwanted & set(loaded)
    above = (["testing"], ["cli"], ["integrations"])
    assert not {name for name in loaded if name.split(".")[1:2] in above and "realtime_sip" in name}
    assert {"realtime_sip.client", "realtime_sip.hosting.host"} <= set(loaded)


def _bound(tree: ast.Module) -> list[ast.expr]:
    """Return what is evaluated once, when a module is loaded: defaults, and what stands outside of functions."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            found += [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        elif isinstance(node, (ast.Module, ast.ClassDef)):
            found += [each.value for each in node.body if isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_law_what_tests_replace_is_looked_up_when_it_is_needed(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        taken = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        of = node.module if isinstance(node, ast.ImportFrom) else None
        assert of != "time", f"{path.name} binds a clock"
        assert not (of == "os" and taken & {"environ", "getenv"}), f"{path.name} binds the environment"
    for expression in _bound(tree):
        for node in ast.walk(expression):
            named = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            assert not named.startswith(("time.", "os.environ", "os.getenv")), (
                f"{path.name}:{expression.lineno} {named}"
            )
