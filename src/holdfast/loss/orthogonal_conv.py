"""OrthogonalConvolutions: convolutions that neither stretch nor squeeze what they are given."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import DataError
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

LOG = logging.getLogger("holdfast.loss.orthogonal_conv")


def orthogonality(kernel: Float[Tensor, "m c k k"], stride: int = 1) -> Float[Tensor, ""]:
    """||A - I_0||_F^2 - max(0, M - S^2 C), A = conv2d(K, K, padding P, stride S), P = floor((k-1)/S) S.

    I_0 is the identity at the centre and 0 elsewhere. It is 0 iff the layer, with circular padding on
    inputs of at least 2k - 1 pixels, has orthonormal rows (M <= S^2 C) or columns.

    Args:
        kernel: (M, C, k, k), k odd.
        stride: S of the layer.

    Raises:
        DataError: for a kernel that is not square and odd.

    Source: Achour, Malgouyres, Mamalet, *Existence, stability and scalability of orthogonal convolutional
        neural networks*, JMLR 2022; Wang et al., *Orthogonal convolutional neural networks*, CVPR 2020;
        read in public code

    >>> delta = torch.zeros(4, 4, 3, 3)
    >>> delta[range(4), range(4), 1, 1] = 2.0
    >>> orthogonality(delta), orthogonality(delta / 2)
    (tensor(36.), tensor(0.))
    """
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3] or not kernel.shape[2] % 2:
        raise DataError(
            f"a kernel must have shape (M, C, k, k) with an odd k, not {tuple(kernel.shape)}."
        )
    out, into, side, _ = kernel.shape
    reach = (side - 1) // stride
    kernel = at_least_float32(kernel)
    with torch.autocast(kernel.device.type, enabled=False):
        a = functional.conv2d(kernel, kernel, padding=reach * stride, stride=stride)
    total = a.square().sum() - 2 * a[:, :, reach, reach].trace() + out
    return total - max(0, out - stride**2 * into)


def reason_against(layer: nn.Conv2d) -> str:
    """Why no kernel makes a convolution orthogonal, or why it is not looked at; empty where one does.

    Args:
        layer: a convolution.

    >>> reason_against(nn.Conv2d(64, 128, 1, stride=2)), reason_against(nn.Conv2d(4, 8, 3))
    ('128 outputs of 64 channels by 1 x 1 cannot be orthogonal at stride 2', '')
    """
    side, stride = layer.kernel_size, layer.stride
    if layer.groups > 1 or layer.transposed or {*layer.dilation} != {1}:
        return "it has groups or holes"
    if side[0] != side[1] or not side[0] % 2 or stride[0] != stride[1]:
        return "its kernel is not square and odd, with one stride"
    out, into, k, s = layer.out_channels, layer.in_channels, side[0], stride[0]
    if out > into * s**2 and s > k:
        return f"a stride of {s} is wider than its kernel of {k}"
    if out <= into * s**2 and out > into * k**2:
        return f"{out} outputs of {into} channels by {k} x {k} cannot be orthogonal at stride {s}"
    return ""


class OrthogonalConvolutions(Term):
    """Sum of `orthogonality` over the convolutions of the backbone that can be orthogonal.

    The others are left out, and named in the log when the first task begins: so the 1 x 1 shortcuts of a
    ResNet. It reads weights alone and asks nothing of data. After a batch norm only the shape of a layer
    acts; a strong weight anchor pulls against it.

    Source: as `orthogonality`
    """

    label = "orthogonal"
    reads = ("weights",)
    penalty = True

    def value(self, part: Part, step: Step) -> Tensor:
        """Of the learner's weights as they are; 0 if no convolution can be orthogonal."""
        if step.learner is None:
            return step.zero
        layers = [
            layer for _, layer in convolutions(step.learner.backbone) if not reason_against(layer)
        ]
        values = [orthogonality(layer.weight, layer.stride[0]) for layer in layers]
        return torch.stack(values).sum() if values else step.zero

    def begin(self, learner: Learner, task: Task) -> None:
        """Name the layers that are left out, in the first task."""
        if task.index:
            return
        layers = list(convolutions(learner.backbone))
        against = {name: reason_against(layer) for name, layer in layers}
        for name, reason in against.items():
            if reason:
                LOG.warning("orthogonal convolutions leave out %s: %s.", name, reason)
        if all(against.values()):
            LOG.warning(
                "this backbone has no convolution that can be orthogonal: nothing is asked."
            )


def convolutions(backbone: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """The convolutions of a backbone, by name."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            yield name, module
