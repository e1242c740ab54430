"""The commands on a model as functions: learn, load, predict, evaluate, remove, forget, merge."""

from holdfast.api.answers import Answer
from holdfast.api.models import Evaluation, Model, load
from holdfast.api.updates import Release, learn, merge

__all__ = ["Answer", "Evaluation", "Model", "Release", "learn", "load", "merge"]
