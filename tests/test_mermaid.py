"""`docs/mermaid.py`: the one archive that is known, and no other, is put into the site."""

from __future__ import annotations

import base64
import hashlib
import io
import runpy
import tarfile
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "mermaid.py"


def packed() -> bytes:
    """Return an archive of the form that npm brings."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name in ("package/dist/mermaid.min.js", "package/LICENSE", "package/package.json"):
            file = tarfile.TarInfo(name)
            file.size = len(name)
            archive.addfile(file, io.BytesIO(name.encode()))
    return data.getvalue()


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_script_and_license_go_beside_each_loader(tmp_path: Path, script: dict[str, Any]) -> None:
    (tmp_path / f"mermaid-{script['VERSION']}.tgz").write_bytes(data := packed())
    known = base64.b64encode(hashlib.sha512(data).digest()).decode()
    script["put"].__globals__["SHA512"] = known
    loaders = [tmp_path / "site" / folder / "javascripts" / "diagrams.js" for folder in (".", "pt")]
    for loader in loaders:
        loader.parent.mkdir(parents=True)
        loader.touch()
    script["put"](tmp_path / "site")
    for loader in loaders:
        assert {path.name for path in loader.parent.iterdir()} == {
            "diagrams.js",
            "mermaid.min.js",
            "mermaid.LICENSE.txt",
        }
        assert loader.with_name("mermaid.min.js").read_text() == "package/dist/mermaid.min.js"


def test_another_archive_is_refused_and_deleted(tmp_path: Path, script: dict[str, Any]) -> None:
    path = tmp_path / f"mermaid-{script['VERSION']}.tgz"
    path.write_bytes(packed())
    with pytest.raises(SystemExit, match="is not the mermaid"):
        script["put"](tmp_path / "site")
    assert not path.exists()
