"""Ready experiments: each runs, says what it found with a verdict, and saves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.core.registry import Registry
from holdfast.study.designs import DESIGNS, build_study
from holdfast.study.dimensions import intrinsic, intrinsic_dimension
from holdfast.study.equivalence import equivalence
from holdfast.study.finding import Finding, shown

STUDIES: Registry[Callable[[Path | None, int], list[Finding]]] = Registry("study", plural="studies")
STUDIES.add("equivalence", equivalence)
STUDIES.add("intrinsic", intrinsic)

__all__ = [
    "DESIGNS",
    "STUDIES",
    "Finding",
    "build_study",
    "equivalence",
    "intrinsic",
    "intrinsic_dimension",
    "shown",
]
