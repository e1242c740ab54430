"""Regularisers of the new task (docs/methods.md): beside a method's cross-entropy, or in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from holdfast.anchor.function import LogitDistillation
from holdfast.loss.classify import Competing
from holdfast.loss.coding import CodingRate
from holdfast.loss.early_learning import EarlyLearning
from holdfast.loss.mixed import Balance, Mixup
from holdfast.loss.mutual import ConditionalInformation
from holdfast.loss.nested import NestedDropout
from holdfast.loss.orthogonal_conv import OrthogonalConvolutions
from holdfast.loss.self_taught import SelfTaught
from holdfast.loss.singular import EvenSpectrum
from holdfast.loss.term import Objective
from holdfast.recipes.adding import part
from holdfast.recipes.method import Method
from holdfast.recipes.search import Search, Weight
from holdfast.recipes.swap import in_place_of_cross_entropy
from holdfast.stream.mixing import Mixing, Within

Swap = Callable[[Method], Method]
Share = Annotated[float, Search(0.0, 1.0)]
Little = Annotated[float, Search(1e-4, 1.0, log=True)]


@part("pskd")
def pskd(share: Share = 0.8) -> Swap:
    """Labels softened by what the network said of the same sample an epoch ago (PS-KD).

    Args:
        share: of its own answers in the targets of a task's last epoch.

    Source: Kim et al., ICCV 2021
    """
    return in_place_of_cross_entropy("pskd", lambda ce: SelfTaught(share, ce.classes))


@part("elr")
def elr(weight: Weight = 3.0, beta: float = 0.7, classes: Competing = "new") -> Objective:
    """Answers given early are believed, so that wrong labels are not learned by heart (ELR).

    Args:
        weight: of the term; the source has 3 for 10 classes and 7 for 100.
        beta: how much of a sample's running answer stays at each visit.
        classes: over which the softmax runs.

    Source: Liu et al., NeurIPS 2020
    """
    return weight * EarlyLearning(beta, classes)


@part("singular")
def singular(
    weight: Little = 0.01, of: Literal["embedding", "features"] = "features", on: str = "new"
) -> Objective:
    """Rows that fill all directions alike: the singular-value part of MSBReg, in a form of our own.

    Args:
        weight: of the term; above 0.01 it works against collapsed classes.
        of: features or embedding.
        on: the rows: new, old or batch.

    Source: Moon et al., 2022; not verified against the source
    """
    return weight * EvenSpectrum(of, on)


@part("nested_dropout")
def nested_dropout(scale: Annotated[float, Search(0.05, 2.0, log=True)] = 0.2) -> Swap:
    """The first features must do alone, so that features come in the order of their use.

    Args:
        scale: of how many there are, as a share of all.

    Source: Rippel et al., ICML 2014; Chen et al., 2021
    """
    return in_place_of_cross_entropy("nested_dropout", lambda ce: NestedDropout(scale, ce.classes))


@part("orthogonal_conv")
def orthogonal_conv(weight: Annotated[float, Search(1e-5, 1.0, log=True)] = 1e-4) -> Objective:
    """Convolutions that neither stretch nor squeeze what they are given.

    Args:
        weight: of the sum over the layers that can be so.

    Source: Achour et al., JMLR 2022; Wang et al., CVPR 2020
    """
    return weight * OrthogonalConvolutions()


@part("mixup")
def mixup(alpha: float = 1.0, kept: Share = 0.0, within: Within = "new") -> Swap:
    """Mixtures of two rows, asked for both their classes.

    Args:
        alpha: shares are drawn from Beta(alpha, alpha), one a batch.
        kept: share of the rows that stay as they are.
        within: new rows are mixed among themselves, or with the whole batch.

    Source: Zhang et al., ICLR 2018
    """
    mixing = Mixing(alpha, kept, within)
    return in_place_of_cross_entropy("mixup", lambda ce: Mixup(ce.classes, mixing=mixing))


@part("decoupled_mixup")
def decoupled_mixup(
    eta: Annotated[float, Search(0.01, 1.0, log=True)] = 0.1,
    balance: Balance = "lambda",
    alpha: float = 1.0,
    kept: Share = 0.0,
    within: Within = "new",
) -> Swap:
    """Mixup in which each class of a pair must also win where its rival is left out.

    Args:
        eta: weight of that.
        balance: lambda weighs both classes by their shares, none alike.
        alpha: as for mixup.
        kept: as for mixup.
        within: as for mixup.

    Source: Liu et al., NeurIPS 2023
    """
    mixing = Mixing(alpha, kept, within)
    return in_place_of_cross_entropy(
        "decoupled_mixup", lambda ce: Mixup(ce.classes, eta, balance, mixing)
    )


@part("mixed_distillation")
def mixed_distillation(
    weight: Weight = 1.0,
    T: float | Literal["std"] = 2.0,
    alpha: float | None = None,
    kept: Share = 0.0,
) -> Objective:
    """What the past network says of mixtures of two new rows is kept.

    Args:
        weight: of the term.
        T: temperature of both networks' answers; std divides each row by its own deviation over the old
            classes, of which it needs 3.
        alpha: as for mixup; none takes that of another part, or 1.
        kept: share of the rows that stay as they are.

    Source: Choi et al., WACV 2023
    """
    usual = alpha is None and not kept
    mixing = None if usual else Mixing(1.0 if alpha is None else alpha, kept)
    return weight * LogitDistillation(T=T, on="mixed", mixing=mixing)


@part("cmi")
def cmi(
    weight: Annotated[float, Search(0.05, 0.5, log=True)] = 0.15,
    share: float = 0.1,
    rise: float = 0.05,
    classes: Competing = "new",
) -> Objective:
    """Answers of one class are driven apart again at a task's end, for a better teacher (MCMI).

    Args:
        weight: of the term.
        share: of a task's epochs at its end.
        rise: of the cross-entropy, as a share of it, after which the term stops.
        classes: over which the softmax runs.

    Source: Ye et al., ICLR 2024, where a copy is tuned in place of the network that is used
    """
    return weight * ConditionalInformation(share, rise, classes)


@part("coding_rate")
def coding_rate(
    weight: Little = 0.01, epsilon: float = 0.5, compress: bool = True, on: str = "new"
) -> Objective:
    """Embeddings that fill the space, and classes that each fill little of it (MCR2).

    Args:
        weight: of the term.
        epsilon: the paper's squared distortion.
        compress: whether each class's own rate counts against it.
        on: the rows: new, old or batch.

    Source: Yu et al., NeurIPS 2020
    """
    return weight * CodingRate(epsilon, compress, on=on)
