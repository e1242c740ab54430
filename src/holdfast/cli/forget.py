"""``holdfast forget``: a version without some images of its classes, with a certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor

from holdfast.cli.operate import at_rest, inputs_of, say
from holdfast.cli.options import Positional, Text
from holdfast.cli.reading import read
from holdfast.core.errors import DataError
from holdfast.serve.predictor import Predictor
from holdfast.store.forgetting import certificate, content_hash, forget_images, refuse_forgotten
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.store.prune import delete_versions, holders
from holdfast.stream.labelled import list_labelled
from holdfast.stream.listed import Listed
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual


@dataclass(frozen=True)
class Forget:
    """Make a new version that never learned some images; its classes stay. See remove for a whole class.

    Args:
        model: folder of the model.
        data: the images or features to forget: labelled data as for learn, or with name a folder of
            images of that class.
        name: of the class, where only images of one are to be forgotten.
        readout_only: take them out of the readout although weights were trained on their classes.
        choose_anew: choose the rule or strength that was chosen with them by draws of what is left, in
            place of leaving it as it is.
        purge: delete the earlier versions that may hold them.
        json: the certificate as a JSON object.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    data: Path
    name: Text = None
    readout_only: bool = False
    choose_anew: bool = False
    purge: bool = False
    json: bool = False
    device: str = "auto"


def forget_command(arguments: list[str], console: Console) -> int:
    """Forget them, publish, and say how far that goes."""
    options = read(Forget, arguments, "holdfast forget")
    data = forget_in(options)
    say(data, lines(data, str(options.model)), options.json, console)
    return 0


def forget_in(options: Forget, listed: Listed | None = None) -> dict[str, Any]:
    """Publish a version without the images; the certificate.

    Args:
        options: of the command.
        listed: the images, in place of the data of the options.

    Raises:
        ConfigError: where weights remember the images, or a class would keep fewer than two.
        DataError: for images that cannot be read, or were not learned.
    """
    with at_rest(options.model) as folder:
        core, base = folder.load(device=options.device)
        x, labels = _asked(core, base, listed or options.data, options.name)
        hashes = [content_hash(row, base.model) for row in x]
        refuse_forgotten(_history(folder, base), hashes)
        what = forget_images(core, x, labels, options.readout_only, options.choose_anew)
        still = sorted({version for name in what.images for version in holders(folder, name)})
        paper = certificate(replace(what, hashes=sorted(hashes)), still)
        did = f"forgot {len(x)} images of {', '.join(what.images)}"
        blueprint = Blueprint.from_data(base.blueprint)
        manifest = folder.publish(core, blueprint, {"forgotten": paper}, did)
        if options.purge:
            delete_versions(folder, still)
    return paper | {
        "version": manifest.version,
        "purged": still if options.purge else [],
        "versions_that_may_hold_them": [] if options.purge else still,
    }


def _asked(
    core: Continual, base: Manifest, source: Path | Listed, name: str | None
) -> tuple[Tensor, list[str]]:
    """The inputs to forget as they were learned, and their classes."""
    if name is not None:
        _refuse_others(core, source, name)
        x = inputs_of(core, base, source, name)
        return x, [name] * len(x)
    predictor = Predictor(core, levels=Blueprint.from_data(base.blueprint).levels)
    data = predictor.read_folder(list_labelled(source))
    if data.skipped:
        file, why = data.skipped[0]
        raise DataError(
            f"{file} cannot be read ({why}): it was not learned either, so leave it out."
        )
    return data.x, list(data.labels)


def _refuse_others(core: Continual, source: Path | Listed, name: str) -> None:
    """Refuse a folder of folders of other classes (DataError): all of it would be taken for this one."""
    folder = source if isinstance(source, Path) and source.is_dir() else None
    if folder is None or (folder / name).is_dir():
        return
    others = [str(label) for label in core.labels if (folder / str(label)).is_dir()]
    if others:
        raise DataError(
            f"{folder} holds a folder of '{others[0]}' and none of '{name}': leave --name out, or give the "
            f"folder of images of '{name}'."
        )


def _history(folder: ModelFolder, manifest: Manifest) -> Iterator[Manifest]:
    """A version, the one it came from, and so on, as far as they are still there."""
    yield manifest
    there = folder.index().manifests
    while str(manifest.parent) in there:
        manifest = folder.manifest(manifest.parent)
        yield manifest


def lines(paper: Mapping[str, Any], model: str) -> list[str]:
    """A certificate in sentences."""
    each = ", ".join(
        f"{n:,} of '{name}' ({paper['left'][name]:,} left)" for name, n in paper["images"].items()
    )
    exact = "the model is one that never learned them: none of its weights saw them"
    if paper["exact"] == "readout":
        exact = (
            f"the readout never learned them, but {' and '.join(paper['trained_on_it'])} may have"
        )
    spread = any(kind != "none" for kind in paper["readouts"].values())
    further = ", and that they lie no further out than what was learned" if spread else ""
    text = [
        f"forgot {sum(paper['images'].values()):,} images: {each}; {exact}",
        f"checked: their number{further}; an image that was never learned cannot be told from one that "
        "was, and would have been taken out all the same",
    ]
    for name, chosen in paper["chosen_with_them"].items():
        if chosen:
            how = "; ".join(f"{what} {source}" for what, source in chosen.items())
            text.append(f"what had been chosen with them, of {name}: {how}")
    versions = ", ".join(map(str, paper["versions_that_may_hold_them"]))
    if versions:
        text.append(
            f"version{'s' * (',' in versions)} {versions} may still hold them, so that rollback works: "
            "they are forgotten only when those are deleted (--purge did not ask for it)"
        )
    elif paper["purged"]:
        text.append(
            f"deleted version {', '.join(map(str, paper['purged']))}: this folder holds them no more; "
            "copies, exports and backups elsewhere are yours to delete"
        )
    return [*text, f"version {paper['version']} of {model} is in use"]
