"""A new anchor in a few lines: keep the features of the current inputs where the past had them."""

from torch import Tensor

from holdfast import Method, Part, Setup, Step, run, stream
from holdfast.learner import Frame
from holdfast.loss import FocalCollapse, Term


class FeatureDistillation(Term):
    """mean_i || h(x_i) - h*(x_i) ||^2 / f: the plainest function anchor there is."""

    label = "feature_distillation"
    reads = ("features",)  # it needs no head
    needs_past = True  # the loop keeps the past network, and the term is 0 until there is one

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean squared movement of the part's features."""
        return (part.out.features - part.past.features).square().mean()


def fnc2_with_features(weight: float = 1.0) -> Method:
    """FNC2 held fast by feature distillation alone."""
    anchors = [weight * FeatureDistillation()]
    return Method(FocalCollapse(Frame(), tau=0.5), anchors, name="fnc2_features")


digits = stream.make_stream(stream.limit(stream.digits(), per_class=40), tasks=5)
for weight in (0.0, 10.0):
    result = run(fnc2_with_features(weight), digits, Setup.of("fnc2", "quick", epochs=10))
    print(f"weight {weight:4}: Class-IL {result.class_il.final:.3f}, protocol {result.protocol}")
