"""The one grammar of settings in a text: ``name:value:key=value:key=value``.

Parts are parted by ``:`` or ``,``. A part ``key=value`` sets a parameter by name. A part without
``=`` sets the next parameter in order while none was named, and continues the value before it
afterwards: ``fnc2:alpha=delayed:8,20:gamma=2`` sets alpha to ``delayed:8,20``. Parentheses keep a
value together: ``lwf:divergence=(f_divergence:power=2)``. Values become what the signature asks for.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from holdfast.core.errors import ConfigError, unknown

YES, NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def pieces(text: str, separators: str = ":,") -> list[tuple[str, str]]:
    """(separator before it, piece) of a text, cut outside parentheses.

    >>> pieces("a:b=(c:d),e")
    [('', 'a'), (':', 'b=(c:d)'), (',', 'e')]

    Raises:
        ConfigError: for parentheses that do not match.
    """
    output, depth, before, start = [], 0, "", 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            break
        if letter in separators and not depth:
            output.append((before, text[start:place]))
            before, start = letter, place + 1
    if depth:
        raise ConfigError(f"the parentheses of '{text}' do not match.")
    return [*output, (before, text[start:])]


def head(text: str) -> tuple[str, str]:
    """The name a text begins with, and the rest without its separator.

    >>> head("delayed:30,80"), head("cosine")
    (('delayed', '30,80'), ('cosine', ''))
    """
    first = pieces(text)[0][1]
    return first.strip(), text[len(first) + 1 :]


def with_colon(text: str) -> str:
    """``module:package.attribute`` as ``package:attribute``; any other text as it is.

    >>> with_colon("module:zoo.nets.small:width=4"), with_colon("ridge:gamma=2")
    ('zoo.nets:small:width=4', 'ridge:gamma=2')
    """
    first, rest = head(text)
    dotted, further = head(rest)
    if first != "module" or "." not in dotted:
        return text
    module, _, attribute = dotted.rpartition(".")
    return f"{module}:{attribute}" + (f":{further}" if further else "")


def listed(text: str) -> list[str]:
    """The texts of a list such as ``mean,gaussian:embedding``; an empty text is an empty list."""
    return [piece.strip() for _, piece in pieces(text, ",") if piece.strip()]


def arguments(
    function: Callable[..., Any], text: str, where: str, skip: Collection[str] = ()
) -> dict[str, Any]:
    """Keyword arguments of a function from the text of its settings.

    Args:
        function: whose signature says names and types.
        text: what follows the name.
        where: what to call the function in an error.
        skip: parameters that no text may set.

    Raises:
        ConfigError: for a parameter that it lacks or has twice, or a value of another type.

    >>> def delayed(e0: int = 30, e1: int = 80, smooth: bool = False): ...
    >>> arguments(delayed, "8,20:smooth=yes", "schedule delayed")
    {'e0': 8, 'e1': 20, 'smooth': True}
    """
    names = [
        name
        for name, p in inspect.signature(function).parameters.items()
        if name not in skip and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    hints = type_hints(function)
    values = {}
    for name, value in _pairs(text, names, where):
        if name not in names:
            if not names:
                raise ConfigError(f"the {where} has no parameters: leave ':{text}' out.")
            raise unknown(f"parameter of the {where}", name, names)
        if name in values:
            raise ConfigError(f"the {where} is given {name} twice: give it once.")
        values[name] = coerce(value, hints.get(name, str), f"{where}: {name}")
    return values


def _pairs(text: str, names: Sequence[str], where: str) -> list[list[str]]:
    """[name, value] of every setting, those without a name by their order."""
    pairs: list[list[str]] = []
    named = False
    for separator, piece in pieces(text) if text else ():
        key, equals, value = piece.partition("=")
        if equals and key.strip().isidentifier():
            pairs.append([key.strip(), value])
            named = True
        elif named:
            pairs[-1][1] += separator + piece
        elif len(pairs) < len(names):
            pairs.append([names[len(pairs)], piece])
        else:
            allowed = f"takes {', '.join(names)}" if names else "takes no settings"
            raise ConfigError(f"the {where} {allowed}: '{piece}' is one setting too many.")
    return [[name, bare(value.strip())] for name, value in pairs]


def bare(value: str) -> str:
    """Without the parentheses, if one pair keeps it together.

    >>> bare("(a:b)"), bare("(a)+(b)")
    ('a:b', '(a)+(b)')
    """
    depth = [*itertools.accumulate({"(": 1, ")": -1}.get(letter, 0) for letter in value)]
    return value[1:-1] if min(depth[:-1], default=0) > 0 == depth[-1] else value


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's or a class's parameters by name."""
    target = getattr(function, "func", function)  # a partial's
    target = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(target)
    except NameError:  # a type that exists for checkers alone
        return {}


def coerce(text: str, hint: Any, where: str) -> Any:
    """A text as what a type asks for.

    Args:
        text: the value.
        hint: bool, int, float, str, a path, a Literal, a tuple of these, or a union.
        where: what to call the value in an error (ConfigError, which says what it must be).

    >>> coerce("none", float | None, "x"), coerce("4,2", tuple[int, ...], "x")
    (None, (4, 2))
    """
    options = _options(hint)
    for option in options:
        value, fits = _as(text, option, where)
        if fits:
            return value
    literals = [value for option in options for value in _literals(option)]
    if literals and all(_literals(option) for option in options):
        raise unknown(f"value of {where}", text, map(str, literals))
    wanted = " or ".join(_named(option) for option in options)
    raise ConfigError(f"{where} cannot be '{text}': it must be {wanted}.")


def fitted(value: Any, hint: Any, where: str) -> Any:
    """A value from a program as what a type asks for: a text that is none becomes one.

    Raises:
        ConfigError: naming the value and what it must be.

    >>> fitted("0.5", float, "tau"), fitted(2, float, "tau")
    (0.5, 2)
    """
    options = _options(hint)
    if isinstance(value, str) and str not in options:
        return coerce(value, hint, where)
    plain = {int: Integral, float: Real, str: str, bool: bool, NoneType: NoneType}
    known = [option for option in options if option in plain]
    numbers = isinstance(value, (bool, int, float, NoneType))
    if numbers and known and not any(_is(value, plain[option]) for option in known):
        wanted = " or ".join(_named(option) for option in options)
        raise ConfigError(f"{where} cannot be {value!r}: it must be {wanted}.")
    return value


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _options(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _options(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return tuple(option for part in get_args(hint) for option in _options(part))
    return (hint,)


def _literals(option: Any) -> tuple[Any, ...]:
    return get_args(option) if get_origin(option) is Literal else ()


def _as(text: str, option: Any, where: str) -> tuple[Any, bool]:
    """A text as one type, and whether it can be that."""
    if option is NoneType:
        return None, text.lower() == "none"
    if option is bool:
        return text.lower() in YES, text.lower() in (*YES, *NO)
    if option in (int, float):
        try:
            number = option(text)
        except ValueError:
            return None, False
        return number, not math.isnan(number)
    values = {str(value): value for value in _literals(option)}
    if values:
        return values.get(text), text in values
    if get_origin(option) is tuple:
        return _tuple(text, get_args(option), where), True
    if option is Path:
        return Path(text), True
    return text, option in (str, Any, object, inspect.Parameter.empty) or not isinstance(
        option, type
    )


def _tuple(text: str, types: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    texts = [piece for _, piece in pieces(text)] if text else []
    if len(types) == 2 and types[1] is Ellipsis:
        types = (types[0],) * len(texts)
    if len(types) != len(texts):
        raise ConfigError(f"{where} takes {len(types)} values, not '{text}'.")
    return tuple(coerce(piece, hint, where) for piece, hint in zip(texts, types))


def _named(option: Any) -> str:
    names = {bool: "yes or no", int: "a whole number", float: "a number", NoneType: "none"}
    if _literals(option):
        return " or ".join(map(str, _literals(option)))
    return names.get(option, getattr(option, "__name__", str(option)))
