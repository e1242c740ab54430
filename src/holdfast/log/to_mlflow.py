"""MLflow: a run of an experiment, wherever MLflow keeps them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from holdfast.log.sink import About, register

MOST = 100  # settings in one call
LONGEST = 500  # characters of a value


@register("mlflow")
class MLflow:
    """A run of an MLflow experiment, with the settings as its parameters; where: ``MLFLOW_TRACKING_URI``.

    A run that is resumed goes on in the same MLflow run.

    Args:
        about: the run.
        experiment: its name.
    """

    package = "mlflow"

    def __init__(self, about: About, experiment: str = "holdfast"):
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
        from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

        self._metric, self.client = Metric, MlflowClient()
        self.run = about.recall("mlflow")
        if self.run is not None:
            self.client.update_run(self.run, status="RUNNING")
            return
        known: Any = self.client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else self.client.create_experiment(experiment)
        self.run = str(self.client.create_run(number, run_name=about.name).info.run_id)
        about.remember("mlflow", self.run)
        values = [Param(_name(n), str(v)[:LONGEST]) for n, v in about.settings.items()]
        for start in range(0, len(values), MOST):
            self.client.log_batch(self.run, params=values[start : start + MOST])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        now = int(1000 * time.time())
        metrics = [self._metric(_name(n), float(v), now, step) for n, v in values.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def finish(self, status: str) -> None:
        """Say how the run ended."""
        self.client.set_terminated(self.run, "FINISHED" if status == "complete" else "KILLED")


def _name(name: str) -> str:
    """A name as MLflow allows it."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)
