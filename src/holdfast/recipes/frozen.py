"""No network is trained: exact statistics of the features of a pretrained one decide."""

from __future__ import annotations

from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method


@register("frozen")
def frozen(decide: str = "select", adapt: str = "none") -> Method:
    """Features of a frozen backbone, read by statistics that no order and no split of the data changes.

    With ``adapt``, weights of the pretrained backbone are trained on the first task alone, by
    cross-entropy with a linear head; what comes after is exact (docs/theory.md, section 9).

    Args:
        decide: the readout, as for --readout; select chooses a rule (docs/theory.md, section 9).
        adapt: which weights the first task trains: none, norm (scales and shifts of norms), last:N
            (blocks), lora or lora:R (adapters of rank R, merged at its end), or all.

    Source: Janson et al., *A simple baseline that questions the use of pretrained models in continual
        learning*, 2022; statistics as in Hayes and Kanan, 2020; adapting once as in Panos et al., *First
        session adaptation*, 2023
    """
    return Method(None, readout=build_readout(decide), adapt=adapt)


SCRATCH = ("resnet18", "convnet", "mlp")  # backbones that start at random
TRAINING = ("parameters", "epochs", "first_epochs", "batch", "lr", "width", "tune_layers")


def asks_training(options: object) -> bool:
    """Whether options say how to train a network, or what to store beside statistics.

    Args:
        options: with a ``protocol`` and the attributes `TRAINING`, empty where nothing was said.
    """
    trains = any(getattr(options, name) for name in TRAINING)
    return trains or getattr(options, "protocol") not in (None, "strict")  # noqa: B009


def usual_recipe(shape: tuple[int, ...], backbone: str = "auto", trained: bool = False) -> str:
    """The recipe where none was named: frozen for features and pretrained networks, else fnc2_strict.

    Args:
        shape: of one input.
        backbone: as it was named.
        trained: whether something was said of how to train.
    """
    name = backbone.split(":")[0]
    scratch = name in SCRATCH or (name == "auto" and len(shape) > 1)
    return "fnc2_strict" if scratch or trained else "frozen"
