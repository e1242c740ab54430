"""``holdfast learn``: a model from a folder of images, or new classes for one that exists."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import tyro
from rich.console import Console

from holdfast.allocator import keep_freed_memory
from holdfast.commands.options import Learn, parse
from holdfast.commands.release import lines, opening, release
from holdfast.commands.stop import Stop, Stopped, again
from holdfast.errors import ConfigError, unknown
from holdfast.options import recipe_options
from holdfast.presets import preset
from holdfast.recipes import RECIPES
from holdfast.report import Watch, progress_mode
from holdfast.settings import Model
from holdfast.store.blueprint import Blueprint
from holdfast.store.model import ModelFolder
from holdfast.store.predictor import Predictor, calibrated, share
from holdfast.store.update import Update, training_for
from holdfast.stream.gather import Gathered, gather

REFUSED = 3  # exit code: learned, but not published


def learn(arguments: list[str], console: Console) -> int:
    """Read the flags, and carry out the update under the folder's lock."""
    options = parse(Learn, arguments)
    if options.max_drop is not None and options.golden is None:
        raise ConfigError("--max-drop needs images to measure on: give --golden FOLDER.")
    if options.resume and options.anew:
        raise ConfigError("--resume goes on with a stopped update and --anew drops it: give one.")
    keep_freed_memory()
    folder = ModelFolder(options.model)
    made = not folder.path.exists()
    try:
        with folder.lock():
            return _perform(folder, options, arguments, console)
    finally:
        left = {".lock"}
        if made and folder.path.exists() and {p.name for p in folder.path.iterdir()} <= left:
            (folder.path / ".lock").unlink(missing_ok=True)
            folder.path.rmdir()  # nothing was learned: nothing is left behind


def _perform(
    folder: ModelFolder, options: Learn, arguments: Sequence[str], console: Console
) -> int:
    blueprint, data = _asked(folder, options)
    golden = None if options.golden is None else gather(options.golden, blueprint.shape[1])
    if options.anew:
        folder.checkpoint.remove()
    update = Update(folder, data.x, data.labels, blueprint, options.device, options.resume)
    say = console.print if not options.quiet else lambda *_, **__: None
    if update.published and update.base:
        say(f"version {update.base.version} has learned these images: nothing is left to resume")
        return 0
    before = Predictor(update.folder.load(device=options.device)[0]) if update.base else None
    old = None if before is None or golden is None else before.accuracies(golden.x, golden.labels)
    if not options.quiet:
        opening(update, data, console)
    try:
        _learn(update, options.quiet, console)
    except KeyboardInterrupt:
        go_on = again("learn", [a for a in arguments if a != "--anew"], ["--resume"])
        kept = f"version {update.base.version} stays in use" if update.base else "nothing published"
        raise Stopped(f"stopped, {kept}; to go on: {go_on}") from None
    after = None if golden is None else Predictor(update.core).accuracies(golden.x, golden.labels)
    notes = _notes(update, data, options, old, after)
    lost = notes["golden"]["lost"] if after is not None else None
    if options.max_drop is not None and lost is not None and not lost <= options.max_drop:
        update.keep(must=True)
        say(lines(notes))
        say(
            f"not published: the golden images of old classes lose {lost:.1f} points, more than "
            f"--max-drop {options.max_drop:g}. Version {notes['base']} stays in use; --resume with a "
            "larger --max-drop publishes this one without learning it again, --anew drops it."
        )
        return REFUSED
    say(release(update.publish(notes), folder.path))
    return 0


def _learn(update: Update, quiet: bool, console: Console) -> None:
    epochs = [update.core.training.epochs_of(update.start)]
    watch = Watch(progress_mode(console, quiet), console, epochs)
    with Stop(Console(stderr=True)) as stop, watch:
        for epoch in update.learn():
            watch(replace(epoch, task=0, tasks=1))
            update.keep(must=stop.asked)
            if stop.asked:
                raise KeyboardInterrupt


def _asked(folder: ModelFolder, options: Learn) -> tuple[Blueprint, Gathered]:
    """What is to learn, and from which images."""
    own = Blueprint.from_data(folder.manifest().blueprint) if folder.exists else None
    if own is not None and len(own.shape) != 3:
        raise ConfigError(f"{folder.path} takes inputs of shape {own.shape}, not image files.")
    if own is not None and options.size not in (0, own.shape[1]):
        raise ConfigError(f"{folder.path} takes images of size {own.shape[1]}, not {options.size}.")
    size = own.shape[1] if own is not None else options.size or None
    data = gather(options.data, size, options.per_class or None)
    given = {name: getattr(options, name) for name in ("epochs", "first_epochs", "batch", "lr")}
    if own is not None:
        _refuse_changes(own, options, folder)
        return replace(own, training=training_for(own.training, **given)), data
    shape = tuple(data.x.shape[1:])
    name = options.recipe or "fnc2_strict"
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    chosen = options.preset if options.preset != "auto" else "quick" if shape[1] <= 16 else "desk"
    defaults = preset(chosen, options.data.name)
    if options.epochs and not options.first_epochs:
        given["first_epochs"] = options.epochs
    parameters = dict(defaults.recipes.get(name, {})) | _parameters(name, options.parameters)
    usual = RECIPES[name](**parameters).protocol
    protocol = options.protocol or usual.kind
    images = options.images or (usual.images if protocol == usual.kind else 0)
    made = Blueprint(
        name,
        shape,
        parameters,
        protocol,
        images,
        options.readout or "auto",
        tuple(filter(None, (options.also or "").split(","))),
        training_for(defaults.training_of(name), **given),
        Model(
            options.backbone or "auto",
            options.width or defaults.model.width,
            tune_layers=options.tune_layers or 0,
        ),
        seed=options.seed or 0,
    )
    return made, data


def _refuse_changes(own: Blueprint, options: Learn, folder: ModelFolder) -> None:
    """What a model was made with cannot change (ConfigError)."""
    fixed = {
        "recipe": own.recipe,
        "protocol": own.protocol,
        "images": own.images,
        "readout": own.readout,
        "also": ",".join(own.also),
        "backbone": _backbone(own),
        "width": own.model.width,
        "tune_layers": own.model.tune_layers,
        "seed": own.seed,
    }
    for name, value in fixed.items():
        asked = getattr(options, name)
        if asked is not None and asked != value:
            raise ConfigError(
                f"{folder.path} was made with --{name} {value or 'none'}, which cannot change to {asked}: "
                "leave the flag out, or make another model."
            )
    if options.parameters is not None:
        found = _parameters(own.recipe, options.parameters)
        if any(own.parameters.get(name) != value for name, value in found.items()):
            raise ConfigError(
                f"{folder.path} was made with other parameters: leave --parameters out, or make "
                "another model."
            )


def _backbone(own: Blueprint) -> str:
    """As it was named when the model was made."""
    name = own.model.backbone
    return json.loads(name)["name"] if name.startswith("{") else name


def _parameters(recipe: str, text: str | None) -> dict[str, Any]:
    """Parameters of a recipe from ``tau=0.5,gamma=2``: those that were given, in their types.

    Raises:
        ConfigError: for a name that the recipe does not have, or no ``name=value``.
    """
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair]
    known = inspect.signature(RECIPES[recipe]).parameters
    for name, sign, _ in pairs:
        if not sign:
            raise ConfigError(f"--parameters takes name=value,name=value, not '{name}'.")
        if name.strip() not in known:
            raise unknown("parameter", name.strip(), known)
    if not pairs:
        return {}
    own = recipe_options(RECIPES[recipe])
    flags: list[str] = []
    for name, _, value in pairs:
        flag = name.strip().replace("_", "-")
        plain = known[name.strip()].default
        if isinstance(plain, bool):
            flags += [f"--{flag}" if value.lower() in ("true", "yes", "1") else f"--no-{flag}"]
        else:
            flags += [f"--{flag}", value.strip()]
    found = asdict(tyro.cli(own, args=flags, prog=f"--parameters of {recipe}"))
    return {name.strip(): found[name.strip()] for name, _, _ in pairs}


def _notes(update: Update, data: Gathered, options: Learn, old: Any, new: Any) -> dict[str, Any]:
    """What is worth keeping about an update."""
    counts = {name: data.labels.count(name) for name in sorted(set(data.labels))}
    note = update.core.notes[-1]
    base = [] if update.base is None else [entry["name"] for entry in update.base.classes]
    notes = {
        "base": update.base.version if update.base else 0,
        "data": options.data.name,
        "images": counts,
        "new_classes": [name for name in counts if name not in base],
        "merged_classes": [name for name in counts if name in base],
        "skipped": [list(entry) for entry in data.skipped[:1000]],
        "epochs": note.epochs,
        "seconds": note.seconds,
        "drift_residual": update.residual(),
        "calibrated": calibrated(update.core.readouts[update.core.readout]),
    }
    if new is not None:
        before = {name: old[name] for name in old if name in base} if old else {}
        after = {name: new[name] for name in new if name in base}
        lost = 100 * (share(before) - share(after)) if before else None
        notes["golden"] = {
            "before": before,
            "after": {name: new[name] for name in new if name in update.core.labels},
            "not_in_the_model": [name for name in new if name not in update.core.labels],
            "lost": None if lost is None or math.isnan(lost) else lost,
        }
    return notes
