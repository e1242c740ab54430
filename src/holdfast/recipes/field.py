"""The protocols by which methods that store no image are published: cuts, length of training, sources.

Their figures are comparable within one preset alone: the lines of papers differ in length, optimiser,
views and network, and those alone move a method by many points (docs/compare.md).
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core.settings import Network, Training
from holdfast.recipes.preset import Preset

_SCRIPTS = (
    "cut and length of training as in the public scripts of AdaGauss and GATF: 200 epochs of every task, "
    "batch 256, SGD at 0.1, weight decay 5e-4; fall of the rate, views and network are this library's, and "
    "EFC's script has 100 epochs of Adam"
)
_HALF = (
    "half of the classes first, as in the public scripts of EFC (50, then 10 tasks of 5); length of "
    "training as for cifar100-10x10"
)

COLD = Preset(
    "cifar100-10x10",
    _SCRIPTS,
    tasks=10,
    training=Training(epochs=200, first_epochs=200, batch=256, lr=0.1, weight_decay=5e-4, warmup=5),
    network=Network(width=64, normalise="cifar100"),
)
_TINY = replace(COLD.network, normalise="tiny-imagenet")

FIELD = {
    preset.name: preset
    for preset in (
        COLD,
        replace(COLD, name="cifar100-20x5", tasks=20),
        replace(
            COLD, name="cifar100-50+10x5", provenance=_HALF, tasks=11,
            classes_per_task=(50, *(5,) * 10),
        ),
        replace(COLD, name="tiny-imagenet-10x20", network=_TINY),
        replace(COLD, name="tiny-imagenet-20x10", tasks=20, network=_TINY),
        replace(
            COLD, name="imagenet100-10x10",
            provenance=_SCRIPTS + "; its 3 x 3 stem is made for small images: give --size",
            network=Network(width=64),
        ),
    )
}  # fmt: skip
