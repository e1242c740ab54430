"""Which readouts a run has: by name, by the protocol, or a readout of one's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output, outputs
from holdfast.core.rows import Rows
from holdfast.learner.stages import require_stages
from holdfast.learner.states import ask_states
from holdfast.memory.protocol import Protocol
from holdfast.readout import Readout, build_readout, readout_class
from holdfast.recipes.method import Method
from holdfast.train.setup import Setup

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.train.continual import Continual


def choose_readouts(
    setup: Setup, method: Method, protocol: Protocol
) -> tuple[str, dict[str, Readout]]:
    """The name of the main readout, and all of them by names that differ.

    A further readout by the name of the main one is the main one. Readouts that share a name
    otherwise are numbered.

    Raises:
        ConfigError: for a readout that this method or this protocol cannot serve.
    """
    main = _one(setup.readout, method, protocol)
    readouts = {main.name: main}
    for asked in setup.also:
        if isinstance(asked, str) and asked in readouts:
            continue
        readout = _one(asked, method, protocol)
        name, number = readout.name, 2
        while readout.name in readouts:
            readout.name, number = f"{name}_{number}", number + 1
        readouts[readout.name] = readout
    return main.name, readouts


def _one(asked: str | Readout, method: Method, protocol: Protocol) -> Readout:
    readout = (
        choose_readout(asked, method, protocol) if isinstance(asked, str) else copy.deepcopy(asked)
    )
    require(readout, method, protocol)
    return readout


def choose_readout(name: str, method: Method, protocol: Protocol) -> Readout:
    """A readout by name; ``auto`` takes what the protocol allows.

    Under ``auxiliary`` that is the probe; else the method's own, the trained head, a Gaussian that
    follows the drift where ``strict`` has no head, and the probe in what is left.
    """
    if name == "auto":
        usual = method.readout
        if usual is not None and (usual.uses_images or protocol.kind != "auxiliary"):
            return usual
        if method.trains_head and protocol.kind != "auxiliary":
            name = "head"
        else:
            name = "gaussian" if protocol.kind == "strict" else "probe"
    if method.frame is None and readout_class(name).needs_frame:
        raise ConfigError(
            f"the recipe {method.name} has no prototypes: use --readout mean or gaussian."
        )
    return build_readout(name, method.frame)


def require(readout: Readout, method: Method, protocol: Protocol) -> None:
    """Refuse a readout that this method or this protocol cannot serve (ConfigError)."""
    if readout.uses_images and protocol.kind == "strict":
        raise ConfigError(
            f"the readout {readout.name} trains on stored images and the protocol strict keeps none: "
            "use --readout gaussian, or --protocol auxiliary --images 200."
        )
    if readout.needs_head and not method.trains_head:
        raise ConfigError(
            f"the recipe {method.name} trains no head: use --readout gaussian, mean or probe."
        )


def show_stages(core: Continual, asked: Sequence[str] = ()) -> None:
    """Let the networks show of the stages of their backbones what a readout reads, and what is asked.

    A backbone that names none, or of which nothing is trained, shows none: readouts take its features.
    Mirror images are asked where the views of training are mirrored.

    Args:
        core: its learner and past networks are changed.
        asked: columns that terms read (ConfigError for a backbone without stages).
    """
    if asked:
        require_stages(core.learner.backbone)
    read = {name for readout in core.readouts.values() for name in readout.reads}
    for network in networks_of(core):  # a past one may be of another architecture
        wanted = {*asked} | (set() if network.backbone.frozen else read)
        network.show_stages(tuple(wanted) if network.backbone.stage_modules() else ())
        network.mirror = core.augment.flip


@contextmanager
def showing_only(core: Continual, columns: Sequence[str]) -> Iterator[None]:
    """Inside, as in training steps, networks show no more of their stages than these columns."""
    before = [(network, network.shown) for network in networks_of(core)]
    for network, shown in before:
        network.shown = tuple(name for name in shown if name in columns)
    try:
        yield
    finally:
        for network, shown in before:
            network.shown = shown


def networks_of(core: Continual) -> list[Learner]:
    """The learner, and the past networks there are, each once."""
    some = {id(n): n for n in (core.learner, core.past, core.past_eval) if n is not None}
    return list(some.values())


def ask(core: Continual, rows: Rows) -> Output:
    """What the network says of rows as they rest; under each task's state too, if a readout reads that."""
    if any(readout.needs_states for readout in core.readouts.values()):
        return ask_states(core.learner, rows)
    return outputs(core.learner, rows)
