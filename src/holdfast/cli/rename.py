"""``holdfast rename``: another name for a class, or two classes as one."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from holdfast.cli.class_options import Rename
from holdfast.cli.operate import at_rest, say
from holdfast.cli.reading import read
from holdfast.store.surgery import rename_class
from holdfast.train.blueprint import Blueprint


def rename_command(arguments: list[str], console: Console) -> int:
    """Rename it, and publish."""
    options = read(Rename, arguments, "holdfast rename")
    data = rename_in(options)
    did = data.pop("did")
    line = (
        f"{did}: version {data['version']} of {options.model} is in use, {data['classes']} classes"
    )
    say(data, [line], options.json, console)
    return 0


def rename_in(options: Rename) -> dict[str, Any]:
    """Publish a version with the other name; what was done, as the version notes it.

    Args:
        options: of the command.

    Raises:
        ConfigError: for a name that is none of its classes, or is one already.
    """
    old, new = options.old, options.new
    with at_rest(options.model) as folder:
        core, base = folder.load(device="cpu")
        rename_class(core, old, new, options.join)
        notes = {"joined": {old: new}} if options.join else {"renamed": {new: old}}
        did = f"joined {old} with {new}" if options.join else f"renamed {old} to {new}"
        manifest = folder.publish(core, Blueprint.from_data(base.blueprint), notes, did)
    return notes | {"version": manifest.version, "classes": len(manifest.classes), "did": did}
