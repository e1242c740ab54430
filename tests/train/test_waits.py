"""A step of training asks the device for nothing: counted on the CPU, for every recipe."""

import copy

import pytest
import torch

from every_recipe import STEPPING
from holdfast.core import constants
from holdfast.core.errors import DivergedError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.loss import CrossEntropy, Term
from holdfast.recipes.method import Method
from holdfast.stream.task import Task
from holdfast.testing import counting_waits, small_stream
from holdfast.testing.watched import QUICK
from holdfast.train import records
from holdfast.train.events import Epoch
from holdfast.train.loop import NewRows
from holdfast.train.runner import run
from second_task import counted_in_second_task

OPTIONS = (
    "er:forward=split", "derpp:classes=seen", "lwf_strict:rehearse=3:decide=head", "si:step=proximal",
    "ewc:step=proximal:classes=new", "fnc2_strict:uniform=0.5", "fnc2:support=old",
    "lwf:divergence=jensen_shannon", "kfac_laplace:classes=new",
)  # fmt: skip
LISTED = [0, 2]


@pytest.fixture
def accelerator(monkeypatch):
    """Losses are read as on a device that would have to wait."""
    monkeypatch.setattr(records, "reading_interval", lambda device: 1000)


@pytest.mark.parametrize("recipe", [*STEPPING, *OPTIONS])
def test_more_steps_do_not_wait_more(recipe, accelerator):
    few, many = (
        counted_in_second_task(recipe, batch, counting_waits, lr=0.01) for batch in (10, 5)
    )
    more = {where: n - few[where] for where, n in many.items() if n > few[where]}
    assert more == {}


WAITING = {
    "a number": lambda x, mask, index: float(x.sum()),
    "a decision": lambda x, mask, index: bool(mask.any()),
    "a list": lambda x, mask, index: x.tolist(),
    "places": lambda x, mask, index: mask.nonzero(),
    "a mask as an index": lambda x, mask, index: x[mask],
    "writing under a mask": lambda x, mask, index: x.clone().index_put_((mask,), x[:1]),
    "different values": lambda x, mask, index: x.unique(),
    "a list as an index": lambda x, mask, index: x[LISTED],
    "a new tensor": lambda x, mask, index: x.new_tensor([1.0]),
}
QUEUED = {
    "an index": lambda x, mask, index: x[index],
    "a mask as numbers": lambda x, mask, index: x.masked_fill(mask, 0.0).sum(),
    "a slice": lambda x, mask, index: x[1:] * 2,
    "places from the device": lambda x, mask, index: torch.arange(3) + index.sum(),
}


@pytest.mark.parametrize("ask", WAITING.values(), ids=WAITING)
def test_what_waits_is_counted(ask):
    x = torch.rand(3)
    mask, index = x > 0.5, torch.tensor(LISTED)
    with counting_waits() as waits:
        ask(x, mask, index)
    assert sum(waits.values()) >= 1


@pytest.mark.parametrize("ask", QUEUED.values(), ids=QUEUED)
def test_what_does_not_wait_is_not_counted(ask):
    x = torch.rand(3)
    mask, index = x > 0.5, torch.tensor(LISTED)
    with counting_waits() as waits:
        ask(x, mask, index)
    assert waits == {}


def test_the_gradient_of_a_mask_is_counted():
    x = torch.rand(4, requires_grad=True)
    total = x[x.detach() < 2].sum()
    with counting_waits() as waits:
        total.backward()
    assert sum(waits.values()) == 1


class Breaking(Term):
    """Infinite from a step of the second task on."""

    label = "breaking"

    def __init__(self, step=2):
        super().__init__()
        self.step, self.count = step, 0

    def begin(self, learner, task):
        self.count = 0

    def value(self, part, step):
        self.count += step.task == 1
        return part.out.logits.mean() * (float("inf") if self.count > self.step else 0.0)


@pytest.mark.parametrize("every", [1, 2, 1000])
def test_a_loss_that_is_read_late_is_named_and_no_epoch_is_told(every, monkeypatch):
    monkeypatch.setattr(records, "reading_interval", lambda device: every)
    events, method = [], Method(CrossEntropy(), [Breaking()])
    expected = r"^the loss term breaking became (inf|-inf|nan) in task 2, epoch 1 of 2: lower --lr"
    with pytest.raises(DivergedError, match=expected):
        run(method, small_stream(), QUICK.updated(batch=4), watch=events.append)
    assert [e.task for e in events if isinstance(e, Epoch)] == [0, 0]


class Steep(Term):
    """Worth 0, with a slope that no weight survives."""

    label, reads = "steep", ("logits",)

    def value(self, part, step):
        z = part.out.logits.mean()
        return (z - z.detach()) * 3e38 * 3e38


def test_weights_that_an_epoch_broke_are_told_before_the_epoch():
    """The loss of the last step was finite: a checkpoint of this epoch would hold what it broke."""
    events = []
    with pytest.raises(DivergedError, match="not finite after an update of task 1"):
        run(Method(Steep()), small_stream(), QUICK.updated(batch=1000), watch=events.append)
    assert events == []


def test_a_watch_is_read_when_it_is_time():
    watch = records.FiniteWatch(torch.device("cuda"))
    y = torch.zeros(1, dtype=torch.long)
    step = Step({"batch": Rows(torch.zeros(1, 1), y, y, y)}, lambda x: x)
    for _ in range(watch.every - 1):
        watch.add(torch.tensor(float("nan")), step)
    with pytest.raises(DivergedError, match="the loss term sum became nan"):
        watch.add(torch.tensor(0.0), step)
    assert records.FiniteWatch(torch.device("cpu")).every == 1


@pytest.mark.parametrize("old", [0, 5])
def test_new_rows_are_where_they_are(old):
    task = torch.cat([torch.full((12,), 2), torch.arange(old) % 2])
    pool = Rows(torch.zeros(len(task), 1), task, task, torch.arange(len(task)))
    order = torch.randperm(len(task), generator=torch.Generator().manual_seed(0))
    pieces = order.tensor_split(4)
    places = NewRows(pool, Task(2, (0,), pool, pool)).places(pieces)
    for piece, at in zip(pieces, places, strict=True):
        assert at.tolist() == [i for i, row in enumerate(piece.tolist()) if task[row] == 2]


def test_constants_are_made_once_and_serve_gradients():
    one = constants.class_index([3, 1], torch.device("cpu"))
    assert constants.class_index((3, 1), torch.device("cpu")) is one and one.tolist() == [3, 1]
    constants._made_once.cache_clear()
    with torch.inference_mode():
        half = constants.constant((0.5, 2.0), torch.zeros(1))
    x = torch.ones(2, requires_grad=True)
    (x * half).sum().backward()
    assert torch.equal(x.grad, half) and copy.copy(half).dtype == torch.float32
