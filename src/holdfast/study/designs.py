"""The studies by name: each a function of a size that says what is run and what is asked."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.grammar import arguments
from holdfast.core.registry import Registry
from holdfast.study.design import Study
from holdfast.study.sizes import Size

DESIGNS: Registry[Callable[..., Study]] = Registry(
    "study", module="holdfast.study.all_designs", plural="designs"
)
design = DESIGNS.register


def build_study(text: str, size: Size) -> Study:
    """A study by name, perhaps with settings: ``ablation:half=yes``.

    Raises:
        ConfigError: for an unknown name or setting.
    """
    entry, rest = DESIGNS.find(text)
    return entry.value(size, **arguments(entry.value, rest, f"study {entry.name}", skip=("size",)))
