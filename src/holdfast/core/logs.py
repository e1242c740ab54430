"""Logs: how much of a library's own messages is heard for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_level(name: str, level: int) -> Iterator[None]:
    """A logger at a level inside the block, and as it was after it.

    Args:
        name: of the logger.
        level: below which it says nothing.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
