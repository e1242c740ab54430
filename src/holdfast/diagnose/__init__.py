"""What a run's network is like inside, task by task: diagnoses on watched rows, never scores of a method"""

from holdfast.diagnose.catalogue import FIGURES, Figure
from holdfast.diagnose.diagnoser import Diagnoser, diagnose
from holdfast.diagnose.report import NAME, Diagnosis, read_diagnosis
from holdfast.diagnose.watched import Watched, watch

__all__ = [
    "FIGURES",
    "NAME",
    "Diagnoser",
    "Diagnosis",
    "Figure",
    "Watched",
    "diagnose",
    "read_diagnosis",
    "watch",
]
