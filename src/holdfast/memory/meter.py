"""The memory meter: what is stored of the past, found by walking everything that can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from holdfast.core.errors import ProtocolError
from holdfast.core.rows import Rows
from holdfast.learner.learner import Learner
from holdfast.memory.samples import Samples
from holdfast.memory.walk import Reached, is_derived, reachable, walk


@dataclass(frozen=True)
class Holdings:
    """What is stored when a task has ended.

    Attributes:
        images: different stored samples.
        floats: numbers kept about the data: statistics, readout weights, noted columns. What a part
            solved from them once, and would solve again, is not counted twice.
        bytes: of the images, their labels, and the floats.
        past_floats: weights of the kept past network, named apart: they are a model, not data.
        past_bytes: of those.
    """

    images: int = 0
    floats: int = 0
    bytes: int = 0
    past_floats: int = 0
    past_bytes: int = 0


def measure(parts: Mapping[str, object], past: nn.Module | None) -> Holdings:
    """Weigh what the parts of a method hold, and the past network apart from it.

    Args:
        parts: by name.
        past: the network before the task, if one is kept.
    """
    images: set[int] = set()
    floats = size = 0
    for _, thing in reachable(parts, skip=is_derived):
        if isinstance(thing, Rows):
            images |= set(thing.key.tolist())
            columns = [thing.x, thing.y, thing.task, thing.key, *thing.extra.values()]
            floats += sum(column.numel() for column in thing.extra.values())
            size += sum(column.nbytes for column in columns)
        elif isinstance(thing, Tensor):
            floats += thing.numel()
            size += thing.nbytes
    weights = list(past.state_dict().values()) if past is not None else []
    return Holdings(
        len(images), floats, size, sum(t.numel() for t in weights), sum(t.nbytes for t in weights)
    )


def forbid_images(
    parts: Mapping[str, object], rows: Rows, protocol: str, allowed: Rows | None = None
) -> None:
    """Stop if any part holds samples when a task ends. It is a check, and no proof.

    Samples are: a table of rows; any uint8 tensor; a tensor whose last axes are an image's, unless a
    weight of the learner has its shape; and whatever one of the task's own inputs can be found in: a
    tensor of any shape, the memory behind a view, arrays, lists of numbers, bytes. An input is found
    raw or divided by 255, and scaled, shifted, centred or standardised (`Samples`). What is not found
    is named in docs/strict.md: views with a crop, compressed or encrypted copies, a generator. Where
    inputs are the features themselves, statistics are not searched: a class of one input has it as mean.

    Args:
        parts: what must hold none, by name; the declared memory is not among them.
        rows: the task's own training rows.
        protocol: as the message should name it.
        allowed: a table that a term declared and the protocol has allowed.

    Raises:
        ProtocolError: naming the part and what it holds.
    """
    samples = Samples(rows.x, rows.y)
    learners = [part for part in parts.values() if isinstance(part, Learner)]
    weights = {tuple(t.shape) for learner in learners for t in learner.state_dict().values()}
    checked: dict[object, list[Tensor]] = {}
    exact = any(learner.backbone.exact for learner in learners)
    for reached in walk(parts):
        if allowed is not None and reached.value is allowed:
            continue
        if exact and reached.aggregate:  # the mean of one input, or of equal ones, is that input
            continue
        if _checked_before(reached, checked):
            continue
        what = _samples_in(reached, samples, weights)
        if what:
            raise ProtocolError(
                f"{reached.path} keeps {what} when a task ends, which the protocol {protocol} does "
                "not allow: store statistics instead, or declare --protocol buffer."
            )


def _checked_before(reached: Reached, checked: dict[object, list[Tensor]]) -> bool:
    """Whether an equal tensor was looked at, such as a past network's weights; notes this one."""
    tensor = reached.value
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        return False
    alike = checked.setdefault((tensor.shape, tensor.dtype, tensor.device, reached.aggregate), [])
    if any(torch.equal(tensor, other) for other in alike) and _behind(tensor) is None:
        return True
    alike.append(tensor)
    return False


def _samples_in(reached: Reached, samples: Samples, weights: set[tuple[int, ...]]) -> str:
    """What samples a thing holds, in words; empty for none."""
    value, aggregate = reached.value, reached.aggregate
    if isinstance(value, Rows):
        return f"{value.images} samples"
    if isinstance(value, bytes):
        return f"samples in {len(value)} bytes" if samples.inside_bytes(value) else ""
    shape, weight = tuple(value.shape), tuple(value.shape) in weights
    image = len(samples.shape) == 3 and shape[-3:] == tuple(samples.shape) and not weight
    pixels = value.numel() and (value.dtype == torch.uint8 or image)
    if pixels or samples.inside(value, aggregate, weight):
        kind = "numbers" if reached.packed else "a tensor"
        return f"samples in {kind} of shape {shape}"
    behind = _behind(value)
    if behind is not None and samples.inside(behind, aggregate, weight):
        return f"samples in the memory behind a tensor of shape {shape}"
    return ""


def _behind(tensor: Tensor) -> Tensor | None:
    """All of the memory that a view is a part of; None for a tensor that is no view."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return None
    storage = tensor.untyped_storage()
    if storage.nbytes() <= tensor.nbytes or storage.nbytes() % tensor.element_size():
        return None
    return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage)
