"""How many weights of each layer a sparse network has: the same share everywhere, or Erdos-Renyi-Kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from holdfast.core.errors import ConfigError

Spread = Literal["erk", "uniform"]


def layer_densities(
    shapes: Mapping[str, tuple[int, ...]], density: float, spread: Spread
) -> dict[str, float]:
    """The share of weights that each layer keeps, their sum over all layers being density times all.

    ``uniform``: rho_l = density. ``erk``: rho_l = eps sum(dims_l) / prod(dims_l), so that small layers are
    denser; a layer that would be above 1 is dense, and eps is solved again for the others.

    Args:
        shapes: of the weights, by name.
        density: of all of them together, in (0, 1].
        spread: ``erk`` or ``uniform``.

    Raises:
        ConfigError: for a density outside (0, 1].

    Source: Mocanu et al., 2018, and Evci et al., *Rigging the lottery*, ICML 2020

    >>> layer_densities({"a": (10, 10), "b": (2, 2)}, 0.5, "erk")
    {'a': 0.48, 'b': 1.0}
    """
    if not 0 < density <= 1:
        raise ConfigError(f"the density of a sparse network is in (0, 1], not {density}.")
    if spread == "uniform":
        return dict.fromkeys(shapes, density)
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / size[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        open_ = [name for name in shapes if name not in dense]
        wanted = density * sum(size.values()) - sum(size[name] for name in dense)
        if not open_:
            return dict.fromkeys(shapes, 1.0)
        eps = wanted / sum(raw[name] * size[name] for name in open_)
        above = [name for name in open_ if eps * raw[name] > 1]
        if not above:
            return {name: 1.0 if name in dense else eps * raw[name] for name in shapes}
        dense |= set(above)
