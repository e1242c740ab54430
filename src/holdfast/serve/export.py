"""A learner as one network from pixels to scores, and as a program of torch.export."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, StoreError
from holdfast.core.logs import at_level
from holdfast.core.output import OF_STAGES, Output
from holdfast.readout.decision import linear_layer
from holdfast.readout.readout import Readout
from holdfast.store.atomic import atomic_write

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

TOLERANCE = 1e-3  # of the largest score: what two runtimes may differ by
LARGEST = 2**31 - 2**20  # bytes that one ONNX file can hold


class Scores(nn.Module):
    """(N, C, H, W) floats in [0, 1], or (N, D) features, to (N, K) scores of the main readout.

    A readout becomes what it decides by: a linear layer, distances to means, a quadratic form a
    class (`Readout.network`).

    Args:
        core: the learner and its readouts.

    Raises:
        ConfigError: for a readout that is no network.
    """

    def __init__(self, core: Continual):
        super().__init__()
        self.learner = core.learner.freeze().eval()
        readout = core.readouts[core.readout]
        with torch.no_grad():
            out = self.learner(torch.zeros(2, *self.learner.shape))
            rows = readout.select(out)
            network = readout.network(rows.shape[1]) or linear_of(readout, rows.shape[1])
        if network is None:
            raise ConfigError(
                f"the readout {readout.name} of this model cannot be exported: it has no network of "
                "its own. Learn the model with the readout gaussian, or give the class a network()."
            )
        self.select, self.network, self.width = readout.select, network.eval(), rows.shape[1]

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Scores; the largest decides."""
        return self.network(self.select(self.learner(x)).float())


@torch.no_grad()
def linear_of(readout: Readout, width: int) -> nn.Linear | None:
    """A readout as a linear layer x W^T + b, read off its scores; None if it is none.

    Args:
        readout: fitted.
        width: of what it reads.
    """
    x = torch.cat([torch.zeros(1, width), torch.eye(width)])
    test = torch.randn(8, width, generator=torch.Generator().manual_seed(0))
    b, rows, expected = (
        readout.scores(Output(piece, piece, piece, piece, **dict.fromkeys(OF_STAGES, (piece,))))
        for piece in (x[:1], x[1:], test)
    )
    layer = linear_layer((rows - b).nan_to_num(0.0).T, b[0])  # a class that never came has -inf
    return layer if relative_gap(layer(test), expected) <= TOLERANCE else None


def to_torch(core: Continual, path: Path) -> float:
    """Write a program of torch.export, and return how far its scores are from the model's.

    Args:
        core: the learner and its readouts.
        path: of the file.

    Raises:
        ConfigError: for a readout that is no network.
        StoreError: if the scores differ by more than rounding.
    """
    network, x, expected = _ready(core)
    with quiet():
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.export.export(network, (x,), dynamic_shapes=({0: batch},))
        notes = {"classes.json": json.dumps([str(label) for label in core.labels])}
        atomic_write(path, lambda to: torch.export.save(program, str(to), extra_files=notes))
        loaded = torch.export.load(str(path)).module()
        with torch.no_grad():
            return _checked(path, expected, loaded(x))


@torch.no_grad()
def _ready(core: Continual) -> tuple[Scores, Tensor, Tensor]:
    """The network in eval mode, inputs to compare on, and what the model's readout scores them.

    There are several inputs, so that the batch is free.
    """
    generator = torch.Generator().manual_seed(0)
    network = Scores(core).eval()
    x = torch.rand(3, *core.learner.shape, generator=generator)
    return network, x, core.readouts[core.readout].scores(network.learner(x))


def relative_gap(scores: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest score; inf if others are finite."""
    finite = expected.isfinite()
    if not torch.equal(scores.isfinite(), finite):
        return float("inf")
    gap = (scores - expected)[finite].abs()
    return float(gap.max()) / max(float(expected[finite].abs().max()), 1.0) if len(gap) else 0.0


def _checked(path: Path, expected: Tensor, scores: Tensor) -> float:
    """How far scores are off, at most (StoreError if that is more than rounding)."""
    finite = expected.isfinite()
    apart = float((scores - expected)[finite].abs().max())
    if not relative_gap(scores, expected) <= TOLERANCE:
        path.unlink()
        raise StoreError(
            f"the scores of {path} differ from the model's own by {apart:.2g}: not written."
        )
    return apart


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters warn of their own deprecations, and print."""
    silent = at_level("torch.onnx", logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), silent:
        warnings.simplefilter("ignore")
        yield
