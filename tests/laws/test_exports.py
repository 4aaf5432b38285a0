"""The public surface: what is exported is there, documented, and nothing else is."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pickle
import pkgutil
import pydoc
import re
from pathlib import Path
from types import ModuleType
from typing import Any, is_typeddict

import pytest

import realtime_sip
from public_modules import PUBLIC
from realtime_sip import errors
from realtime_sip.outcomes import SocketClose, SocketCloseKind

MODULES = sorted(
    info.name for info in pkgutil.walk_packages(realtime_sip.__path__, "realtime_sip.") if "cli" not in info.name
)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_the_root_exports_few_names_sorted_and_all_there() -> None:
    names = realtime_sip.__all__
    assert len(names) <= 50
    assert names == sorted(names)
    for name in names:
        assert hasattr(realtime_sip, name)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert realtime_sip.__version__ == importlib.metadata.version("realtime-sip")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name: str) -> None:
    assert module(name).__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_module_says_what_it_exports(name: str) -> None:
    here = module(name)
    exported = getattr(here, "__all__", None)
    assert exported is not None, f"{name} has no __all__"
    assert sorted(exported) == sorted(set(exported))
    for exported_name in exported:
        assert hasattr(here, exported_name), f"{name}.{exported_name}"


@pytest.mark.parametrize("name", ["realtime_sip", *PUBLIC])
def test_every_public_name_has_a_docstring(name: str) -> None:
    here = module(name)
    without = []
    for exported_name in here.__all__:
        member: Any = getattr(here, exported_name)
        ours = str(getattr(member, "__module__", None)).startswith("realtime_sip.")
        if not ours or not (inspect.isclass(member) or inspect.isfunction(member)):
            continue
        if not member.__doc__:
            without.append(exported_name)
        if inspect.isclass(member):
            without.extend(
                f"{exported_name}.{attribute}"
                for attribute, value in vars(member).items()
                if not attribute.startswith("_")
                and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
                and not inspect.getdoc(value)
            )
    assert not without, f"{name}: {without}"


@pytest.mark.parametrize("name", ["realtime_sip", *PUBLIC])
def test_every_public_name_can_be_inspected(name: str) -> None:
    """`help()` renders it, and what can be called has a signature, as an IDE shows it."""
    here = module(name)
    for exported_name in here.__all__:
        member: Any = getattr(here, exported_name)
        if not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        assert exported_name in pydoc.render_doc(member)
        if not (_is_made_by_python(member) or is_typeddict(member)):
            inspect.signature(member)


def _is_made_by_python(member: object) -> bool:
    """Whether it is an error that takes what Exception takes; Python has no signature of that."""
    if not inspect.isclass(member) or not issubclass(member, Exception):
        return False
    return not any("__init__" in vars(base) for base in member.__mro__ if base.__module__.startswith("realtime_sip."))


@pytest.mark.parametrize("name", ["realtime_sip", *MODULES])
def test_the_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_law_one_tree_of_errors_drawn_in_its_docstring() -> None:
    drawn = errors.__doc__ or ""
    defined = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.RealtimeSipError)
        parents = [base.__name__ for base in kind.__bases__ if base.__module__ == errors.__name__]
        line = next((line for line in drawn.splitlines() if name in line.replace("─", " ").split()[:4]), "")
        assert line, f"{name} is not in the drawing"
        for parent in parents[1:]:
            assert f"also {parent}" in line


def test_law_each_error_is_on_its_page_with_what_to_do() -> None:
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", page, flags=re.MULTILINE)
    assert sorted(rows) == sorted(set(errors.__all__) - {"RealtimeSipError"})


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkError("no answer", sent=True),
        errors.RateLimitError("slow down", status_code=429, request_id="req_1", retry_after=2.0),
        errors.InvalidRequestError("session", (("model", "Missing"),)),
        errors.MissingExtraError("fastapi", "fastapi"),
        errors.SocketClosedError(SocketClose(SocketCloseKind.DROPPED, 1006)),
        errors.WebhookVerificationError("no signature matches", reason="no_match"),
    ],
)
def test_errors_survive_pickling_for_task_queues(error: errors.RealtimeSipError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_law_everything_raised_is_of_the_tree() -> None:
    defined = {
        f"{name}.{member.__name__}"
        for name in MODULES
        for member in vars(module(name)).values()
        if inspect.isclass(member) and issubclass(member, Exception) and member.__module__ == name
    }
    outside = {
        full
        for full in defined
        if not issubclass(getattr(module(full.rpartition(".")[0]), full.rpartition(".")[2]), errors.RealtimeSipError)
    }
    # A warning is not raised; a refusal of an emulator is its answer to the client, and that no thread is left is a
    # tool's error: both are caught inside.
    assert outside <= {
        "realtime_sip.session.AudioFormatWarning",
        "realtime_sip.session.ModelDeprecationWarning",
        "realtime_sip.session.StoredPromptWarning",
        "realtime_sip.testing.openai.frames.Refusal",
        "realtime_sip.testing.twilio.record.TwilioRefusal",
        "realtime_sip.testing.twilio.stages.Interrupted",
        "realtime_sip.testing.twilio.stages.Restored",
        "realtime_sip._threads.NoThreadError",
        "realtime_sip.testing.outside.VirtualTimeWarning",
    }
