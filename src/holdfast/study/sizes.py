"""How large a study is: what arrives, how long is learned, and how many blocks there are by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from holdfast.core.errors import ConfigError, unknown

LEAST = 6  # blocks: with fewer no pattern of signs has a p below 0.05


@dataclass(frozen=True)
class Size:
    """Data and settings that all arms share.

    Attributes:
        name: of it.
        words: what it is, for the page that a study writes.
        stream: by name, or ``NAME=PATH``.
        preset: by name.
        blocks: pairs of seed and order, by default.
        settings: of the training and the network, over the preset's.
        per_class, test_per_class: images; 0 is all.
        tasks: 0 takes the preset's.
    """

    name: str
    words: str
    stream: str
    preset: str
    blocks: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    per_class: int = 0
    test_per_class: int = 0
    tasks: int = 0

    @property
    def epochs(self) -> int:
        """Of every task after the first."""
        return int(self.settings["epochs"])

    def of(
        self, blocks: int = 0, data: str = "", settings: Mapping[str, Any] | None = None
    ) -> Size:
        """The same with other blocks, data or settings.

        Raises:
            ConfigError: for fewer blocks than a test by signs needs, or data that must be named.
        """
        blocks = blocks or self.blocks
        if blocks < LEAST:
            raise ConfigError(
                f"a study needs {LEAST} blocks or more: signs flipped over {blocks} cannot give a p "
                f"below {2 / 2**blocks:.2g}; use --blocks {LEAST}, better 10."
            )
        stream = f"{self.stream}={data}" if data else self.stream
        mixed, changed = {**self.settings, **(settings or {})}, settings or {}
        if int(mixed["epochs"]) < 1:
            raise ConfigError("a study needs at least one epoch of every task.")
        words = self.words + "".join(f"; here {k} is {v}" for k, v in changed.items())
        return replace(self, words=words, blocks=blocks, stream=stream, settings=mixed)


SIZES = {
    "toy": Size(
        "toy", "a few digits in two tasks and one epoch, to see that everything works; no figure of it "
        "means anything",
        "digits", "quick", LEAST,
        {"epochs": 1, "first_epochs": 1, "width": 4, "batch": 16, "lr": 0.02}, 8, 10, 2,
    ),
    "quick": Size(
        "quick", "digits, 80 images a class, 5 tasks of 2 classes, a network of width 16 and 6 epochs a "
        "task at learning rate 0.02; the preset has all images, width 32, 20 and 10 epochs at 0.005 and "
        "takes six times as long",
        "digits", "quick", 10,
        {"epochs": 6, "first_epochs": 6, "width": 16, "lr": 0.02}, 80,
    ),
    "desk": Size(
        "desk", "CIFAR-10, 500 images a class, 5 tasks of 2 classes, half the length of the preset desk; "
        "6 blocks by default, because a run takes minutes",
        "cifar10", "desk", LEAST,
        {"epochs": 12, "first_epochs": 25, "lr": 0.03}, 500,
    ),
}  # fmt: skip


def find_size(name: str) -> Size:
    """A size by name (ConfigError for another)."""
    if name not in SIZES:
        raise unknown("size of a study", name, SIZES)
    return SIZES[name]
