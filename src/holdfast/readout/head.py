"""The learner's own head as the readout."""

from jaxtyping import Float
from torch import Tensor

from holdfast.learner.learner import Output
from holdfast.readout.readout import Readout


class Head(Readout):
    """argmax of the trained logits; nothing is stored."""

    name = "head"

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """The logits."""
        return out.logits
