"""Taking over: a new model that goes on where one of another network stands (``learn --past``)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.cli.options import Learn
from holdfast.core.errors import ConfigError
from holdfast.serve.predictor import require_fitting
from holdfast.store.model import ModelFolder
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.succession import take_over

if TYPE_CHECKING:
    from holdfast.cli.model_blueprint import Reader


def elder_of(options: Learn, listed: Listed) -> Continual:
    """The model that a new one takes over from, with ``--past``.

    Args:
        options: of the command.
        listed: what is to be learned.

    Raises:
        ConfigError: for a model of vectors where images are to be learned, another --size, or a cluster.
        StoreError: if there is no model, or it is damaged.
    """
    assert options.past is not None
    if options.engine == "ray":
        raise ConfigError("--past trains a network, which --engine ray does not: leave one out.")
    core, _ = ModelFolder(options.past).load(device=options.device)
    if options.size not in (0, core.learner.shape[-1]):
        raise ConfigError(
            f"{options.past} takes inputs of size {core.learner.shape[-1]}, and its heir the same: leave "
            f"--size {options.size} out."
        )
    require_fitting(listed, core.learner.shape, options.past)
    return core


def handed_over(
    reader: Reader, elder: Continual, listed: Listed, options: Learn
) -> tuple[Reader, LabelledImages]:
    """A new model that goes on where another stands, and the images as it takes them.

    Args:
        reader: of the new model.
        elder: the other one.
        listed: what is to be learned.
        options: of the command.
    """
    assert options.past is not None
    core = reader.core
    assert core is not None
    levels = Blueprint.from_data(ModelFolder(options.past).manifest().blueprint).levels
    reader = replace(reader, blueprint=replace(reader.blueprint, levels=levels))
    data = reader.read(listed, options, "train")
    take_over(core, elder, data.x)
    return reader, data
