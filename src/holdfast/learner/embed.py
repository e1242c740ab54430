"""Embed: images, still encoded, through a frozen backbone (`holdfast.learner.embedding`)."""

from holdfast.learner.batches import MEMORY, batch_size
from holdfast.learner.embedding import Embedded, embed

__all__ = ["MEMORY", "Embedded", "batch_size", "embed"]
