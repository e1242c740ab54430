"""Presets: sizes and settings that belong together, each with where its numbers come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.settings import Network, PresetName, Training
from holdfast.recipes.field import FIELD
from holdfast.recipes.preset import Preset

# of frozen:adapt=..., the only training it has: that of the first task
ADAPTING: dict[str, dict[str, Any]] = {
    "frozen": {"epochs": 8, "first_epochs": 8, "batch": 32, "lr": 0.01}
}
CLASSIFIERS = ("joint", "lwf", "lwf_wa", "ida", "er")

QUICK = Preset(
    "quick",
    "chosen on validation parts of the digits' training images; a run takes seconds on two cores",
    training=Training(epochs=10, first_epochs=20, batch=64, lr=0.005, warmup=1),
    recipes={
        "supcon": {"tau": 0.5},
        "co2l": {"tau": 0.5},
        "fnc2": {"tau": 0.5},
        "fnc2_strict": {"tau": 0.5, "features": 3.0, "rotations": 0.0},  # a turned 6 is a 9
        "lwf_strict": {"features": 3.0, "rotations": 0.0},
        "grassmann": {"features": 3.0},
        "ida": {"weight": 10.0, "T": 30.0},
        "der": {"alpha": 2.0},
        "derpp": {"alpha": 1.0, "beta": 1.0},
        "adagauss": {"decide": "class-gaussian"},
        "gatf": {"decide": "class-gaussian"},
    },
    # fine-tuning keeps the small rate: at the larger one its features die in the second task
    trainings={name: {"lr": 0.05} for name in CLASSIFIERS}
    | {name: {"lr": 0.02} for name in ("der", "derpp", "acil")}
    | ADAPTING,
)

SLOW_WEIGHTS = {"classes": "new", "weight": 3000.0, "step": "proximal"}

DESK = Preset(
    "desk",
    "chosen on validation parts of CIFAR-10's training images so that methods separate within "
    "15 minutes on two cores; not comparable with published figures",
    per_class=500,
    training=Training(epochs=25, first_epochs=50, batch=128, lr=0.1, warmup=2),
    network=Network(width=16),
    recipes={
        "fnc2": {"alpha": "delayed:8,20"},
        "fnc2_strict": {"alpha": "delayed:8,20", "features": 3.0},
        "lwf_strict": {"features": 3.0},
        "grassmann": {"features": 3.0},
        "ewc": SLOW_WEIGHTS,
        "online_ewc": SLOW_WEIGHTS,
        "si": SLOW_WEIGHTS | {"weight": 100.0},
        "kfac_laplace": {"classes": "new"},
    },
    # finetune's is the rate at which its training loss on the last task is least: see docs/desk.md
    trainings={"finetune": {"lr": 0.01}}
    | {
        name: {"lr": 0.03}
        for name in (
            "ewc",
            "online_ewc",
            "si",
            "kfac_laplace",
            "lwf",
            "lwf_strict",
            "grassmann",
            "ida",
            "efc",
            "adagauss",
            "gatf",
            "dpcr",
            "fetril",
            "acil",
        )
    }
    | {name: {"lr": 0.01, "batch": 32} for name in ("der", "derpp")}
    | ADAPTING,
)

_SCALE = 0.5 / 0.07
_CO2L = {"tau": 0.5, "scale": _SCALE, "average": "rows"}
# epochs count from 1 there, so that 30 and 80 of the papers are 29 and 79 here
_FNC2 = _CO2L | {
    "denominator": "open",
    "prototype_now": 0.2,
    "prototype_past": 0.1,
    "alpha": "delayed:29,79",
}
_PAPER = (
    "Co2L's text and the FNC2 authors' later public code (arXiv 2106.14413, 2412.02865, 2510.15751), with "
    "its past network in batch mode, its mean over all rows, its open denominator, its learning rate a "
    "value an epoch and its constants of normalisation"
)
_TRAINING = Training(
    epochs=100, first_epochs=500, batch=512, lr=0.5, warmup=10, lr_schedule="supcon"
)

PAPER_CIFAR10 = Preset(
    "paper",
    _PAPER,
    tasks=5,
    training=_TRAINING,
    network=Network(width=64, past_mode="batch", normalise="cifar10"),
    augment="contrastive",
    recipes={
        "supcon": _CO2L,
        "co2l": _CO2L | {"now": 0.2, "past": 0.01},
        "fnc2": _FNC2 | {"gamma": 1.0, "now": 0.2, "past": 0.01, "classes": 10},
    },
)

PAPER_CIFAR100 = replace(
    PAPER_CIFAR10,
    provenance=_PAPER + "; 5 tasks of 20 classes, never to be compared with 10 of 10",
    network=replace(PAPER_CIFAR10.network, normalise="cifar100"),
    recipes=dict(PAPER_CIFAR10.recipes)
    | {"fnc2": _FNC2 | {"gamma": 4.0, "now": 0.2, "past": 0.01, "classes": 100}},
)

_TINY = {"now": 0.1, "past": 0.1, "dim": 256}
PAPER_TINY = replace(
    PAPER_CIFAR10,
    tasks=10,
    training=replace(_TRAINING, epochs=50, lr=0.1),
    network=replace(PAPER_CIFAR10.network, normalise="tiny-imagenet"),
    augment="contrastive-tiny",
    recipes={
        "supcon": _CO2L | {"dim": 256},
        "co2l": _CO2L | _TINY,
        "fnc2": _FNC2 | _TINY | {"gamma": 4.0, "alpha": "delayed:19,39", "classes": 200},
    },
)

PAPER = {"cifar10": PAPER_CIFAR10, "cifar100": PAPER_CIFAR100, "tiny-imagenet": PAPER_TINY}
SMALL = 16  # pixels along a side
PRESETS: tuple[str, ...] = get_args(PresetName)


def find_preset(
    name: str = "auto", shape: tuple[int, ...] | None = None, stream: str = ""
) -> Preset:
    """A preset by name.

    Args:
        name: ``quick``, ``desk``, ``paper``, a protocol of the field by its data and cut
            (`holdfast.recipes.field`), or ``auto``: quick for feature vectors and images of up
            to 16 pixels, desk for larger ones and where the shape is not known.
        shape: of one input.
        stream: its name, for ``paper``.

    Raises:
        ConfigError: for an unknown preset, or ``paper`` for a stream that no paper used.
    """
    if name not in PRESETS:
        raise unknown("preset", str(name), PRESETS)
    if name == "paper":
        if stream not in PAPER:
            raise ConfigError(
                f"the preset paper is for {', '.join(PAPER)}, not for '{stream}': "
                "use --preset desk or quick."
            )
        return PAPER[stream]
    if name == "auto":
        small = shape is not None and (len(shape) == 1 or max(shape[1:]) <= SMALL)
        name = "quick" if small else "desk"
    if name in FIELD:
        return FIELD[name]
    return {"quick": QUICK, "desk": DESK}[name]
