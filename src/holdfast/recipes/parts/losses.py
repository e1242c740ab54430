"""The losses of the package's own recipes, each for any other beside its own."""

from __future__ import annotations

from holdfast.learner.prototype import Frame
from holdfast.loss import AntiCollapse, FocalCollapse, Rotations, SupCon, Uniformity
from holdfast.loss.collapse import Space
from holdfast.loss.term import Objective
from holdfast.recipes.adding import part
from holdfast.recipes.search import Contrast, Focus, Weight


@part("fnc2")
def fnc2(
    weight: Weight = 1.0,
    tau: Contrast = 0.1,
    gamma: Focus = 1.0,
    dim: int = 128,
    frame_seed: int = 0,
) -> Objective:
    """Focal neural-collapse contrast with prototypes that are fixed beforehand.

    Args:
        weight: of the term.
        tau: temperature of the contrast.
        gamma: focal exponent; 0 switches the focus off.
        dim: width of the embedding.
        frame_seed: rotation of the frame.

    Source: Dang et al., WACV 2025
    """
    return weight * FocalCollapse(Frame(dim, seed=frame_seed), tau, gamma)


@part("supcon")
def supcon(weight: Weight = 1.0, tau: Contrast = 0.1) -> Objective:
    """Supervised contrast: embeddings of one class attract each other.

    Args:
        weight: of the term.
        tau: temperature of the contrast.

    Source: Khosla et al., NeurIPS 2020
    """
    return weight * SupCon(tau)


@part("uniformity")
def uniformity(weight: Weight = 0.1, t: float = 2.0, of: Space = "features") -> Objective:
    """Rows spread over the sphere.

    Args:
        weight: of the term.
        t: how near a pair must be to count.
        of: features or embedding.

    Source: Wang, Isola, ICML 2020
    """
    return weight * Uniformity(t, of)


@part("anti_collapse")
def anti_collapse(weight: Weight = 1.0, beta: float = 1.0) -> Objective:
    """Features fill all their dimensions, each up to a deviation of beta.

    Args:
        weight: of the term.
        beta: the deviation, in the features' own units.

    Source: Rypesc et al., AdaGauss, NeurIPS 2024
    """
    return weight * AntiCollapse(beta)


@part("rotations")
def rotations(weight: Weight = 1.0) -> Objective:
    """Quarter turns of the first task's images are classes of their own.

    Args:
        weight: of the term.

    Source: as in Zhu et al. (PASS), CVPR 2021
    """
    return weight * Rotations()
