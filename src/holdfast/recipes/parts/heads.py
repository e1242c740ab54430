"""Parts of heads, readouts and memories: what decides, and what is kept to rehearse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from holdfast.anchor import FeatureFisher, GrassmannStep
from holdfast.core.errors import ConfigError
from holdfast.learner.heads import HeadName
from holdfast.memory import ClassBalanced, Protocol, WeighedMemory
from holdfast.memory.memory import Use
from holdfast.readout.subspace import Novelty, Subspace
from holdfast.recipes.adding import part
from holdfast.recipes.method import Method

Change = Callable[[Method], Method]


@part("cosine_head")
def cosine_head() -> Change:
    """A head of cosines with one trained scale, in place of the linear one.

    Source: Hou et al., Learning a unified classifier incrementally via rebalancing, CVPR 2019 (from memory)
    """
    return lambda method: with_head(method, "cosine")


@part("grassmann_head")
def grassmann_head() -> Change:
    """A head whose classes are planes of 4 dimensions, moved along geodesics.

    Source: GCR (Grassmann class representation), by its public code
    """

    def change(method: Method) -> Method:
        planes = with_head(method, "grassmann")
        return replace(planes, anchors=[*planes.anchors, GrassmannStep()])

    return change


@part("subspace")
def subspace(
    dimensions: int = 0, centre: bool = True, rank: int = 16, novelty: Novelty = "angle"
) -> Change:
    """Decides by the planes of the classes, solved from statistics.

    Args:
        dimensions: of each plane; 0 chooses by rows held out.
        centre: whether rows are read about the mean of all.
        rank: of the stored scatters.
        novelty: angle or residual.

    Source: derived here; the class representation of GCR
    """
    readout = Subspace("features", dimensions, centre, rank=rank, novelty=novelty)
    return lambda method: replace(method, readout=readout)


@part("leverage_memory")
def leverage_memory(
    images: int = 200,
    use: Use | Literal["auto"] = "auto",
    root: bool = False,
    weights: bool = True,
) -> Change:
    """Keeps images drawn by leverage, with weights by which a few stand for all.

    Args:
        images: in all.
        use: pool, mix, draw or readout; auto is that of the method's own memory, else pool.
        root: whether shares are roots of leverage scores.
        weights: whether losses and probes weigh the images; else they are drawn alike without.

    Source: Woodruff and Yasuda, arXiv 2306.00732, for the scores; with a ridge, chosen here
    """

    def change(method: Method) -> Method:
        before = method.memory
        if before.columns or method.protocol.kind == "joint":
            noted = " and ".join(before.columns) or "every image"
            raise ConfigError(
                f"leverage_memory would replace the memory of {method.name}, which keeps {noted}: add it "
                "to a method that does not need that, such as er or lwf_strict."
            )
        usual: Use = before.use if before.keeps else "pool"
        how: Use = usual if use == "auto" else use
        plain = "root_leverage" if root else "leverage"
        memory = WeighedMemory(images, how, root) if weights else ClassBalanced(images, how, plain)
        kind = "auxiliary" if how == "readout" else "buffer"
        return replace(method, memory=memory, protocol=Protocol(kind, images))

    return change


def with_head(method: Method, head: HeadName) -> Method:
    """A method that trains another head.

    Args:
        method: that trains one.
        head: its name.

    Raises:
        ConfigError: for a method that trains no head, or reads its rows as those of a linear one.
    """
    if not any("logits" in term.teaches for term in method.terms):
        raise ConfigError(
            f"{method.name} trains no head, so that a head={head} would decide nothing: add it to a method "
            "with cross-entropy, such as lwf_strict."
        )
    if any(isinstance(term, FeatureFisher) for term in method.terms):
        raise ConfigError(
            f"{method.name} reads the rows of a linear head: it cannot have head={head}."
        )
    return replace(method, head=head)
