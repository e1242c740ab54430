"""Every study of runs, imported so that it is registered."""

from holdfast.study.ablations import ablation
from holdfast.study.frames import drift
from holdfast.study.mixtures import hsd
from holdfast.study.old_classes import replay
from holdfast.study.schedules import schedule
from holdfast.study.teachers import teacher
from holdfast.study.temperatures import temperature

__all__ = ["ablation", "drift", "hsd", "replay", "schedule", "teacher", "temperature"]
