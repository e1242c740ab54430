"""Every figure of a diagnosis: what it is, which way is better, and whether it needs old images."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """What a figure is.

    Attributes:
        title: in a few words.
        unit: of the stored number.
        better: ``up``, ``down`` or ``none``.
        section: of docs/theory.md.
        old_images: whether it looks at images of old classes: a diagnosis, never a score.
        main: whether the short table shows it.
    """

    title: str
    unit: str
    better: str
    section: str
    old_images: bool = True
    main: bool = False

    def to_data(self) -> dict[str, object]:
        """As diagnostics.json has it."""
        kept = ("title", "unit", "better", "section", "old_images")
        return {name: value for name, value in asdict(self).items() if name in kept}


NO = False  # needs no old image
MAIN = True
COLLAPSE = {
    "nc1": Figure("NC1, within over between", "", "down", "15.1", main=MAIN),
    "nc1_new": Figure("NC1 of the new task", "", "down", "15.1", NO),
    "nc1_old": Figure("NC1 of the old tasks, now", "", "down", "15.1", main=MAIN),
    "nc1_old_then": Figure("NC1 of the old tasks, when learned", "", "down", "15.1", main=MAIN),
    "cdnv": Figure("CDNV of pairs of classes", "", "down", "15.1"),
    "nc2": Figure("NC2, class means from a simplex", "", "down", "15.1", main=MAIN),
    "equinorm": Figure("lengths of class means, sd / mean", "", "down", "15.1"),
    "nc3": Figure("NC3, head or prototypes against means", "", "down", "15.1"),
    "nc4": Figure("NC4, decides as the nearest mean", "share", "up", "15.1"),
    "alignment": Figure("cosine of class mean and prototype", "", "up", "15.1", main=MAIN),
    "nc2_bank": Figure("NC2 of the prototypes", "", "down", "15.1", NO),
    "collapse_gap": Figure("collapse of embedding less features", "", "none", "15.1"),
}
BETWEEN = {
    "separation": Figure("nearest old and new class, in spreads", "", "up", "15.2"),
    "separation_median": Figure("old to new classes, in spreads", "", "up", "15.2", main=MAIN),
    "new_into_old": Figure("new rows nearer an old class", "share", "down", "15.2"),
    "old_into_new": Figure("old rows nearer a new class", "share", "down", "15.2"),
    "invasion": Figure("invasion old-new, by pairs", "share", "down", "15.2", main=MAIN),
    "confusion_new": Figure("confusion new-new, by pairs", "share", "down", "15.2", NO, MAIN),
    "silhouette": Figure("silhouette of the classes", "", "up", "15.2", main=MAIN),
}
KNOWS = {
    "accuracy_old": Figure("(a) accuracy on old tasks", "share", "up", "15.3", main=MAIN),
    "probe_old": Figure("(b) probe of this network, old tasks", "share", "up", "15.3", main=MAIN),
    "probe_then": Figure("(c) probe of the network then", "share", "up", "15.3", main=MAIN),
    "representation_forgetting": Figure(
        "lost by the representation, c - b", "share", "down", "15.3"
    ),
    "readout_forgetting": Figure("lost by the readout, b - a", "share", "down", "15.3"),
}
MOVED = {
    "mean_drift": Figure("drift of the mean, in spreads", "", "down", "15.4", main=MAIN),
    "cka": Figure("CKA with the network then, unbiased", "", "up", "15.4", main=MAIN),
    "map_residual": Figure("left by the best linear map", "share", "down", "15.4"),
    "retrieval": Figure("rows that find their old feature", "share", "up", "15.4", main=MAIN),
    "procrustes": Figure("Procrustes with the last network", "", "up", "15.4"),
    "svcca": Figure("SVCCA with the last network", "", "up", "15.4"),
    "aligned_cka": Figure("CKA after alignment", "", "up", "15.4"),
    "aligned_retrieval": Figure("retrieval after alignment", "share", "up", "15.4"),
    "distance_drift": Figure("order of distances, 1 - rank corr.", "", "down", "15.4"),
    "monge_gap": Figure("movement that a cheaper one would do", "share", "none", "15.4"),
}
DIMENSION = {
    "participation": Figure("dimensions in use, participation", "", "none", "15.5", main=MAIN),
    "effective_rank": Figure("effective rank", "", "none", "15.5"),
    "participation_means": Figure("dimensions of the class means", "", "up", "15.5"),
    "two_nn": Figure("intrinsic dimension, TwoNN", "", "none", "15.5", main=MAIN),
    "shesha": Figure("Shesha, halves of features agree", "", "none", "15.5"),
    "shesha_rotated": Figure("Shesha after a random rotation", "", "none", "15.5"),
}
STAGES = {
    "collapse_gap_first": Figure("collapse of the first stage less features", "", "none", "15.9"),
    "collapse_slope": Figure("collapse from stage to stage, log slope", "", "down", "15.9"),
    "stage_gap_first": Figure("training and test rows apart, first stage", "", "down", "15.9", NO),
    "stage_gap_last": Figure("training and test rows apart, last stage", "", "down", "15.9", NO),
    "funnel": Figure("stage at which they part least", "stage", "none", "15.9", NO),
    "funnel_sure": Figure("draws of the rows with the same stage", "share", "none", "15.9", NO),
}
WEIGHTS = {
    "stationarity": Figure("slope over its noise (about 1: done)", "", "none", "15.6", NO, MAIN),
    "moved": Figure("length of the move / of the weights", "", "none", "15.6", NO),
    "moved_over_radius": Figure("move over the quadratic's radius", "", "down", "15.6", main=MAIN),
    "linear_term": Figure("linear over quadratic term of the move", "", "down", "15.6"),
    "anchor_gap": Figure("prior against distillation, their pull", "", "down", "15.6"),
    "sharpness": Figure("largest eigenvalue of the Hessian", "", "none", "15.6", NO, MAIN),
    "sharpness_trace": Figure("trace of the Hessian", "", "none", "15.6", NO),
    "sharpness_trace_error": Figure("its standard error", "", "none", "15.6", NO),
    "sharpness_scaled": Figure("trace of H diag(w^2)", "", "none", "15.6", NO),
    "overlap": Figure("this update in the last one's space", "share", "none", "15.6", NO),
    "overlap_corrected": Figure("the same beyond chance", "", "none", "15.6", NO),
    "frozen_share": Figure("directions that this task cannot move", "share", "none", "15.6", NO),
}
KEPT = {
    "plasticity": Figure("plasticity, mean accuracy when learned", "share", "up", "15.7"),
    "stability": Figure("stability, 1 - F / P", "share", "up", "15.7"),
    "forgetting": Figure("forgetting F, Class-IL", "share", "down", "15.7"),
    "forgetting_task_il": Figure("forgetting F, Task-IL", "share", "down", "15.7", main=MAIN),
    "intransigence": Figure("intransigence I, Task-IL", "share", "down", "15.7"),
}
GROUPS: dict[str, dict[str, Figure]] = {
    "collapse": COLLAPSE,
    "old against new": BETWEEN,
    "what it still knows": KNOWS,
    "how far it moved": MOVED,
    "dimensions": DIMENSION,
    "stages": STAGES,
    "weights": WEIGHTS,
    "kept and learned": KEPT,
}
FIGURES: dict[str, Figure] = {name: f for group in GROUPS.values() for name, f in group.items()}
