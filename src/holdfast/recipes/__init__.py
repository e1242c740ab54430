"""Every method as one short function: the pages to read first.

A recipe composes a `Method` from a loss, anchors, a memory and a readout. Its parameters, their
defaults and their meaning are the command line's: ``holdfast run fnc2 --help``. A new one joins the
tuple below, and is then in the command line, in the tests' laws and in the reports.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

from holdfast.errors import unknown
from holdfast.method import Method
from holdfast.recipes.bound import finetune, joint
from holdfast.recipes.contrastive import co2l, fnc2, fnc2_prior, supcon
from holdfast.recipes.distillation import ida, lwf, lwf_wa
from holdfast.recipes.prior import ewc, kfac_laplace, l2, mas, online_ewc, si
from holdfast.recipes.rehearsal import der, derpp, er
from holdfast.recipes.strict import fnc2_strict, lwf_strict

RECIPES: dict[str, Callable[..., Method]] = {
    recipe.__name__: recipe
    for recipe in (
        finetune,
        joint,
        er,
        der,
        derpp,
        lwf,
        lwf_wa,
        ida,
        ewc,
        online_ewc,
        kfac_laplace,
        si,
        mas,
        l2,
        supcon,
        co2l,
        fnc2,
        fnc2_prior,
        lwf_strict,
        fnc2_strict,
    )
}


def make(name: str, **parameters: object) -> Method:
    """The method of a recipe by name, which it carries into reports.

    Raises:
        ConfigError: for an unknown recipe or parameter, with the nearest name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    known = inspect.signature(RECIPES[name]).parameters
    for parameter in parameters:
        if parameter not in known:
            raise unknown(f"parameter of the recipe {name}", parameter, known)
    return replace(RECIPES[name](**parameters), name=name)


__all__ = [
    "RECIPES",
    "co2l",
    "der",
    "derpp",
    "er",
    "ewc",
    "finetune",
    "fnc2",
    "fnc2_prior",
    "fnc2_strict",
    "ida",
    "joint",
    "kfac_laplace",
    "l2",
    "lwf",
    "lwf_strict",
    "lwf_wa",
    "make",
    "mas",
    "online_ewc",
    "si",
    "supcon",
]
