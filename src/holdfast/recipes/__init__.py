"""Every method as one short function: the pages to read first.

A recipe composes a `Method` from a loss, anchors, a memory and a readout. Its parameters, their
defaults and their meaning are the command line's: ``holdfast run fnc2 --help``. A new one is a
function under ``@register("name")``, here or in a package of your own; it is then in the command
line, the estimator, stored models and the laws of `holdfast.testing`.
"""

from holdfast.recipes.across import ofa
from holdfast.recipes.adding import PARTS, part
from holdfast.recipes.bound import finetune, joint
from holdfast.recipes.catalogue import RECIPES, make, register
from holdfast.recipes.contrastive import co2l, fnc2, fnc2_prior, supcon
from holdfast.recipes.distillation import ida, lwf, lwf_wa
from holdfast.recipes.exemplar_free import adagauss, dpcr, efc, gatf
from holdfast.recipes.first_task import acil, fetril
from holdfast.recipes.frozen import frozen
from holdfast.recipes.heads import grassmann
from holdfast.recipes.isolation import masks, sparse, task_arithmetic, ties
from holdfast.recipes.method import Method
from holdfast.recipes.presets import PRESETS, Preset, find_preset
from holdfast.recipes.prior import ewc, kfac_laplace, l2, mas, online_ewc, si
from holdfast.recipes.rehearsal import der, derpp, er
from holdfast.recipes.strict import fnc2_strict, lwf_strict
from holdfast.recipes.subspace import coso, gpm, owm

__all__ = [
    "PARTS", "PRESETS", "RECIPES", "Method", "Preset", "acil", "adagauss", "co2l", "coso", "der",
    "derpp", "dpcr", "efc", "er", "ewc", "fetril", "find_preset", "finetune", "fnc2", "fnc2_prior",
    "fnc2_strict", "frozen", "gatf", "gpm", "grassmann", "ida", "joint", "kfac_laplace", "l2", "lwf",
    "lwf_strict", "lwf_wa", "make", "mas", "masks", "ofa", "online_ewc", "owm", "part", "register",
    "si", "sparse", "supcon", "task_arithmetic", "ties",
]  # fmt: skip
