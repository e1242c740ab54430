"""The protocol of a run: what may be stored of old classes, and what it may be used for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.memory.memory import ClassBalanced, Everything, Memory, NoMemory

Kind = Literal["strict", "auxiliary", "buffer", "joint"]


@dataclass(frozen=True)
class Protocol:
    """``strict``: no image; ``auxiliary(k)``: k images train the readout only; ``buffer(k)``: k
    images are rehearsed; ``joint``: everything is seen again, which is a bound and not a method
    (docs/theory.md, section 9).

    What ``strict`` means is enforced by a check when a task ends (`forbid_images`): it finds rows and
    copies of the task's inputs, also scaled, shifted, or in containers, and is no proof that nothing
    is left of them. docs/strict.md says what is checked and what is not.

    Raises:
        ConfigError: when the number of images does not fit the kind.

    >>> str(Protocol("auxiliary", 200))
    'auxiliary(200)'
    """

    kind: Kind = "strict"
    images: int = 0

    def __post_init__(self):
        needs = self.kind in ("auxiliary", "buffer")
        if needs and self.images < 1:
            raise ConfigError(
                f"the protocol {self.kind} needs a number of images: for example --images 200."
            )
        if not needs and self.images:
            raise ConfigError(
                f"the protocol {self.kind} takes no number of images (--images {self.images}): "
                "use --protocol auxiliary or buffer."
            )

    def __str__(self) -> str:
        return f"{self.kind}({self.images})" if self.images else self.kind

    @property
    def unread(self) -> Protocol:
        """What a readout that reads no stored image runs under: ``auxiliary`` becomes ``strict``."""
        return Protocol() if self.kind == "auxiliary" else self

    def memory(self, usual: Memory, rows: Rows | None = None) -> Memory:
        """The memory of a run whose method brings ``usual``, next to rows that one of its terms brings.

        Raises:
            ConfigError: when the method rehearses, or brings more rows, than the protocol allows.
        """
        brought = 0 if rows is None else len(rows)
        if brought and self.kind != "joint" and (self.kind != "buffer" or brought > self.images):
            raise ConfigError(
                f"a term of this method was given {brought} images, which the protocol {self} does "
                f"not allow: use --protocol buffer --images {brought} or more."
            )
        if isinstance(usual, Everything) != (self.kind == "joint"):
            raise ConfigError(
                f"the recipe joint and the protocol joint belong together, not with '{self.kind}'."
                if isinstance(usual, Everything)
                else "only the recipe joint runs under the protocol joint."
            )
        if self.kind == "joint":
            return usual
        if self.kind == "buffer":
            memory = usual if usual.keeps else ClassBalanced()
            memory.capacity = self.images - brought
            return memory
        if usual.keeps and usual.use != "readout":
            raise ConfigError(
                f"this recipe rehearses stored images, which the protocol {self.kind} does not allow: "
                "use --protocol buffer --images 200."
            )
        if self.kind == "strict":
            return NoMemory()
        memory = usual if usual.keeps else ClassBalanced(use="readout")
        memory.capacity = self.images
        return memory
