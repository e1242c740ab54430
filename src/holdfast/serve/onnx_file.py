"""A model as one ONNX file with all that prediction needs, and a sidecar that says how to use it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from holdfast.core.errors import ConfigError, StoreError
from holdfast.readout.readout import Readout
from holdfast.readout.streaming import Streaming
from holdfast.serve.deployed import Deployed
from holdfast.serve.export import LARGEST, TOLERANCE, quiet, relative_gap
from holdfast.store.atomic import atomic_write

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

COVERS = (0.8, 0.9, 0.95)
OUTPUTS = ("logits", "probabilities", "unknown_score")
CLOSE = 1e-4  # of a probability: what two runtimes may differ by


def to_onnx(core: Continual, path: Path, false_alarms: float = 0.05, **notes: Any) -> float:
    """Write ONNX, and its sidecar ``PATH.json``; return how far its scores are off.

    The input is ``pixels`` (N, C, H, W) uint8, or ``vectors`` (N, D) float32; the outputs are those of
    `Answer` but for the features. N is free.

    Args:
        core: the learner and its readouts.
        path: of the file.
        false_alarms: share of known inputs that may be called unknown; sets the sidecar's threshold.
        notes: what else the sidecar says, such as the version of the model.

    Raises:
        ConfigError: without the extra ``holdfast[export]``; for a readout that is no network, or a
            model too large for one ONNX file.
        StoreError: if onnxruntime's answers differ by more than rounding.
    """
    network = Deployed(core, false_alarms).eval()
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        part = Path(place) / "model.onnx"
        part.write_bytes(converted(network, core).SerializeToString())
        apart = compared(core, network, part)
        atomic_write(path, lambda to: to.write_bytes(part.read_bytes()))
    write_sidecar(path, sidecar(core, network, notes))
    return apart


def converted(network: Deployed, core: Continual, features: bool = False) -> Any:
    """A network as ONNX (a ``ModelProto``), perhaps with its features as a further output.

    Raises:
        ConfigError: without the extra ``holdfast[export]``, or for a model too large for one file.
    """
    require_extra()
    import onnx

    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > LARGEST:
        raise ConfigError(
            f"this model has {size / 2**30:.1f} GiB of numbers and an ONNX file holds 2: use --to torch."
        )
    with quiet():
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.onnx.export(
            _Outputs(network, features).eval(), (inputs(core),), dynamo=True,
            dynamic_shapes=({0: batch},), optimize=True, input_names=[input_name(core)],
            output_names=output_names(network, features), verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "classes", json.dumps([str(label) for label in core.labels])
    onnx.checker.check_model(proto)
    return proto


class _Outputs(torch.nn.Module):
    """The answer as a tuple, without what there is none of."""

    def __init__(self, network: Deployed, features: bool):
        super().__init__()
        self.network, self.features = network, features

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        answer = self.network(x)
        columns = answer if self.features else answer[:3]
        return tuple(column for column in columns if column is not None)


def output_names(network: Deployed, features: bool = False) -> list[str]:
    """Of a converted network, in order."""
    names = OUTPUTS if network.strange is not None else OUTPUTS[:2]
    return [*names, "features"] if features else list(names)


def input_name(core: Continual) -> str:
    """``pixels`` for images, ``vectors`` for feature vectors."""
    return "pixels" if len(core.learner.shape) == 3 else "vectors"


def inputs(core: Continual, count: int = 3) -> Tensor:
    """Random inputs of a model's shape, always the same."""
    shape, generator = (count, *core.learner.shape), torch.Generator().manual_seed(0)
    if len(shape) == 4:
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(shape, generator=generator)


def session_of(path: Path) -> Any:
    """An onnxruntime session on one CPU thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def compared(core: Continual, network: Deployed, path: Path) -> float:
    """The largest difference between a file's scores and the model's own.

    Raises:
        StoreError: if scores, probabilities or unknown scores differ by more than rounding.
    """
    x, readout = inputs(core), core.readouts[core.readout]
    out = network.scores.learner(x.float() / 255 if x.dtype == torch.uint8 else x)
    values = session_of(path).run(None, {input_name(core): x.numpy()})
    answer = dict(zip(output_names(network), map(torch.from_numpy, values)))
    scores = readout.scores(out)
    gaps = {"scores": relative_gap(answer["logits"], scores) / TOLERANCE}
    p = readout.probabilities_of(scores).float()
    finite = scores.isfinite()
    apart = float((answer["logits"] - scores)[finite].abs().max())
    allowed = CLOSE + apart / network.temperature
    gaps["probabilities"] = float((answer["probabilities"] - p).abs().max()) / allowed
    if network.rule is not None and isinstance(readout, Streaming):
        strange = readout.strange(out).float()
        gaps["unknown scores"] = relative_gap(answer["unknown_score"], strange) / TOLERANCE
    for what, gap in gaps.items():
        if not gap <= 1:
            raise StoreError(f"the {what} of the file differ from the model's own: not written.")
    return apart


def sidecar(core: Continual, network: Deployed, notes: Mapping[str, Any]) -> dict[str, Any]:
    """What a program that runs the file must know; plain JSON data."""
    images, rule = len(core.learner.shape) == 3, network.rule
    readout = core.readouts[core.readout]
    return {
        "format": 1,
        "holdfast": installed("holdfast"),
        "levels": None,
        **notes,
        "classes": [str(label) for label in core.labels],
        "input": {
            "name": input_name(core),
            "shape": list(core.learner.shape),
            "type": "uint8" if images else "float32",
            **(_square(core) if images else {}),
        },
        "outputs": output_names(network),
        "temperature": network.temperature,
        "calibrated": readout.calibrated,
        "sets": _sets(readout),
        "unknown": None
        if rule is None
        else {
            "output": "unknown_score",
            "threshold": rule.threshold,
            "false_alarms": rule.false_alarms,
            "by_class": len(network.shift) > 0,
        },
    }


def _sets(readout: Readout) -> dict[str, Any] | None:
    """By which 1 - p a class is in the set that holds the true one in 80, 90 or 95 % of inputs."""
    if not isinstance(readout, Streaming) or not len(readout.confidence.missed):
        return None
    limits = {f"{cover:g}": min(readout.confidence.missable(cover), 1.0) for cover in COVERS}
    return {"limits": limits, "nominal": readout.confidence.nominal}


def _square(core: Continual) -> dict[str, Any]:
    """How image files become the model's squares (`holdfast.stream.fit.Square`)."""
    shape = core.learner.shape
    if shape[0] != 3 or shape[1] != shape[2]:  # it takes no image files, only pixels
        return {"fit": None, "resize": 0}
    return {"fit": "squash", "resize": 0} | core.learner.square


def write_sidecar(path: Path, content: Mapping[str, Any]) -> None:
    """``PATH.json`` beside a file."""
    text = json.dumps(content, indent=2, ensure_ascii=True) + "\n"
    atomic_write(path.with_name(f"{path.name}.json"), lambda to: to.write_text(text))


def require_extra() -> None:
    """Refuse without the extra ``holdfast[export]`` (ConfigError)."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401 - what torch writes ONNX with
    except ImportError as error:
        raise ConfigError(
            f"writing ONNX needs {error.name}: pip install 'holdfast[export]'."
        ) from None
