"""Every study of runs, imported so that it is registered."""

from holdfast.study.ablation import ablation
from holdfast.study.drift import drift
from holdfast.study.hsd import hsd
from holdfast.study.replay import replay
from holdfast.study.schedules import schedule
from holdfast.study.teacher import teacher
from holdfast.study.temperature import temperature

__all__ = ["ablation", "drift", "hsd", "replay", "schedule", "teacher", "temperature"]
