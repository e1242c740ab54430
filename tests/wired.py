"""One real step of a recipe, watched: what the terms saw and said, and the loss that was minimised."""

from dataclasses import dataclass
from unittest import mock

import torch

from holdfast.core.settings import Training
from holdfast.learner import outputs
from holdfast.recipes import make
from holdfast.testing import small_stream, vectors
from holdfast.testing.watched import QUICK
from holdfast.train import loop
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

EPOCHS = 3  # so that the step below is neither the first, where nothing has moved, nor the last


@dataclass
class Wired:
    """A step of the second task, in its second epoch.

    Attributes:
        method: whose.
        step: what the terms saw; its outputs are those that they saw.
        loss: the scalar that was minimised.
        first: the first task's training rows, by the network that had learned them: features and classes.
        frame: the prototypes then, if any.
        weights: by parameter name, before the step.
        centre: by parameter name, when the first task ended.
    """

    method: object
    step: object
    loss: float
    first: tuple
    frame: object
    weights: dict
    centre: dict

    @property
    def records(self):
        """What each term noted, by its label."""
        return {name: float(value) for name, value in self.step.records.items()}

    @property
    def batch(self):
        """Of the batch: learner's and past's outputs, classes and which rows are new, as lists."""
        part = self.step["batch"]
        new = (part.rows.task == self.step.task).tolist()
        past = part.past if part.teacher else None
        return part.out, past, part.rows.y.tolist(), new


def wire(recipe, each=4, preset=None, **parameters):
    """Learn a task and a half of clouds of vectors by a recipe, or a method."""
    method = make(recipe, preset, **parameters) if isinstance(recipe, str) else recipe
    training = Training(epochs=EPOCHS, batch=6, lr=0.05)
    stream = small_stream(vectors, each=each)
    work, seen = Run(method, stream, Setup(training, QUICK.network)), []
    first, centre = (), {}
    plain = loop.update

    def watched(core, trainer, step, finite):
        frame = core.method.frame
        frame = None if frame is None else frame.vectors.detach().clone()
        weights = {name: w.detach().clone() for name, w in core.learner.named_parameters()}
        loss = plain(core, trainer, step, finite)
        seen.append((step, float(loss.detach()), frame, weights))
        return loss

    with mock.patch.object(loop, "update", watched):
        for event in work.events():
            if isinstance(event, TaskDone):
                train = stream.tasks[0].train
                first = outputs(work.learner, train).features, train.y.tolist()
                weights = work.learner.named_parameters()
                centre = {name: w.detach().clone() for name, w in weights}
            if seen[-1][0].task == 1 and seen[-1][0].epoch == 1:
                break
    step, loss, frame, weights = seen[-1]
    return Wired(work.continual.method, step, loss, first, frame, weights, centre)


def rows(x):
    """A tensor as lists of double numbers."""
    return x.detach().double().tolist()


def close(a, b):
    """Of single precision: a wrong wire is far outside."""
    return torch.isclose(torch.tensor(a), torch.tensor(b), rtol=2e-4, atol=1e-6).item()
