"""One state and one door: what core.md promises is held by the source and by the types."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_sip.call import runtime
from realtime_sip.call.machine import core, effects, inputs, state
from realtime_sip.call.machine.state import MOVES, CallState, End, Floor, Socket

CALL = Path(runtime.__file__).parent
MACHINE = sorted((CALL / "machine").glob("*.py"))
SHELL = sorted(CALL.glob("*.py"))
REGIONS = {"socket", "floor", "end"}
MOST_LINES, MOST_ATTRIBUTES = 500, 25


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """Return what is assigned to below this node, where that is an attribute."""
    for inner in ast.walk(node):
        where: list[ast.expr] = []
        if isinstance(inner, ast.Assign):
            where = inner.targets
        elif isinstance(inner, (ast.AugAssign, ast.AnnAssign)):
            where = [inner.target]
        for target in where:
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (part for part in parts if isinstance(part, ast.Attribute))


@pytest.mark.parametrize("path", [*MACHINE, *SHELL], ids=lambda path: path.name)
def test_law_move_alone_changes_a_region(path: Path) -> None:
    for target in targets(tree(path)):
        of_state = ast.unparse(target.value) in {"s", "state", "self.state", "runtime.state"}
        assert not (of_state and target.attr in REGIONS), f"{path.name}:{target.lineno}"
    called = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr"
    ]
    assert len(called) == (1 if path.name == "state.py" else 0)


def test_law_every_state_has_its_moves_and_every_end_is_the_end() -> None:
    assert set(MOVES) == {*Socket, *Floor, *End}
    for before, moves in MOVES.items():
        assert all(type(to) is type(before) and to is not before for to in moves)
    assert not MOVES[Socket.GONE]
    assert not MOVES[End.OVER]


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_law_step_is_the_only_way_in(path: Path) -> None:
    """Outside of the machine its state is read, never written, and of its functions only the door is called."""
    for target in targets(tree(path)):
        assert "state" not in ast.unparse(target.value).split("."), f"{path.name}:{target.lineno}"
    doors = {"core.step", "core.start"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert not name.startswith("core.") or name in doors, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "realtime_sip.call.machine":
            assert {alias.name for alias in node.names} <= {"core", "effects", "inputs"}
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("realtime_sip.call.machine."):
            for alias in node.names:
                assert alias.name[0].isupper(), f"{path.name}:{node.lineno} imports {alias.name}"


def test_law_the_door_knows_all_that_can_happen_and_the_shell_all_that_follows() -> None:
    def values(module: object) -> set[type]:
        return {
            kind
            for kind in vars(module).values()
            if inspect.isclass(kind) and kind.__module__ == getattr(module, "__name__", "")
        }

    assert values(inputs) == {*core._HANDLERS, inputs.Received}
    carried = inspect.getsource(runtime.Runtime._carry_out)
    assert all(f"effects.{kind.__name__}(" in carried for kind in values(effects))


def test_law_what_was_asked_is_sent_again_by_one_loop() -> None:
    """Nothing but the ledger is gone through after the sideband was lost, and in one place."""
    loops = [
        (path.name, node.lineno)
        for path in MACHINE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.For) and "s.asks" in ast.unparse(node.iter) and "Send(" in ast.unparse(node)
    ]
    assert [name for name, _ in loops] == ["socket.py"]


def test_law_timers_are_the_only_deadlines() -> None:
    """No record has a moment until which something is waited for, but for the timers and what they are set from."""
    fields = {
        f"{kind.__name__}.{field}"
        for kind in vars(state).values()
        if inspect.isclass(kind) and hasattr(kind, "__dataclass_fields__")
        for field in kind.__dataclass_fields__
    }
    assert not {field for field in fields if field.endswith(("_until", "deadline", "due", "next_try"))}
    assert {name for name in CallState.__dataclass_fields__ if "timer" in name} == {"timers"}
    assert "self.state.timers.next" in inspect.getsource(runtime.Runtime)


def test_law_the_shell_is_thin() -> None:
    path = CALL / "runtime.py"
    assert len(path.read_text().splitlines()) < MOST_LINES
    (shell,) = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
    constructor, *others = [node for node in shell.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert constructor.name == "__init__"
    own = {target.attr for target in targets(constructor) if ast.unparse(target.value) == "self"}
    assert len(own) <= MOST_ATTRIBUTES
    for method in others:
        assert not [t for t in targets(method) if ast.unparse(t.value) == "self"], f"{method.name} assigns"
        for node in ast.walk(method):
            assert not isinstance(node, (ast.While, ast.AsyncFor)), f"{method.name} polls"
            if isinstance(node, ast.Compare):
                assert not {"now", "time", "when"} & set(ast.unparse(node).replace("(", ".").split(".")), method.name
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "asyncio.sleep", f"{method.name} sleeps"


def test_law_a_frame_is_typed_once_and_never_dumped_on_its_way() -> None:
    for folder in ("machine", "record"):
        for path in (CALL / folder).glob("*.py"):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("event.to_wire"):
                    raise AssertionError(f"{path.name}:{node.lineno}")
