"""Networks from outside: a module, a class, a factory, or a plain function of images."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.registry import Registry

CONTEXT = ("shape", "width")  # arguments that a factory may take


class Function(nn.Module):
    """A plain callable as a module without weights.

    Args:
        function: maps (N, ...) inputs to (N, f).
    """

    def __init__(self, function: Callable[[Any], Any]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        """What the callable gives."""
        return self.function(x)


def build_network(registry: Registry[Any], text: str, shape: tuple[int, ...], width: int) -> Any:
    """What a text names as a network: a module itself, what a class or factory makes, or a function.

    A function with one argument that must be given, other than ``shape``, takes images; any other is a
    factory.

    Args:
        registry: of backbones.
        text: a registered name or ``package.module:attribute``, perhaps with settings.
        shape: of one input.
        width: 0 leaves it out.

    Raises:
        ConfigError: as `Registry.build`; for settings of a module or function that takes none.
    """
    entry, rest = registry.find(text)
    value = entry.value
    if ":" in entry.name and (isinstance(value, nn.Module) or _takes_images(value)):
        if rest:
            raise ConfigError(f"backbone '{entry.name}' takes no settings: leave ':{rest}' out.")
        return copy.deepcopy(value) if isinstance(value, nn.Module) else Function(value)
    return registry.build(text, shape=shape, **({"width": width} if width else {}))


def _takes_images(value: Any) -> bool:
    """Whether it is called with images, and not to make a network."""
    if inspect.isclass(value):
        return False
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):  # built in C: it makes no network
        return True
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    return len(needed) == 1 and needed[0] not in CONTEXT
