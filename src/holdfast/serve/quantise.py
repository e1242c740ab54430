"""An ONNX file whose backbone computes in 8 bits; what decides stays in single precision."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Shaped
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.serve.deployed import Deployed
from holdfast.serve.export import quiet
from holdfast.serve.onnx_file import converted, input_name, sidecar, write_sidecar
from holdfast.store.atomic import atomic_write

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

KINDS = ("Conv", "Gemm", "MatMul")  # nodes that have weights
CALIBRATION = 200  # images at most, from which the ranges of the activations are taken


def to_int8(
    core: Continual,
    path: Path,
    images: Shaped[Tensor, "n ..."] | None = None,
    false_alarms: float = 0.05,
    **notes: Any,
) -> int:
    """Write ONNX with an 8-bit backbone, and its sidecar; return how many nodes compute in 8 bits.

    Args:
        core: the learner and its readouts.
        path: of the file.
        images: inputs by which the ranges of activations are fixed; without them each range is
            found while the file runs, which is slower.
        false_alarms: as for `to_onnx`.
        notes: what else the sidecar says.

    Raises:
        ConfigError: as of `to_onnx`, or for a model without a backbone that has weights.
    """
    network = Deployed(core, false_alarms).eval()
    proto = converted(network, core, features=True)
    nodes = backbone_nodes(proto)
    if not nodes:
        raise ConfigError("--int8 is for models whose backbone has weights, and this one has none.")
    with tempfile.TemporaryDirectory(dir=path.parent) as place, quiet():
        logging.getLogger().disabled, before = True, logging.getLogger().disabled
        try:
            part = _quantised(proto, nodes, Path(place), input_name(core), images)
        finally:
            logging.getLogger().disabled = before
        atomic_write(path, lambda to: to.write_bytes(part))
    write_sidecar(path, sidecar(core, network, notes) | {"int8_nodes": len(nodes)})
    return len(nodes)


def backbone_nodes(proto: Any) -> list[str]:
    """The names of the nodes with weights that lead to the output ``features``."""
    makers = {output: node for node in proto.graph.node for output in node.output}
    weights = {tensor.name for tensor in proto.graph.initializer}
    pending, seen, names = ["features"], set(), []
    while pending:
        node = makers.get(pending.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        pending += node.input
        if node.op_type in KINDS and weights & set(node.input):
            names.append(node.name)
    return sorted(names)


def _quantised(
    proto: Any, nodes: list[str], place: Path, name: str, images: Tensor | None
) -> bytes:
    """The bytes of the quantised file, without the output ``features``."""
    import onnx
    from onnxruntime import quantization as q

    whole, part = place / "whole.onnx", place / "part.onnx"
    onnx.save(proto, str(whole))
    if images is None:
        q.quantize_dynamic(whole, part, nodes_to_quantize=nodes, weight_type=q.QuantType.QUInt8)
    else:
        q.quantize_static(
            whole, part, _reader(name, images[:CALIBRATION]), nodes_to_quantize=nodes,
            per_channel=True, reduce_range=True, weight_type=q.QuantType.QInt8,
            activation_type=q.QuantType.QUInt8, quant_format=q.QuantFormat.QDQ,
        )  # fmt: skip
    result = onnx.load(str(part))
    outputs = result.graph.output
    outputs.remove(next(output for output in outputs if output.name == "features"))
    return result.SerializeToString()


def _reader(name: str, images: Tensor) -> Any:
    """Batches of images as onnxruntime's calibration asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    batches: Iterator[dict[str, Any]] = iter([{name: piece.numpy()} for piece in images.split(16)])

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:  # type: ignore[override]
            return next(batches, None)

    return Reader()
