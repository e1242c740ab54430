"""Evidence that is taken away: which directions, what is left, and what must not move."""

import copy

import pytest
import torch
from torch.testing import assert_close

from holdfast.anchor import Rule
from holdfast.anchor.unlearn import ForgetEvidence, evidence, unlearn_rows
from holdfast.core.errors import ConfigError
from holdfast.core.output import Output, outputs
from holdfast.core.rows import Rows
from holdfast.learner import Learner
from holdfast.metrics.subspace import overlap
from holdfast.testing import check_term
from holdfast.testing.bench import Bench


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Linear(Learner):
    """Features that are a linear map of the inputs."""

    def __init__(self, wide=9, features=6):
        torch.nn.Module.__init__(self)
        self.layer = torch.nn.Linear(wide, features, bias=False)

    def forward(self, x):
        h = self.layer(x)
        return Output(h, h, h)


class Keep(Rule):
    """Updates kept out of the span of some inputs."""

    def __init__(self, inputs):
        super().__init__()
        _, size, v = torch.linalg.svd(inputs.double(), full_matrices=False)
        self.basis = v[size > 1e-6 * size.max()]

    def update(self, delta, step):
        basis = self.basis.to(delta["layer.weight"])
        return {name: d - d @ basis.T @ basis for name, d in delta.items()}


def table(x, y):
    return Rows(x, y, torch.zeros_like(y), torch.arange(len(y)))


def test_evidence_is_what_no_retained_mean_has():
    retained, forgotten = normal(3, 8), normal(2, 8, seed=1)
    u, share = evidence(retained, forgotten)
    assert u.shape == (8, 2)
    assert_close(u.T @ u, torch.eye(2).double(), atol=1e-12, rtol=0)
    assert_close(retained @ u, torch.zeros(3, 2).double(), atol=1e-12, rtol=0)
    both = torch.linalg.matrix_rank(torch.cat([retained, forgotten, u.T]))
    assert int(both) == 5  # nothing beside the two spans
    q, a = (torch.linalg.qr(m.T)[0] for m in (retained, forgotten))
    assert share == pytest.approx(overlap(q, a).value)


def test_classes_that_lie_among_the_retained_ones_are_refused():
    retained = normal(3, 8)
    inside = retained[:1] + retained[1:2] + 0.1 * normal(1, 8, seed=3)
    assert evidence(retained, inside, most=1.0).overlap > 0.9
    with pytest.raises(
        ConfigError, match=r"overlap with the retained ones by \d\.\d\d, more than 0\.9"
    ):
        evidence(retained, inside)
    with pytest.raises(ConfigError, match="give both"):
        evidence(retained[:0], inside)


def test_what_was_unlearned_has_no_evidence_and_retained_answers_stay():
    torch.manual_seed(0)
    network = Linear()
    kept_x = torch.randn(40, 3) @ torch.randn(3, 9)  # retained inputs use three directions
    kept_y = torch.arange(2).repeat(20)
    kept_x[kept_y == 1] += kept_x[0]
    rows = 2 * torch.linalg.qr(torch.randn(9, 4))[0].T  # no more than the directions that are free
    gone = table(rows, torch.full((4,), 2))
    h = network(kept_x).features.detach()
    means = {k: h[kept_y == k].mean(0) for k in range(2)}
    means[2] = network(gone.x).features.detach().mean(0)
    term, free = ForgetEvidence(gone), copy.deepcopy(network)
    values = unlearn_rows(network, term, means, steps=600, lr=0.5, rules=[Keep(kept_x)])
    assert values[0] > 0.01
    left = network(gone.x).features.detach() @ term.directions.float()
    assert float(left.abs().max()) < 1e-3
    assert_close(network(kept_x).features.detach(), h, atol=1e-5, rtol=0)
    unlearn_rows(free, ForgetEvidence(gone), means, steps=100, lr=0.5)
    moved = (free(kept_x).features.detach() - h).abs().max()
    assert float(moved) > 0.02  # without the rule


def test_the_term_is_the_mean_square_along_the_directions():
    bench = Bench()
    rows = bench.stream[0].train[bench.stream[0].train.y == 1]
    term = ForgetEvidence(rows)
    step = bench.step(None, extra_rows=term.extra_rows)
    assert float(term(step).detach()) == 0  # nothing was learned yet
    term.consolidate(bench.past, bench.stream[0])
    term.begin(bench.learner.eval(), bench.task)
    u = term.directions.double()
    h = step["given"].out.features.detach().double()
    slow = sum(sum(float(row @ u[:, j]) ** 2 for j in range(u.shape[1])) for row in h) / len(h)
    assert u.shape[1] == 1 and float(term(step).detach()) == pytest.approx(slow, rel=1e-4)
    train = bench.stream[0].train
    mean = outputs(bench.past, train[train.y == 0]).features.double().mean(0)
    assert float((mean @ u).abs()) < 1e-6 * float(mean.norm())


def test_a_network_that_learned_one_of_the_classes_alone_cannot_unlearn_it():
    network, gone = Linear(), table(torch.randn(4, 9), torch.tensor([2, 2, 2, 2]))
    for means in ({2: torch.ones(6)}, {0: torch.ones(6)}):
        with pytest.raises(ConfigError, match="give the means of both"):
            unlearn_rows(network, ForgetEvidence(gone), means)
    with pytest.raises(ConfigError, match="nothing to forget"):
        ForgetEvidence(gone[slice(0, 0)])


def test_it_obeys_the_laws_of_a_term():
    train = Bench().stream[0].train
    check_term(ForgetEvidence(train[train.y == 1][slice(0, 5)], most=0.9999))
