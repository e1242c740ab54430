"""One registry for every kind of part: by name, from the package, an installed plugin, or a module.

A part is found under its name, or as ``package.module:attribute`` wherever a name is taken. Its
settings follow in one grammar (`holdfast.core.grammar`): ``name:key=value:key=value``.

Where parts come from:

- the package itself, and anything imported, by ``@register("name")`` of its kind;
- installed plugins, by entry points of the group ``holdfast.<kind>`` such as ``holdfast.recipes``;
- ``--import MODULE`` on the command line, which imports a module that registers its parts.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from typing import Any, Generic, TypeVar, cast

from holdfast.core.errors import ConfigError, PluginError, unknown
from holdfast.core.grammar import arguments, head, with_colon
from holdfast.core.modules import attribute_of, identity_of, import_module, module_exists, module_of

T = TypeVar("T")
P = TypeVar("P")  # keeps the type of what a decorator is put on
IMPORTED: set[str] = set()  # what the user named: modules, and parts as module:attribute
_closed: ContextVar[bool] = ContextVar("closed", default=False)
REGISTRIES: dict[str, Registry[Any]] = {}  # every kind, by its plural
PACKAGE = "holdfast"


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One part and where it is from.

    Attributes:
        name: under which it is found.
        value: a function or class that makes the part, or the part itself.
        module: that holds it.
    """

    name: str
    value: T
    module: str

    @property
    def builtin(self) -> bool:
        """Whether it is part of the package."""
        return self.module.split(".")[0] == PACKAGE

    @property
    def origin(self) -> str:
        """``holdfast``, or the distribution (with version) or module it is from."""
        top = self.module.split(".")[0]
        if self.builtin:
            return PACKAGE
        names = packages_distributions().get(top)
        return f"{names[0]} {version(names[0])}" if names else self.module

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        target = getattr(self.value, "func", self.value)
        return (inspect.getdoc(target) or "").partition("\n")[0]


class Registry(Mapping[str, T]):
    """All parts of one kind, a mapping from names to what makes them.

        >>> greetings = Registry("greeting")
        >>> @greetings.register("hello")
        ... def hello(times: int = 1) -> str: return "hello " * times
        >>> greetings.build("hello:times=2"), list(greetings)
        ('hello hello ', ['hello'])

    Args:
        kind: what the parts are, in the singular.
        module: imported before the first look-up, because its rooms register the built-in parts.
        plural: of the kind; by default with an s.
    """

    def __init__(self, kind: str, module: str = "", plural: str = ""):
        self.kind, self.plural, self._module = kind, plural or f"{kind}s", module
        self._entries: dict[str, Entry[T]] = {}
        REGISTRIES[self.plural] = self

    def register(self, name: str) -> Callable[[P], P]:
        """A decorator that adds a part under a name.

        Raises:
            ConfigError: if another part has the name.
        """

        def decorate(value: P) -> P:
            self.add(name, cast("T", value))
            return value

        return decorate

    def add(self, name: str, value: T, module: str = "") -> None:
        """Add a part under a name; the same part may be added again, as when a module is reloaded.

        Raises:
            ConfigError: if another part has the name, or the name cannot be one.
        """
        if not name or any(c in name for c in ":,=() /") or name.startswith("-"):
            raise ConfigError(
                f"'{name}' cannot name a {self.kind}: use letters, digits, '-' and '_'."
            )
        module = module or module_of(value)
        former = self._entries.get(name)
        if former is not None and identity_of(former.value) != identity_of(value):
            raise ConfigError(
                f"the {self.kind} '{name}' of {module} has the name of one of {former.origin}: "
                "choose another."
            )
        self._entries[name] = Entry(name, value, module)

    def entry(self, name: str, load: bool = True) -> Entry[T]:
        """The part of a name, or of ``module:attribute``.

        Args:
            name: without settings.
            load: whether an installed plugin or a module may be imported for it. Without, only the
                package and what was imported already is looked at.

        Raises:
            ConfigError: for an unknown name, with the nearest one; for a module that has no such
                attribute or cannot be imported.
        """
        self._import_builtin()
        if name in self._entries:
            return self._entries[name]
        module, colon, attribute = name.partition(":")
        if _closed.get() and name not in IMPORTED and not self._named(name):
            raise PluginError(self._closed_message(name))
        if load and name in self._installed:
            self._load(self._installed[name])
            return self._entries[name]
        if load and colon and module_exists(module):
            value = attribute_of(import_module(module), attribute, self.kind)
            IMPORTED.add(name)
            return Entry(name, value, module)
        raise unknown(self.kind, name, self)

    def _named(self, name: str) -> bool:
        """Whether the user named the module, or its package, of an installed plugin's part."""
        point = self._installed.get(name)
        return point is not None and any(f"{point.module}.".startswith(f"{m}.") for m in IMPORTED)

    def _closed_message(self, name: str) -> str:
        point = self._installed.get(name)
        if point is not None:
            return (
                f"the {self.kind} '{name}' is code of {point.value}, which runs only when you name it: "
                f"add --import {point.module}."
            )
        if ":" in name:
            return (
                f"the {self.kind} '{name}' is code from outside, which runs only when you name it: "
                f"add --import {name}."
            )
        return (
            f"the {self.kind} '{name}' is not part of holdfast and not installed: install the package "
            "that has it, and name its module with --import."
        )

    def find(self, text: str) -> tuple[Entry[T], str]:
        """The part at the head of a text, and the text of its settings.

        Raises:
            ConfigError: as `entry`.
        """
        self._import_builtin()
        first, rest = head(with_colon(text))
        known = first in self._entries or first in self._installed
        attribute, further = head(rest) if rest else ("", "")
        dotted = attribute.replace(".", "_").isidentifier()
        if known or not dotted or not (_closed.get() or module_exists(first)):
            if "." in first and dotted:
                raise ConfigError(f"there is no module '{first}' to take the {self.kind} from.")
            return self.entry(first), rest
        return self.entry(f"{first}:{attribute}"), further

    def build(self, text: str, **context: object) -> Any:
        """Make a part from a text such as ``name:key=value``.

        Args:
            text: the name, and what differs from the defaults of the signature.
            context: arguments that no text can hold; given to a part that takes them.

        Raises:
            ConfigError: as `find`; for a setting that the signature lacks or a value of another type.
        """
        entry, rest = self.find(text)
        takes = inspect.signature(entry.value).parameters  # type: ignore[arg-type]
        fixed = {name: value for name, value in context.items() if name in takes}
        where = f"{self.kind} {entry.name}"
        return entry.value(**fixed, **arguments(entry.value, rest, where, skip=context))  # type: ignore[operator]

    def entries(self) -> list[Entry[T]]:
        """Every part, those of plugins loaded; one that fails to load is left out with a warning."""
        for name in list(self):
            try:
                self.entry(name)
            except ConfigError as error:
                warnings.warn(str(error), stacklevel=2)
        return list(self._entries.values())

    def __getitem__(self, name: str) -> T:
        try:
            return self.entry(name).value
        except ConfigError as error:
            raise KeyError(str(error)) from None

    def __contains__(self, name: object) -> bool:
        self._import_builtin()
        return name in self._entries or name in self._installed

    def __iter__(self) -> Iterator[str]:
        self._import_builtin()
        return iter(dict.fromkeys((*self._entries, *self._installed)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        groups = (f"{PACKAGE}.{self.plural}", f"{PACKAGE}.{self.kind}")
        return {point.name: point for group in groups for point in entry_points(group=group)}

    def _load(self, point: EntryPoint) -> None:
        try:
            value = point.load()
        except Exception as error:  # a plugin may fail in any way
            raise ConfigError(
                f"the {self.kind} '{point.name}' of {point.value} cannot be imported "
                f"({type(error).__name__}: {error}): repair or remove that package."
            ) from error
        if point.name not in self._entries:
            self.add(point.name, value, point.module)

    def _import_builtin(self) -> None:
        if self._module:
            module, self._module = self._module, ""
            importlib.import_module(module)


@contextmanager
def closed() -> Iterator[None]:
    """Run inside without importing anything for a name: what a file says never makes code run.

    Parts that are registered already, and those the user named (`import_named`), are found.
    """
    token = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(token)


def import_named(text: str) -> None:
    """Import what ``--import`` names: a module, a .py file, or one part as ``module:attribute``.

    Raises:
        ConfigError: if it cannot be imported.
    """
    module, colon, attribute = text.partition(":")
    loaded = import_module(module)
    if colon:
        attribute_of(loaded, attribute, "part")
    IMPORTED.add(text)
