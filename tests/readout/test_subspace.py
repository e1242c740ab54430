"""Subspace: planes of classes from statistics, whatever these keep of a scatter."""

import pytest
import torch
from torch.testing import assert_close

from clouds import EVEN, UNEVEN, by_class, clouds, normal, said
from holdfast.core.errors import ConfigError
from holdfast.readout import Subspace, build_readout
from holdfast.statistics import Statistics, class_spectrum
from reference_heads import subspace_scores

TEST = clouds((2,) * 4, seed=1)[0]


@pytest.mark.parametrize("structure", ["low_rank", "full", "factor"])
@pytest.mark.parametrize("dimensions, centre", [(1, False), (2, True), (3, False)])
def test_it_is_its_twin(fitted, structure, dimensions, centre):
    x, y = clouds(EVEN)
    readout = Subspace("features", dimensions, centre, structure, rank=5)
    found = fitted(readout, *by_class(x, y)).scores(said(TEST))
    twin = subspace_scores(x.tolist(), y.tolist(), TEST.tolist(), dimensions, centre)
    assert_close(found.double(), torch.tensor(twin).double(), rtol=1e-4, atol=1e-5)


def test_one_dimension_about_zero_of_tight_classes_is_the_cosine_without_its_sign(fitted):
    means = normal(0, 3, 5)
    y = torch.arange(3).repeat_interleave(6)
    x = (means[y] + 1e-5 * normal(1, 18, 5)).float()
    readout = fitted(Subspace("features", 1, False), (x, y))
    cosine = torch.nn.functional.normalize(TEST.double()) @ torch.nn.functional.normalize(means).T
    assert_close(readout.scores(said(TEST)).double(), cosine.abs(), rtol=1e-3, atol=1e-3)
    assert torch.equal(readout.scores(said(-TEST)), readout.scores(said(TEST)))


def test_tasks_in_any_order_are_the_same_where_no_direction_is_cut(fitted):
    x, y = clouds(UNEVEN)
    a = fitted(Subspace("features", 2, rank=5), (x, y))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    b = fitted(Subspace("features", 2, rank=5), (x[order], y[order]))
    assert_close(a.scores(said(TEST)), b.scores(said(TEST)), rtol=1e-4, atol=1e-5)


def test_planes_turn_with_the_features(fitted, task, identity):
    """A rotation between tasks is a drift map: the planes follow, and stay orthonormal."""
    x, y = clouds(EVEN)
    readout = fitted(Subspace("features", 2, structure="full"), (x, y))
    turn = torch.linalg.qr(normal(3, 5, 5))[0]
    before = readout.decision.frames
    readout.tracker.statistics = Statistics(
        readout.known.count, readout.known.mean @ turn, readout.known.scatter.moved(turn)
    )
    readout.forget_decision()
    after = readout.decision.frames
    for a, b in zip(before @ turn, after):
        assert_close(a.T @ a, b.T @ b)
        assert_close(b @ b.T, torch.eye(2).double())


def test_the_dimensions_are_those_by_which_most_rows_held_out_are_right(fitted):
    generator = torch.Generator().manual_seed(4)
    planes = [torch.linalg.qr(normal(s, 12, 2))[0] for s in range(3)]
    y = torch.arange(3).repeat_interleave(60)
    x = torch.cat([torch.randn(60, 2, generator=generator).double() @ p.T for p in planes])
    x = x + 0.05 * normal(9, 180, 12)
    readout = fitted(Subspace("features", centre=False), (x.float(), y))
    assert readout.chosen == 2
    assert fitted(Subspace("features", 1), (x.float(), y)).chosen == 1


@pytest.mark.parametrize("novelty", ["angle", "residual"])
def test_its_networks_are_what_it_says(fitted, novelty):
    x, y = clouds(EVEN)
    tasks = [(x[y == c], y[y == c]) for c in (0, 2, 3)]
    readout = fitted(Subspace("features", 2, novelty=novelty), *tasks)
    out = said(TEST)
    assert_close(readout.network(5)(TEST), readout.scores(out), rtol=1e-4, atol=1e-5)
    strange = readout.strange_network()(TEST)
    assert_close(strange, readout.strange(out).float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("novelty", ["angle", "residual"])
def test_what_lies_off_every_plane_is_unknown(fitted, novelty):
    generator = torch.Generator().manual_seed(4)
    y = torch.arange(2).repeat_interleave(80)
    noise = 0.02 * torch.randn(160, 8, generator=generator)
    x = noise + torch.randn(160, 8, generator=generator) * (torch.arange(8) // 2 == y[:, None])
    readout = fitted(Subspace("features", 2, centre=False, novelty=novelty), (x, y))
    new = noise[:40] + torch.randn(40, 8, generator=generator) * (torch.arange(8) // 2 == 3)
    assert float(readout.unknown(said(new)).float().mean()) > 0.9
    assert float(readout.unknown(said(x)).float().mean()) < 0.2


def test_a_class_of_few_rows_has_the_plane_that_they_span(fitted):
    x, y = clouds((20, 20))
    lone = fitted(Subspace("features", 3, False), (x, y), (x[:1] + 3, torch.tensor([2])))
    assert lone.decision.frames[2, 1:].abs().max() == 0
    assert float(lone.scores(said(x[:1] + 3))[0, 2]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("structure", ["low_rank", "full", "factor", "diagonal"])
def test_a_spectrum_is_that_of_the_matrix(structure):
    x, y = clouds(UNEVEN)
    statistics = Statistics.empty(5, structure, rank=2).add(x, y)
    extra = normal(5, 2, 5)
    values, directions, rest = class_spectrum(statistics, 1, extra)
    whole = statistics.scatter.matrix(1) + extra.T @ extra
    assert float(values.sum()) + rest == pytest.approx(float(whole.trace()))
    assert_close(directions @ whole @ directions.T, values.diag(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "subspace:structure=shared",
            "structure=shared must be low_rank, full, factor or diagonal",
        ),
        ("subspace:dimensions=9:rank=4", "of rank=4 at most 5, not 9"),
        ("subspace:novelty=angel", "novelty 'angel': did you mean 'angle'"),
    ],
)
def test_what_cannot_be_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_readout(text)
