"""Where the figures of a run go while it learns, beside its own folder: TensorBoard, MLflow, W&B, yours.

A sink is a small class under ``@register("name")``, here or in a package of your own; it is then in
``holdfast run --log name`` and `Logs`. One that fails never stops a run.
"""

from holdfast.log.logs import Logs
from holdfast.log.sink import LOGS, About, Sink, ready, register
from holdfast.log.tensorboard import TensorBoard
from holdfast.log.to_mlflow import MLflow
from holdfast.log.to_wandb import WeightsAndBiases

__all__ = [
    "LOGS",
    "About",
    "Logs",
    "MLflow",
    "Sink",
    "TensorBoard",
    "WeightsAndBiases",
    "ready",
    "register",
]
