"""The protocol of a run: what may be stored of old classes, and what it may be used for (THEORY 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.errors import ConfigError
from holdfast.memory.memory import ClassBalanced, Everything, Memory, NoMemory
from holdfast.stream.rows import Rows

Kind = Literal["strict", "auxiliary", "buffer", "joint"]


@dataclass(frozen=True)
class Protocol:
    """``strict``: no image; ``auxiliary(k)``: k images train the readout only; ``buffer(k)``: k
    images are rehearsed; ``joint``: everything is seen again, which is a bound and not a method.

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

    def memory(self, own: Memory, given: Rows | None = None) -> Memory:
        """The memory of a run whose method brings ``own``, next to rows given to one of its terms.

        Raises:
            ConfigError: when the method rehearses, or was given more rows, than the protocol allows.
        """
        brought = 0 if given is None else len(given)
        if brought and self.kind != "joint" and (self.kind != "buffer" or brought > self.images):
            raise ConfigError(
                f"a term of this method was given {brought} images, which the protocol {self} does "
                f"not allow: use --protocol buffer --images {brought} or more."
            )
        if isinstance(own, Everything) != (self.kind == "joint"):
            raise ConfigError(
                f"the recipe joint and the protocol joint belong together, not with '{self.kind}'."
                if isinstance(own, Everything)
                else "only the recipe joint runs under the protocol joint."
            )
        if self.kind == "joint":
            return own
        if self.kind == "buffer":
            made = own if own.keeps else ClassBalanced()
            made.capacity = self.images - brought
            return made
        if own.keeps and own.use != "readout":
            raise ConfigError(
                f"this recipe rehearses stored images, which the protocol {self.kind} does not allow: "
                "use --protocol buffer --images 200."
            )
        if self.kind == "strict":
            return NoMemory()
        made = own if own.keeps else ClassBalanced(use="readout")
        made.capacity = self.images
        return made
