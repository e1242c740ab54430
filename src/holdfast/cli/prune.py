"""``holdfast prune``: old versions deleted."""

from __future__ import annotations

from rich.console import Console

from holdfast.cli.class_options import Prune
from holdfast.cli.operate import at_rest, say
from holdfast.cli.reading import read
from holdfast.core.errors import ConfigError
from holdfast.store.prune import beyond, delete_versions


def prune_command(arguments: list[str], console: Console) -> int:
    """Delete all but the newest, the one in use and the one that rollback goes to."""
    options = read(Prune, arguments, "holdfast prune")
    if options.keep < 1:
        raise ConfigError("--keep must be at least 1: the version in use stays.")
    with at_rest(options.model) as folder:
        gone = beyond(folder, options.keep)
        freed = 0 if options.dry_run else delete_versions(folder, gone)
        index = folder.index()
        current = folder.manifest()
    left = sorted(v for v in map(int, index.manifests) if not options.dry_run or v not in gone)
    data = {"deleted": gone, "left": left, "freed_bytes": freed, "dry_run": options.dry_run}
    did = "would delete" if options.dry_run else "deleted"
    which = f"version{'s' * (len(gone) > 1)} {', '.join(map(str, gone))}" if gone else "nothing"
    size = "" if options.dry_run else f", {freed / 1024:,.0f} KiB freed"
    text = [f"{did} {which}{size}; left: {', '.join(map(str, left))}, {current.version} in use"]
    say(data, text, options.json, console)
    return 0
