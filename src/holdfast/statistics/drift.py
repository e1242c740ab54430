"""Drift: how the features of old inputs must have moved, inferred from the current inputs alone.

A map is fitted on the current task's inputs, as the past and the present network see them. None of
these maps seeks old-looking inputs by attacking the current ones (adversarial drift compensation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError, unknown
from holdfast.statistics.forecast import FEWEST, Fit, class_forecast
from holdfast.statistics.gaussian_maps import transport
from holdfast.statistics.linear_maps import learned, low_rank, ridge, sylvester, translation
from holdfast.statistics.maps import Drift, DriftMap, RowSpaceMap, Translation
from holdfast.statistics.network_map import STRENGTHS, NetworkMap, network
from holdfast.statistics.noise import left_within

__all__ = [
    "FITS", "Drift", "DriftMap", "DriftName", "DriftRule", "NetworkMap", "RowSpaceMap", "Translation",
    "check_drift", "class_forecast", "fit_drift",
]  # fmt: skip

DriftName = str  # as `DriftRule` reads it
# what a map is chosen from, the most cautious first
RANKS = (0, 1, 2, 4, 8, 16, 32)
WIDTHS = (1.6, 0.8, 0.4, 0.2, 0.1)
STEPS = (10, 30, 100, 300, 1000)

FITS: dict[str, tuple[Fit, tuple[Any, ...]]] = {
    "ridge": (ridge, STRENGTHS),
    "sylvester": (sylvester, STRENGTHS),
    "low_rank": (low_rank, tuple(product(RANKS, STRENGTHS))),
    "learned": (learned, STEPS),
    "network": (network, (0, 50, 150, 500)),
    "translation": (translation, WIDTHS),
    "transport": (transport, STRENGTHS),
}
PARTS = {
    "blend": 1.0,
    "energy": 0.99,
    "noise": 1.0,
}  # what can be added to a map, and its usual setting


@dataclass(frozen=True)
class DriftRule:
    """A kind of drift map, and what is added to it: ``ridge``, ``ridge+blend``, ``sylvester+energy=0.9``.

    Attributes:
        by: ``none`` or a name of `FITS`.
        blend: temp: with n inputs of f features, w = exp(-n / (temp f)) of every movement is left out; None
            leaves out nothing.
        energy: share of `RowSpaceMap`; None cuts nothing.
        noise: times what the map leaves of the rows (`left_within`), by which scatters grow; None lets
            none grow.
    """

    by: str
    blend: float | None = None
    energy: float | None = None
    noise: float | None = None

    @staticmethod
    def of(text: str) -> DriftRule:
        """From its text.

        Raises:
            ConfigError: for an unknown name, a part given twice, or a setting that does not fit.

        >>> DriftRule.of("ridge+blend=2")
        DriftRule(by='ridge', blend=2.0, energy=None, noise=None)
        """
        by, *added = (piece.strip() for piece in text.split("+"))
        if by not in (*FITS, "none"):
            raise unknown("drift", by, [*FITS, "none"])
        settings: dict[str, float] = {}
        for piece in added:
            name, _, value = (side.strip() for side in piece.partition("="))
            if name not in PARTS:
                raise unknown("part of a drift map", name, PARTS)
            if name in settings or by == "none":
                raise ConfigError(
                    f"drift={text}: '{name}' has no map left to change: give it once."
                )
            settings[name] = _number(value, text) if value else PARTS[name]
        if settings.get("energy", 1.0) > 1:
            raise ConfigError(f"drift={text}: energy is a share of a trace, at most 1.")
        if "energy" in settings and by in ("translation", "network"):
            raise ConfigError(f"drift={text}: energy needs a linear map, such as ridge.")
        return DriftRule(by, **settings)

    @property
    def by_class(self) -> bool:
        """Whether it needs a scatter of each class."""
        return self.energy is not None

    def fit(
        self,
        past: Float[Tensor, "n f"],
        now: Float[Tensor, "n f"],
        y: Int[Tensor, " n"] | None = None,
    ) -> Drift:
        """The map of these inputs, see `fit_drift` (ConfigError for ``none``)."""
        if self.by == "none":
            raise ConfigError(
                "drift=none leaves statistics where they are: there is no map to fit."
            )
        drift = self._chosen(past, now, y)
        if self.energy is not None:
            assert isinstance(drift, DriftMap)
            measured = drift.residual, drift.forecast, drift.noise
            drift = RowSpaceMap(drift, self.energy, *measured)
        return drift

    def maker(
        self, past: Float[Tensor, "n f"], moved: Float[Tensor, "n f"]
    ) -> Callable[..., Drift]:
        """The map of these inputs with a setting, before any cut."""
        fit = FITS[self.by][0](past, moved)
        if self.blend is None:
            return fit
        share = 1 - math.exp(-len(past) / (self.blend * past.shape[1]))
        return lambda setting: fit(setting).slowed(share)

    def _chosen(self, past: Tensor, now: Tensor, y: Tensor | None) -> Any:
        """With the setting that best predicts every fifth input."""
        make, settings = self.maker, FITS[self.by][1]
        moved = now - past
        if len(past) < FEWEST:
            return make(past, torch.zeros_like(moved))(settings[0])
        test = torch.arange(len(past), device=past.device) % 5 == 4
        total = float((moved[test] ** 2).sum())
        if not total:
            return make(past, moved)(settings[0])
        fit = make(past[~test], moved[~test])
        left = [float(((now[test] - fit(s)(past[test])) ** 2).sum()) for s in settings]
        best = min(range(len(settings)), key=left.__getitem__)
        forecast = None if y is None else class_forecast(past, now, y, make, settings[best])
        drift: Any = make(past, moved)(settings[best])
        noise = None
        if self.noise is not None:
            unseen = left[best] / float(test.sum())
            noise = self.noise * left_within(now, drift(past), y, unseen)
        return replace(drift, residual=left[best] / total, forecast=forecast, noise=noise)


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ConfigError(f"drift={text}: '{value}' must be a number above 0.")
    return number


def fit_drift(
    past: Float[Tensor, "n f"],
    now: Float[Tensor, "n f"],
    by: str = "ridge",
    y: Int[Tensor, " n"] | None = None,
) -> Drift:
    """The map from past to present features of the same inputs.

    Its strength, rank, width or number of steps is the one with which the other inputs best predict
    every fifth; the map is then fitted to all of them. A network that did not move gives the
    identity, and so do fewer than `FEWEST` inputs: the movement of a few new inputs, on which the
    network was just trained, is no evidence of how others moved.

    Args:
        past: features by the network before the task.
        now: features by the network after it.
        by: ``ridge``: a linear map in closed form, pulled towards no linear movement; ``sylvester``: the
            same with errors in units of the new features' spread; ``low_rank``: the same with B of
            low rank; ``learned``: a linear map by gradient descent from no linear movement, stopped
            early; ``network``: a ridge and a small network beside it, through which draws of a class
            go; ``translation``: a mean moves with the inputs around it; ``transport``: the Gaussian
            optimal transport, which stretches and never turns. Added parts: ``+noise`` widens scatters by
            what the map leaves, ``+blend`` moves less where inputs are few, ``+energy`` cuts each class to
            its row space (`DriftRule`).
        y: classes of the inputs, for `Drift.forecast`; without them there is none.

    Raises:
        ConfigError: for an unknown name.

    Source: linear drift compensation (LDC, DPCR), semantic drift compensation (SDC), SLDC's blend,
    AdaGauss;
        docs/theory.md, section 9
    """
    return DriftRule.of(by).fit(past, now, y)


def check_drift(name: str, structure: str = "full") -> DriftRule:
    """The rule of a text, refused where it cannot move what is kept (ConfigError).

    Args:
        name: the text.
        structure: the kind of scatter that it is to move.
    """
    rule = DriftRule.of(name)
    if rule.by_class and structure not in ("full", "factor", "low_rank"):
        raise ConfigError(
            f"drift={name} cuts each class to its row space, which structure={structure} does not "
            "keep: use a readout with structure=full, or leave +energy out."
        )
    return rule
