"""The commands on a model as functions: learn, load, predict, evaluate, remove, merge."""

from holdfast.api.models import Answer, Evaluation, Model, load
from holdfast.api.updates import Release, learn, merge

__all__ = ["Answer", "Evaluation", "Model", "Release", "learn", "load", "merge"]
