"""Walk: every file below a folder, each once, however its links run."""

from __future__ import annotations

import os
from pathlib import Path

Skipped = list[tuple[str, str]]  # which file, and why
ONCE = ("a link back", "a link to", "leads to")  # reasons why a file or folder is not read twice


def readable(name: str | Path) -> str:
    r"""A name as text: bytes that are no UTF-8 are read as Latin-1 where it has a letter for them.

    >>> readable("caf\udce9"), readable("\udc80")
    ('café', '\\x80')
    """
    return "".join(_letter(c) if "\udc80" <= c <= "\udcff" else c for c in str(name))


def _letter(escape: str) -> str:
    byte = ord(escape) - 0xDC00
    return chr(byte) if byte >= 0xA0 else f"\\x{byte:02x}"


def walk(root: Path, repeats: bool = False) -> tuple[list[Path], Skipped]:
    """Every file below a folder but hidden ones, in an order that is the same on every machine.

    Links are followed, each folder once: a link back to a folder above it, or to one that is read
    already, is left out. So is a link to a file that is read already, unless ``repeats``.

    Returns:
        The files; and what was left out, each with the reason.
    """
    walker = _Walker()
    pending = [root]
    while pending:  # what stands in the folder itself comes before what links lead to
        pending = sorted(link for start in pending for link in walker.descend(start))
    known = dict(walker.files)
    files = list(known.values())
    for real, link in sorted(walker.links):
        first = known.setdefault(real, link)
        if first == link or repeats:
            files.append(link)
        else:
            walker.skip(link, f"a link to {readable(first)}, which is read already")
    return sorted(files, key=lambda file: file.relative_to(root).parts), walker.skipped


class _Walker:
    """Goes through folders, each once, and keeps what it meets: files and links by their real path."""

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.files: list[tuple[str, Path]] = []
        self.links: list[tuple[str, Path]] = []
        self.skipped: Skipped = []

    def skip(self, path: str | Path, why: str) -> None:
        self.skipped.append((readable(path), why))

    def descend(self, start: Path) -> list[Path]:
        """Go through a folder, and return the links to folders that it holds."""
        real, above = os.path.realpath(start), os.path.realpath(start.parent)
        if start.is_symlink() and self.folders and (above + os.sep).startswith(real + os.sep):
            self.skip(start, "a link back to a folder above it")
            return []
        pending, further = [start], []
        while pending:
            folder = pending.pop()
            real = os.path.realpath(folder)
            if real in self.folders:
                self.skip(folder, "leads to a folder that is read already")
                continue
            self.folders.add(real)
            for entry in self._entries(folder):
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif entry.is_symlink() and os.path.isdir(path):
                    further.append(path)
                elif os.path.exists(path) and not os.path.isfile(path):
                    self.skip(path, "no regular file")
                elif entry.is_symlink():
                    self.links.append((os.path.realpath(path), path))
                else:
                    self.files.append((os.path.join(real, entry.name), path))
        return further

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What is in a folder, but for hidden names."""
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            self.skip(folder, f"cannot be opened: {error.strerror}")
            return []
