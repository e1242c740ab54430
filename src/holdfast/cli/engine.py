"""Engine: what reads the images of a command, this process or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.core.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.cli.asking_options import Evaluate
    from holdfast.cli.options import Learn
    from holdfast.spread.over_ray import Spread


def cluster_of(options: Learn | Evaluate) -> Spread | None:
    """The cluster that the flags of a command ask for; None for this process.

    Args:
        options: of the command.

    Raises:
        ConfigError: for workers or an address without a cluster, an unknown engine, or if Ray Data is not
            installed.
    """
    if options.engine == "ray":
        from holdfast.spread.over_ray import Spread

        return Spread(options.workers, options.address or "")
    if options.engine != "here":
        raise ConfigError(f"engine is here or ray, not {options.engine!r}.")
    if options.workers or options.address:
        flag = f"--address {options.address}" if options.address else f"--workers {options.workers}"
        raise ConfigError(f"{flag} is of a Ray cluster: add --engine ray.")
    return None


def refuse_training(options: Learn) -> None:
    """A network that is trained learns here, whatever the flags ask (ConfigError)."""
    if options.engine == "ray":
        raise ConfigError(
            "--engine ray learns statistics of a frozen pretrained backbone, and a network would be "
            "trained here: leave --engine out, or take --recipe frozen with a --backbone."
        )
