"""What a state belongs to: every setting of a method, its readouts and its setup, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.recipes.method import Method

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

Identity = dict[str, Any]
FORMAT = 2  # of identities: 1 named fewer settings
PLAIN = (bool, int, float, str, type(None))
MISSING = object()
RENEWED = {
    ("ridge", "ridge+noise")
}  # defaults of a drift: what was stored goes on with the later one


def identify(core: Continual) -> Identity:
    """The identity of a learner before it learns: its method, readouts and setup, all of them."""
    setup, plain = core.setup, core.setup.to_dict()
    return {
        "format": FORMAT,
        "method": described(core.method),
        "protocol": str(core.protocol),
        "readouts": list(core.readouts),
        "readout_settings": {name: settings(part) for name, part in core.readouts.items()},
        "optimizer": {"optimizer": reference(core.method.optimizer)},
        "training": plain["training"],
        "model": plain["network"],
        "precision": setup.machine.precision,
        "augment": asdict(core.augment),
        "shape": list(core.learner.shape),
        "seed": setup.seed,
    }


def described(method: Method) -> Identity:
    """Every setting of a method's parts, by its path."""
    output: Identity = {"name": method.name, "views": method.views, "dim": method.dim}
    if method.adapts:
        output["adapt"] = method.adapt
    if method.once:
        output["once"] = True
    if method.hold_norms != "none":
        output["hold_norms"] = method.hold_norms
    if method.past is not None:
        output["past"] = reference(method.past)
    if method.head != "linear":
        output["head"] = method.head
    parts = [*method.objectives, *method.rules, method.memory]
    for number, part in enumerate(parts):
        for path, module in part.named_modules():
            here = ".".join(filter(None, (type(part).__name__, str(number), path)))
            output |= {f"{here}.{name}": value for name, value in settings(module).items()}
    return output


def settings(part: nn.Module) -> Identity:
    """The settings of one part: plain values, and what values and functions it was given."""
    output = {}
    for name, value in vars(part).items():
        if name.startswith("_") or name == "training":
            continue
        text = reference(value)
        if text is not MISSING:
            output[name] = text
    return output


def reference(value: Any) -> Any:
    """A value as plain data that tells it from another; MISSING for what holds state."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, tuple):
        return repr(value) if all(isinstance(item, PLAIN) for item in value) else MISSING
    if isinstance(value, (FunctionType, BuiltinFunctionType, MethodType, partial, type)):
        return function_reference(value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: getattr(value, f.name) for f in fields(value)}
        stateful = any(isinstance(item, (Tensor, nn.Module)) for item in inner.values())
        return MISSING if stateful else repr(value)
    if callable(value) and not isinstance(value, nn.Module):
        return f"{type(value).__module__}.{type(value).__qualname__}({_inside(vars(value))})"
    return MISSING


def function_reference(function: Callable[..., Any]) -> str:
    """A function by its name, what it closes over, and for a lambda what it does."""
    if isinstance(function, partial):
        arguments = (*map(repr, function.args), _inside(function.keywords))
        return f"{function_reference(function.func)}({', '.join(arguments)})"
    text = f"{function.__module__}.{function.__qualname__}"
    code = getattr(function, "__code__", None)
    if code is not None and ("<lambda>" in text or "<locals>" in text or function.__defaults__):
        inner = [c.cell_contents for c in (function.__closure__ or ())]
        kept = [reference(value) for value in (*inner, *(function.__defaults__ or ()))]
        text += f"#{hashlib.sha256(code.co_code + repr((code.co_consts, kept)).encode()).hexdigest()[:12]}"
    return text


def _inside(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={reference(value)!r}" for name, value in sorted(values.items()))


def refuse_other(here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Stop if a state was taken with other arguments than those of now (ConfigError).

    A state of the first format named fewer settings: what it did not name is not compared.

    >>> refuse_other({"seed": 1, "training": {"lr": 0.1}}, {"seed": 1, "training": {"lr": 0.5}})
    Traceback (most recent call last):
    holdfast.core.errors.ConfigError: this run was begun with training.lr 0.5, not 0.1: resume it with ...
    """
    now, then = dict(_leaves(here)), dict(_leaves(there))
    names = now.keys() | then.keys()
    if now.get("format") != then.get("format"):
        names = {n for n in now.keys() & then.keys() if not n.endswith((".label", "format"))}
    differing = [name for name in names if not _alike(name, then.get(name), now.get(name))]
    differing.sort(key=lambda n: (n not in now or n not in then, n.count("."), n))
    if not differing:
        return
    shown = [f"{n} {_short(then.get(n))}, not {_short(now.get(n))}" for n in differing[:4]]
    more = f" (and {len(differing) - 4} more)" if len(differing) > 4 else ""
    raise ConfigError(
        f"this run was begun with {'; '.join(shown)}{more}: resume it with the arguments and the "
        "data it was begun with, or start a new one."
    )


def _alike(name: str, then: Any, now: Any) -> bool:
    """Whether a setting is the one of then, or a readout's default that took its place."""
    readout = name.startswith("readout_settings.") and name.endswith(".drift")
    return now == then or (readout and (then, now) in RENEWED)


def _leaves(thing: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        inner = [_leaves(v, f"{path}.{k}" if path else str(k)) for k, v in thing.items()]
        return [leaf for leaves in inner for leaf in leaves]
    return [(path, list(thing) if isinstance(thing, tuple) else thing)]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
