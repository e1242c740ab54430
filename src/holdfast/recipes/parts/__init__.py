"""The parts that any recipe can be given, by what they are about; each is a few lines with its source."""

from holdfast.recipes.parts import (
    across,
    anchors,
    domains,
    heads,
    isolation,
    losses,
    regularise,
    subspace,
)

__all__ = ["across", "anchors", "domains", "heads", "isolation", "losses", "regularise", "subspace"]
