"""An anchor: inputs that the past network found alike must stay alike."""

from torch import Tensor
from torch.nn.functional import normalize

from holdfast import Part, Step
from holdfast.loss import Term


class SimilarityDistillation(Term):
    """mean_ij (s_ij - s*_ij)^2, s the cosines of the features of all pairs in the batch.

    The features may turn as a whole: only their angles are held.

    Source: after Tung and Mori, *Similarity-preserving knowledge distillation*, ICCV 2019
    """

    label = "similarity"
    reads = ("features",)
    needs_past = True  # the past network is kept, and the term is 0 until there is one

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's pairs."""
        now, past = (normalize(out.features, dim=1) for out in (part.out, part.past))
        return (now @ now.T - past @ past.T).square().mean()
