"""Parts for holdfast from a package of their own; importing it registers nothing by itself."""

from holdfast_example.anchor import SimilarityDistillation
from holdfast_example.backbone import Patches
from holdfast_example.log import Lines
from holdfast_example.readout import Centroid
from holdfast_example.recipe import similar
from holdfast_example.source import spots

__all__ = ["Centroid", "Lines", "Patches", "SimilarityDistillation", "similar", "spots"]
