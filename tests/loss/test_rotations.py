"""Quarter turns as classes of the first task."""

import torch
from torch.nn.functional import cross_entropy, linear
from torch.testing import assert_close

from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.loss import CrossEntropy, Rotations
from holdfast.recipes.method import Method
from holdfast.testing.bench import Bench
from holdfast.testing.watched import QUICK, learned
from holdfast.train.batch import turned
from holdfast.train.continual import Continual


def test_turned_rows_are_quarter_turns_in_order():
    x = torch.arange(8).view(2, 1, 2, 2).byte()
    rows = Rows(x, torch.tensor([4, 7]), torch.zeros(2).long(), torch.arange(2))
    table = turned(rows)
    assert table.y.tolist() == [4, 7] * 3 and table.key.tolist() == [0, 1] * 3
    assert table.extra["turn"].tolist() == [1, 1, 2, 2, 3, 3]
    assert torch.equal(table.x[0, 0], torch.tensor([[1, 3], [0, 2]]).byte())
    for row, quarters in enumerate([1, 1, 2, 2, 3, 3]):
        assert torch.equal(table.x[row, 0], torch.rot90(x[row % 2, 0], quarters))


def test_its_value_is_the_cross_entropy_of_classes_by_turns():
    bench, term = Bench(), Rotations()
    task = bench.stream[0]
    assert not term.turns
    term.begin(bench.learner, task)
    assert term.turns and term.weight.shape == (8, bench.learner.backbone.features)
    rows = task.train[slice(None, None, 5)].with_x(task.train.x[::5] / 255.0)
    parts = {"batch": rows, "turned": turned(rows)}
    step = Step(parts, bench.learner, classes=(1, 0), seen=(0, 1))
    out = [step[name].out.features for name in parts]
    y = torch.cat([4 * rows.y, *(4 * rows.y + turn for turn in (1, 2, 3))])
    logits = linear(torch.cat(out), term.weight, term.bias)
    assert_close(term(step), cross_entropy(logits, y))
    assert float(term(Step({"batch": rows}, bench.learner, classes=(0, 1), seen=(0, 1)))) == 0
    term.consolidate(bench.learner, task)
    assert not term.turns and not list(term.parameters())


def test_a_head_goes_into_a_fresh_term():
    bench, term, fresh = Bench(), Rotations(), Rotations()
    term.begin(bench.learner, bench.stream[0])
    fresh.load_state_dict(term.state_dict())
    assert torch.equal(fresh.weight, term.weight) and fresh.turns
    fresh.load_state_dict({})
    assert not fresh.turns


def test_the_first_task_alone_is_turned_and_only_square_images(tiny_stream, vector_stream):
    seen = []

    class Watching(CrossEntropy):
        def value(self, part, step):
            turned = step.find("turned")
            seen.append((step.task, None if turned is None else len(turned) / len(part)))
            return super().value(part, step)

    method = Method(Watching("new"), [Rotations()])
    learned(method, tiny_stream, QUICK.updated(epochs=1))
    assert {(task, share) for task, share in seen} == {(0, 3.0), (1, None), (2, None)}
    seen.clear()
    learned(method, vector_stream, QUICK.updated(epochs=1))
    assert {share for _, share in seen} == {None}


def test_it_trains_the_backbone_and_its_head_and_not_the_networks_head(tiny_stream):
    core = Continual(Method(CrossEntropy("new"), [Rotations()]), tiny_stream.shape, QUICK, 6)
    next(iter(core.epochs(tiny_stream[0])))
    term = core.method.terms[1]
    rows = tiny_stream[0].train[slice(None, None, 5)].with_x(tiny_stream[0].train.x[::5] / 255.0)
    core.learner.zero_grad()
    term.zero_grad()
    parts = {"batch": rows, "turned": turned(rows)}
    term(Step(parts, core.learner, classes=(0, 1), seen=(0, 1))).backward()
    moving = {n.split(".")[0] for n, p in core.learner.named_parameters() if p.grad is not None}
    assert moving == {"backbone"} and all(bool(p.grad.any()) for p in term.parameters())
