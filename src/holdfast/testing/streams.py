"""Data small enough to be learned in a second, on which the laws are checked."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from holdfast.stream.source import Source, from_arrays
from holdfast.stream.split import class_incremental
from holdfast.stream.task import Stream

WAVES = ((0, 4), (4, 0), (0, 2), (2, 0), (2, 2), (4, 4))  # a texture a class, in cycles an image
CLASSES = len(WAVES)
TASKS = 3


def textures(each: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, 1, 8, 8) uint8: noisy gratings of six classes, ``each`` of every class, and (N,) the classes.

    >>> x, y = textures(2, seed=0)
    >>> tuple(x.shape), y.tolist()
    ((12, 1, 8, 8), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    """
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(8) / 8
    turn = 2 * math.pi * torch.tensor(WAVES)
    wave = (turn[:, :1, None] * place[:, None] + turn[:, 1:, None] * place).cos()
    noise = torch.randn(CLASSES, each, 8, 8, generator=generator)
    x = (0.5 + 0.3 * wave[:, None] + 0.1 * noise).clamp(0, 1).flatten(0, 1)
    y = torch.arange(CLASSES).repeat_interleave(each)
    return (x * 255).round().to(torch.uint8)[:, None], y


def vectors(each: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, 12) float32: six clouds, ``each`` of every class, and (N,) the classes."""
    centres = 2 * torch.randn(CLASSES, 12, generator=torch.Generator().manual_seed(99))
    y = torch.arange(CLASSES).repeat_interleave(each)
    return centres[y] + torch.randn(len(y), 12, generator=torch.Generator().manual_seed(seed)), y


def small_source(
    kind: Callable[[int, int], tuple[Tensor, Tensor]] = textures, each: int = 24, tests: int = 10
) -> Source:
    """Six classes, with ``each`` train and ``tests`` test rows of every one."""
    return from_arrays(*kind(each, 0), *kind(tests, 1), name=kind.__name__)


def small_stream(
    kind: Callable[[int, int], tuple[Tensor, Tensor]] = textures, each: int = 24, tests: int = 10
) -> Stream:
    """`small_source` in 3 tasks of 2 classes.

    >>> [task.classes for task in small_stream()]
    [(0, 1), (2, 3), (4, 5)]
    """
    return class_incremental(small_source(kind, each, tests), TASKS)
