"""A recipe: a function whose parameters are the command line's."""

from holdfast import Method
from holdfast.loss import CrossEntropy
from holdfast_example.anchor import SimilarityDistillation
from holdfast_example.readout import Centroid


def similar(weight: float = 10.0) -> Method:
    """Cross-entropy, held fast by the similarities of the inputs, read by class means.

    Args:
        weight: of the similarities.

    Source: the example of holdfast's documentation
    """
    anchors = [weight * SimilarityDistillation()]
    return Method(CrossEntropy("new"), anchors, readout=Centroid())
