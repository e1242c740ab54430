"""What is measured."""

from holdfast.metrics.accuracy import Accuracy, accuracies, right_task
from holdfast.metrics.between_classes import invasion, nearer, separation, silhouette
from holdfast.metrics.calibration import (
    adaptive_ece,
    brier,
    calibration_figures,
    ece_floor,
    expected_calibration_error,
    fit_temperature,
    nll,
)
from holdfast.metrics.collapse import (
    cdnv,
    collapse_gap,
    equinorm,
    nc1,
    nc1_quotient,
    nc2,
    nc3,
    nc4,
    prototype_alignment,
)
from holdfast.metrics.conformal import (
    class_thresholds,
    conformal_sets,
    conformal_threshold,
    coverage,
    mean_size,
    next_alpha,
)
from holdfast.metrics.dimension import effective_rank, participation_ratio, two_nn
from holdfast.metrics.funnel import gaussian_kl, narrowest, sliced_w1
from holdfast.metrics.missing import Missing, reason_of
from holdfast.metrics.openset import (
    auroc,
    average_precision,
    fpr_at_known95,
    fpr_at_unknown95,
    openset_figures,
    oscr,
)
from holdfast.metrics.residual import Planes, task_residuals
from holdfast.metrics.shift import class_spread, domain_divergence, domain_odds
from holdfast.metrics.similarity import (
    aligned_similarity,
    cca,
    cka,
    mean_drift,
    procrustes,
    retrieval,
)
from holdfast.metrics.stability import distance_drift, rotated, shesha, spearman
from holdfast.metrics.subspace import frozen_part, frozen_share, left_basis, overlap
from holdfast.metrics.transport import monge_gap

__all__ = [
    "Accuracy",
    "Missing",
    "Planes",
    "accuracies",
    "adaptive_ece",
    "aligned_similarity",
    "auroc",
    "average_precision",
    "brier",
    "calibration_figures",
    "cca",
    "cdnv",
    "cka",
    "class_spread",
    "class_thresholds",
    "collapse_gap",
    "conformal_sets",
    "conformal_threshold",
    "coverage",
    "distance_drift",
    "domain_divergence",
    "domain_odds",
    "ece_floor",
    "effective_rank",
    "equinorm",
    "expected_calibration_error",
    "fit_temperature",
    "fpr_at_known95",
    "fpr_at_unknown95",
    "frozen_part",
    "frozen_share",
    "gaussian_kl",
    "invasion",
    "left_basis",
    "mean_drift",
    "mean_size",
    "monge_gap",
    "narrowest",
    "nc1",
    "nc1_quotient",
    "nc2",
    "nc3",
    "nc4",
    "nearer",
    "next_alpha",
    "nll",
    "openset_figures",
    "oscr",
    "overlap",
    "participation_ratio",
    "procrustes",
    "prototype_alignment",
    "reason_of",
    "retrieval",
    "right_task",
    "rotated",
    "separation",
    "shesha",
    "silhouette",
    "sliced_w1",
    "spearman",
    "task_residuals",
    "two_nn",
]
