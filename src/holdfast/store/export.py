"""A learner as one network from pixels to scores, in forms that run without holdfast."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.continual import Continual
from holdfast.errors import ConfigError, StoreError
from holdfast.learner.learner import Output
from holdfast.readout.readout import Readout
from holdfast.store.whole import whole

APART = 1e-3  # of the largest score: what two runtimes may differ by


class Scores(nn.Module):
    """(N, C, H, W) floats in [0, 1], or (N, D) features, to (N, K) scores of the main readout.

    Prototypes, means and Gaussians are decided by linear layers, and a head is one, so that this is
    all that a deployment needs.
    """

    def __init__(self, core: Continual):
        super().__init__()
        self.learner = core.learner.freeze()
        self.readout = core.readouts[core.readout]
        self.on: str = getattr(self.readout, "on", "logits")
        self.linear = None if core.readout == "head" else affine(self.readout, self._width())

    @torch.no_grad()
    def _width(self) -> int:
        out = self.learner.eval()(torch.zeros(2, *self.learner.shape))
        return getattr(out, self.on).shape[1] if self.on != "logits" else 0

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Scores; the largest decides."""
        out = self.learner(x)
        return (
            self.readout.scores(out) if self.linear is None else self.linear(getattr(out, self.on))
        )


@torch.no_grad()
def affine(readout: Readout, width: int) -> nn.Linear | None:
    """A readout as a linear layer x W^T + b, found by asking it; None if it is none."""
    if not width:
        return None
    x = torch.cat([torch.zeros(1, width), torch.eye(width)])
    asked = torch.randn(8, width, generator=torch.Generator().manual_seed(0))
    b, *rows = (
        readout.scores(Output(*[piece] * len(Output._fields))) for piece in (x[:1], x[1:], asked)
    )
    layer = nn.Linear(width, b.shape[1])
    layer.weight.copy_((rows[0] - b).nan_to_num(0.0).T)  # a class that never came has -inf
    layer.bias.copy_(b[0])
    seen = b[0].isfinite()
    scale = rows[1][:, seen].abs().max().clamp_min(1.0)
    return layer if bool(((layer(asked) - rows[1])[:, seen].abs() < APART * scale).all()) else None


def to_torch(core: Continual, path: Path) -> float:
    """Write a program of torch.export, and return how far its scores are from the model's own.

    Raises:
        StoreError: if they differ by more than rounding.
    """
    network, x = _ready(core)
    with _quiet():
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.export.export(network, (x,), dynamic_shapes=({0: batch},))
        notes = {"classes.json": json.dumps([str(label) for label in core.labels])}
        whole(path, lambda to: torch.export.save(program, str(to), extra_files=notes))
        loaded = torch.export.load(str(path)).module()
        with torch.no_grad():
            return _checked(path, network(x), loaded(x))


def to_onnx(core: Continual, path: Path) -> float:
    """Write ONNX with input ``pixels`` and output ``scores``; return how far its scores are off.

    Raises:
        ConfigError: without the extra ``holdfast[export]``.
        StoreError: if onnxruntime's scores differ by more than rounding.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - what torch writes ONNX with
    except ImportError as error:
        raise ConfigError(
            f"writing ONNX needs {error.name}: pip install 'holdfast[export]'."
        ) from None
    network, x = _ready(core)
    with _quiet():
        batch = torch.export.Dim("batch", min=1, max=4096)
        made = torch.onnx.export(
            network, (x,), dynamo=True, dynamic_shapes=({0: batch},), optimize=True,
            input_names=["pixels"], output_names=["scores"], verbose=False,
        )  # fmt: skip
        assert made is not None
        proto = made.model_proto
        entry = proto.metadata_props.add()
        entry.key, entry.value = "classes", json.dumps([str(label) for label in core.labels])
        onnx.checker.check_model(proto)
        whole(path, lambda to: to.write_bytes(proto.SerializeToString()))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            found = session.run(["scores"], {"pixels": x.numpy()})[0]
            return _checked(path, network(x), torch.from_numpy(found))


def _ready(core: Continual) -> tuple[Scores, Tensor]:
    """The network in eval mode, and inputs to compare on: more than one, so that the batch is free."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, *core.learner.shape, generator=generator)
    return Scores(core).eval(), x


def _checked(path: Path, own: Tensor, found: Tensor) -> float:
    apart = float((own - found).abs().max())
    if not apart <= APART * max(float(own.abs().max()), 1.0):
        path.unlink()
        raise StoreError(
            f"the scores of {path} differ from the model's own by {apart:.2g}: not written."
        )
    return apart


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell of their own deprecations, and print."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        log = logging.getLogger("torch.onnx")
        before = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(before)
