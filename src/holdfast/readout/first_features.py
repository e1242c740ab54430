"""FirstFeatures: a readout that is given the first k features alone, as nested dropout orders them."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.readout.contexts import ChangedContext, FitContext
from holdfast.readout.readout import Readout, build_readout, register
from holdfast.statistics.deviations import AGAIN


def cut(out: Output, width: int) -> Output:
    """An output with the first features alone; everything else stays."""
    return out._replace(features=out.features[:, :width])


@register("first-features")
class FirstFeatures(Readout):
    """Another readout of h_1, ..., h_k: what `NestedDropout` trains them for, and no more numbers are kept.

    `holdfast.loss.accuracy_by_width` says how many are enough. Fewer features than k are all of them.

    Args:
        of: the readout.
        width: k.

    Raises:
        ConfigError: for k below 1, or a readout of anything but the features, of images or of the head.

    Source: Rippel et al., *Learning ordered representations with nested dropout*, ICML 2014;
        docs/theory.md, section 20
    """

    label = "first-features"

    def __init__(self, of: str = "gaussian", width: int = 64):
        super().__init__()
        if width < 1:
            raise ConfigError(f"first-features needs a width of at least 1, not {width}.")
        inner = build_readout(of)
        if inner.on != "features" or inner.needs_head or inner.uses_images or inner.needs_states:
            raise ConfigError(
                f"first-features cannot cut what {of} reads: use one of the features and their "
                "statistics, such as gaussian, ridge or mean."
            )
        self.of, self.width, self.inner = of, width, inner
        self.needs_past, self.weighs = inner.needs_past, inner.weighs

    @property
    def calibrated(self) -> bool:
        """Whether the inner readout is."""
        return self.inner.calibrated

    def fit(self, context: FitContext) -> None:
        """Let the inner readout take in the task, cut."""
        self.inner.fit(ChangedContext(context, lambda out: cut(out, self.width)))
        self.residuals[:], self.forecasts[:] = self.inner.residuals, self.inner.forecasts

    def forget(self, out: Output, y: Int[Tensor, " n"], slack: float = AGAIN) -> dict[str, str]:
        """Let the inner readout go on without rows. See `Readout.forget`."""
        return self.inner.forget(cut(out, self.width), y, slack)

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) of the inner readout, by its temperature."""
        return self.inner.scores(cut(out, self.width)) / self.inner.temperature

    def strange(self, out: Output) -> Float[Tensor, " n"]:
        """(N,) as the inner readout has it."""
        return self.inner.strange(cut(out, self.width))

    def select(self, out: Output) -> Float[Tensor, "n f"]:
        """All features: the export cuts them itself."""
        return out.features

    def network(self, width: int) -> nn.Module | None:
        """The cut and the inner network; None if that has none."""
        inner = self.inner.network(min(width, self.width))
        if inner is None or type(self.inner).select is not Readout.select:
            return None
        return CutNetwork(inner, self.width, self.inner.temperature)


class CutNetwork(nn.Module):
    """Scores of the first k features.

    Args:
        network: that gives them.
        width: k.
        temperature: they are divided by it.
    """

    def __init__(self, network: nn.Module, width: int, temperature: float):
        super().__init__()
        self.network, self.width, self.temperature = network, width, temperature

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, f) to (N, K)."""
        return self.network(x[:, : self.width]) / self.temperature
