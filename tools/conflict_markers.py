"""List the merge-conflict markers in the files that git tracks; exit with 1 if there is one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MARKER = re.compile(rb"^(<{7}|={7}|>{7}|\|{7})( .*)?\r?$")


def conflict_markers(root: Path) -> list[str]:
    """``file:line`` of every marker in the tracked files under a repository's root."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    names = [name for name in listing.stdout.decode().split("\0") if (root / name).is_file()]
    return [
        f"{name}:{number}"
        for name in names
        for number, line in enumerate((root / name).read_bytes().split(b"\n"), 1)
        if MARKER.match(line)
    ]


if __name__ == "__main__":
    places = conflict_markers(Path(__file__).parents[1])
    if places:
        sys.exit("merge-conflict markers: " + ", ".join(places))
