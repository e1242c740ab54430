"""What tuning found, and the file that holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.core.errors import StoreError

FORMAT = 1


@dataclass(frozen=True)
class Tuned:
    """What tuning found, as its file holds it.

    Attributes:
        recipe: its name.
        parameters: of the recipe.
        overrides: of the run: the learning rate.
        trials: how many were made.
        score: of the best of them.
        protocol: by which, in words.
    """

    recipe: str
    parameters: Mapping[str, Any]
    overrides: Mapping[str, Any]
    trials: int
    score: float
    protocol: str


def read_tuned(path: str | Path) -> Tuned:
    """What tuning left in a file (StoreError if it is none)."""
    try:
        data = json.loads(Path(path).read_text("utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        return Tuned(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{path} is no tuned.json of holdfast tune ({type(error).__name__}: {error})."
        ) from None
