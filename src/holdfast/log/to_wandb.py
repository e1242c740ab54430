"""Weights & Biases: a run of a project; offline where ``WANDB_MODE=offline`` says so."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.log.sink import About, register


@register("wandb")
class WeightsAndBiases:
    """A run of a W&B project, with the settings as its config; ``WANDB_MODE=offline`` keeps it here.

    A run that is resumed goes on in the same W&B run.

    Args:
        about: the run.
        project: its name.
    """

    package = "wandb"

    def __init__(self, about: About, project: str = "holdfast"):
        import wandb  # pyright: ignore[reportMissingImports]

        former = about.recall("wandb")
        self.run = wandb.init(
            project=project, name=about.name, config=dict(about.settings), dir=str(about.folder),
            id=former, resume="allow" if former else None, reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        about.remember("wandb", str(self.run.id))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        self.run.log(dict(values), step=step)

    def finish(self, status: str) -> None:
        """Say how the run ended."""
        self.run.summary["status"] = status
        self.run.finish(exit_code=0 if status == "complete" else 1)
