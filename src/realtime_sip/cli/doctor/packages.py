"""The installed packages: whether their versions fit this one, and each other. What is installed comes in as values."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata

from realtime_sip.cli.doctor.finding import Finding, Group, Level, by_level, of_group

__all__ = ["broken", "installed", "packages"]

_report = of_group(Group.PACKAGES)
_OURS = "realtime-sip"
_SHARED = {"websockets", "httpx", "httpx2", "pydantic", "standardwebhooks", "twilio", "fastapi", "flask", "django"}
"""Packages that this one and others need in versions of theirs."""
_OF_DEVELOPERS = {"dev", "docs", "servers"}
_TESTED = (3, 13)
_EXTRA = re.compile(r"extra *== *['\"]([A-Za-z0-9_.-]+)['\"]")


def installed() -> dict[str, tuple[str, list[str]]]:
    """Return what is installed by normalized name: its version, and what it requires."""
    found: dict[str, tuple[str, list[str]]] = {}
    for each in metadata.distributions():
        said = each.metadata  # parsed anew each time that it is asked for, and so by `version` and `requires`
        if said["Name"]:
            requires = said.get_all("Requires-Dist") or each.requires or []
            found.setdefault(_normalized(said["Name"]), (said["Version"] or "0", requires))
    return found


def packages(there: Mapping[str, tuple[str, list[str]]], python: tuple[int, int]) -> list[Finding]:
    """Return which versions do not fit: with this package's requirements, extras that are installed among them, or with
    those of another package that needs the same one."""
    findings = [*_python(python)]
    try:
        wrong = [*_unmet(there)]
    except ImportError:
        found = "the versions of packages: `packaging` is not installed"
        return [*findings, _report("packages", Level.NOT_CHECKED, found, "Install realtime-sip[cli].")]
    findings += wrong
    if not any(each.level in (Level.ERROR, Level.WARNING) for each in wrong):
        shown = ", ".join(
            f"{name} {there[name][0]}" for name in (_OURS, "httpx", "websockets", "pydantic") if name in there
        )
        findings.append(_report("packages", Level.OK, f"the versions fit: {shown}"))
    return findings


def broken(error: ImportError) -> list[Finding]:
    """Return why this package cannot even be imported: versions that do not fit, mostly."""
    found = packages(installed(), sys.version_info[:2])
    if by_level(found, Level.ERROR):
        return found
    what = f": {error.name} is missing or too old" if error.name else ""
    fix = "Install it anew, with what it needs: pip install --upgrade 'realtime-sip[cli]'."
    unfit = f"realtime-sip cannot be imported{what} ({type(error).__name__})"
    return [_report("packages", Level.ERROR, unfit, fix), *by_level(found, Level.NOT_CHECKED)]


def _python(python: tuple[int, int]) -> Iterable[Finding]:
    if python > _TESTED:
        found = f"Python {python[0]}.{python[1]} is newer than the newest that is tested, {_TESTED[0]}.{_TESTED[1]}"
        yield _report("python", Level.NOTE, found)


def _unmet(there: Mapping[str, tuple[str, list[str]]]) -> Iterable[Finding]:
    from packaging.requirements import InvalidRequirement, Requirement

    for owner, (_, requires) in sorted(there.items(), key=lambda each: (each[0] != _OURS, each[0])):
        said: set[str] = set()
        for text in requires:
            try:
                wanted = Requirement(text)
            except InvalidRequirement:
                continue
            name, extra = _normalized(wanted.name), "".join(_EXTRA.findall(text)[:1])
            if name in said or name not in there or not _counts(owner, name, extra):
                continue
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
                continue
            have = there[name][0]
            if not wanted.specifier.contains(have, prereleases=True):
                said.add(name)
                yield _misfit(owner, extra, f"{name}{wanted.specifier}", have)


def _counts(owner: str, name: str, extra: str) -> bool:
    """Whether a requirement is one to hold: of an extra it is not known whether it was asked for."""
    if owner == _OURS:
        return extra not in _OF_DEVELOPERS
    return name in _SHARED and (not extra or (owner, extra) == ("openai", "realtime"))


def _misfit(owner: str, extra: str, wanted: str, have: str) -> Finding:
    name = "packages"
    if owner == _OURS:
        return _report(name, Level.ERROR, f"{owner} needs {wanted}, and {have} is installed", f"Install '{wanted}'.")
    if extra:
        found = f"{owner}[{extra}] needs {wanted}, and {have} is installed: sockets of that package's own may fail"
        return _report(name, Level.NOTE, found, f"Leave out the extra, or install '{wanted}'.")
    return _report(name, Level.WARNING, f"{owner} needs {wanted}, and {have} is installed", f"Install '{wanted}'.")


def _normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
