"""``holdfast remove``: a version without a class, as if it had never been learned, with a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from holdfast.cli.class_options import Remove
from holdfast.cli.operate import at_rest, inputs_of, say
from holdfast.cli.reading import read
from holdfast.store.prune import delete_versions, holders
from holdfast.store.removal import certificate, remove_class
from holdfast.stream.listed import Listed
from holdfast.train.blueprint import Blueprint


def remove_command(arguments: list[str], console: Console) -> int:
    """Remove it, publish, and say how far that goes."""
    options = read(Remove, arguments, "holdfast remove")
    data = unlearn(options)
    say(data, lines(data, str(options.model)), options.json, console)
    return 0


def unlearn(options: Remove, listed: Listed | None = None) -> dict[str, Any]:
    """Publish a version without the class; the certificate.

    Args:
        options: of the command.
        listed: what the class was learned from, in place of the data of the options.

    Raises:
        ConfigError: where weights remember the class, or its images are needed.
    """
    with at_rest(options.model) as folder:
        core, base = folder.load(device=options.device)
        known = options.name in [str(label) for label in core.labels]
        source = listed or options.data
        x = inputs_of(core, base, source, options.name) if source and known else None
        removal = remove_class(core, options.name, x, options.readout_only)
        still = holders(folder, options.name)
        paper = certificate(removal, still) | {"purge": options.purge}
        blueprint = Blueprint.from_data(base.blueprint)
        manifest = folder.publish(core, blueprint, {"removed": paper}, f"removed {options.name}")
        if options.purge:
            delete_versions(folder, still)
    return paper | {
        "version": manifest.version,
        "purged": still if options.purge else [],
        "versions_that_hold_it": [] if options.purge else still,
    }


def lines(paper: Mapping[str, Any], model: str) -> list[str]:
    """A certificate in sentences."""
    exact = "the model is one that never learned it: none of its weights saw the class"
    if paper["exact"] == "readout":
        exact = f"the readout never learned it, but {' and '.join(paper['trained_on_it'])} did"
    text = [f"removed '{paper['class']}', learned from {paper['images']:,} images: {exact}"]
    for name, chosen in paper["chosen_anew"].items():
        if chosen:
            how = "; ".join(f"{what} {source}" for what, source in chosen.items())
            text.append(f"what had been chosen with the class, of {name}: {how}")
    if paper["versions_that_hold_it"]:
        versions = ", ".join(map(str, paper["versions_that_hold_it"]))
        text.append(
            f"version{'s' * (',' in versions)} {versions} still hold{'s' * (',' not in versions)} it, so "
            "that rollback works: it is unlearned only when they are deleted (--purge did not ask for it)"
        )
    elif paper["purged"]:
        text.append(
            f"deleted version {', '.join(map(str, paper['purged']))}: this folder holds it no more; "
            "copies, exports and backups elsewhere are yours to delete"
        )
    return [*text, f"version {paper['version']} of {model} is in use"]
