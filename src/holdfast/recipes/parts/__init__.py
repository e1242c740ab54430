"""The parts that any recipe can be given, by what they are about; each is a few lines with its source."""

from holdfast.recipes.parts import anchors, domains, losses

__all__ = ["anchors", "domains", "losses"]
