"""How flags are made from signatures, and read: one flag a parameter, its docstring as help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Any, get_type_hints

import docstring_parser
import tyro

from holdfast.cli.options import RunOptions
from holdfast.cli.reading import read
from holdfast.cli.stream_options import StreamOptions
from holdfast.core.added import PARAMETER
from holdfast.recipes.adding import HELP
from holdfast.recipes.catalogue import Recipe
from holdfast.recipes.method import Method
from holdfast.recipes.presets import Preset
from holdfast.train.setup import FIELDS, Setup


@dataclass(frozen=True)
class RunFlags:
    """What ``holdfast run RECIPE`` was asked.

    Attributes:
        parameters: of the recipe, all of them.
        stream: what arrives.
        run: what is stored, and where results go.
        overrides: the settings that flags named, by name, for `Setup.of`.
    """

    parameters: dict[str, Any]
    stream: StreamOptions
    run: RunOptions
    overrides: dict[str, Any]


def parse_run(
    name: str, recipe: Recipe, parameters: dict[str, Any], preset: Preset, arguments: Sequence[str]
) -> RunFlags:
    """Read the flags of ``holdfast run RECIPE`` (tyro leaves with code 2 on a wrong one).

    Args:
        name: of the recipe, for the help.
        recipe: whose parameters are flags.
        parameters: their defaults, where a preset or the command line's text sets them.
        preset: whose settings the help shows as defaults.
        arguments: the flags.

    Raises:
        ConfigError: for a negative number where none can be.
    """
    setup = Setup(training=preset.training_of(name), network=preset.network)
    groups: dict[str, Any] = {
        "recipe": recipe_flags(recipe)(**parameters),
        "stream": StreamOptions(per_class=preset.per_class, test_per_class=preset.test_per_class),
        "run": RunOptions(augment=preset.augment),
        "training": setup.training,
        "network": setup.network,
        "machine": setup.machine,
    }
    flat = tyro.conf.OmitArgPrefixes
    columns = [
        (group, Annotated[type(value), flat], field(default=value))
        for group, value in groups.items()
    ]
    default = make_dataclass(name, columns, frozen=True)()
    summary = (inspect.getdoc(recipe) or "").partition("\n")[0]
    text = f"{summary}\nPreset: {preset.provenance}."
    options = read(type(default), arguments, f"holdfast run {name}", default, text)
    named = names_in(arguments)
    overrides = {
        setting: getattr(getattr(options, group), setting)
        for setting, group in FIELDS.items()
        if setting in named
    }
    asked = ("protocol", "images", "readout", "also", "augment", "seed")
    overrides |= {setting: getattr(options.run, setting) for setting in asked if setting in named}
    values = {f.name: getattr(options.recipe, f.name) for f in fields(options.recipe)}
    return RunFlags(values, options.stream, options.run, overrides)


def names_in(arguments: Sequence[str]) -> set[str]:
    """The settings that flags name.

    >>> sorted(names_in(["--first-epochs", "3", "--no-norm", "--lr=0.1", "x"]))
    ['first_epochs', 'lr', 'norm']
    """
    flags = [a.partition("=")[0][2:] for a in arguments if a.startswith("--")]
    return {name.removeprefix("no-").replace("-", "_") for name in flags}


def recipe_flags(recipe: Callable[..., Method]) -> type:
    """A dataclass with one field a parameter of a recipe, and its docstring as help."""
    documented = docstring_parser.parse(inspect.getdoc(recipe) or "").params
    meaning = {PARAMETER: HELP} | {
        p.arg_name: " ".join((p.description or "").replace("``", "").split()) for p in documented
    }
    hints = get_type_hints(recipe)
    columns: list[Any] = [
        (
            name,
            Annotated[hints.get(name, str), tyro.conf.arg(help=meaning.get(name, ""))],
            field(default=None if p.default is p.empty else p.default),
        )
        for name, p in inspect.signature(recipe).parameters.items()
    ]
    return make_dataclass(f"{getattr(recipe, '__name__', 'your')} recipe", columns, frozen=True)
