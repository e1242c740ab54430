"""Readouts: each against an independent twin, and what all of them owe (docs/theory.md, section 9)."""

import inspect
import itertools
from dataclasses import replace

import pytest
import torch
from sklearn.covariance import OAS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from torch.testing import assert_close

import reference_readouts
from clouds import EVEN, UNEVEN, by_class, clouds, said
from holdfast.core.errors import ConfigError, DataError, DivergedError
from holdfast.learner import Frame, Learner, Output, outputs
from holdfast.memory import Memory, NoMemory, Protocol
from holdfast.memory.meter import reachable
from holdfast.readout import READOUTS as TABLE
from holdfast.readout import (
    FitContext,
    LinearProbe,
    NearestMean,
    NearestPrototype,
    Readout,
    SharedGaussian,
    build_readout,
    fit_softmax,
)
from holdfast.recipes import make
from holdfast.statistics import oracle_shrinkage
from holdfast.train.readouts import choose_readouts
from holdfast.train.setup import Setup

READOUTS = {name: lambda name=name: build_readout(name, Frame(5)) for name in TABLE}


# shared Gaussian


@pytest.mark.parametrize("sizes", [EVEN, UNEVEN])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_the_gaussian_is_discriminant_analysis_when_all_data_come_at_once(fitted, sizes, shrinkage):
    """sklearn divides the scatter by N, we by N - K; it weighs covariances by the priors."""
    (x, y), (test, _) = clouds(sizes), clouds((50,) * 4, seed=1)
    K, N = len(sizes), sum(sizes)
    priors = [n / N for n in sizes]
    lda = LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage, priors=priors)
    lda.fit(x.double().numpy(), y.numpy())
    theirs = torch.from_numpy(lda.decision_function(test.double().numpy()))
    theirs = theirs - torch.tensor(priors).double().log()
    ours = fitted(SharedGaussian(shrinkage=shrinkage), (x, y)).scores(said(test)).double()
    ours = ours * N / (N - K)  # scores are about the mean of all rows: a number a row differs
    assert_close(ours - ours.mean(1, True), theirs - theirs.mean(1, True), rtol=1e-3, atol=5e-3)


def test_the_gaussian_predicts_like_discriminant_analysis_with_uniform_priors(fitted):
    (x, y), (test, test_y) = clouds(EVEN), clouds((50,) * 4, seed=1)
    lda = LinearDiscriminantAnalysis("lsqr", shrinkage=0.1, priors=[0.25] * 4)
    theirs = lda.fit(x.double().numpy(), y.numpy()).predict(test.double().numpy())
    ours = fitted(SharedGaussian(shrinkage=0.1), (x, y)).predict(said(test))
    assert ours.tolist() == theirs.tolist()
    assert float((ours == test_y).double().mean()) > 0.6


@pytest.mark.parametrize("prior", [0.25, 3.0])
@pytest.mark.parametrize("portions", [1, 2])
def test_a_prior_is_rows_whose_features_do_not_go_together(fitted, prior, portions):
    (x, y), (test, _) = clouds(EVEN), clouds((50,) * 4, seed=1)
    for rows in (x, test):
        rows[:, 2] *= 0.001  # narrow: it counts as a thousandth of the mean variance
    tables = [(x[y % portions == i], y[y % portions == i]) for i in range(portions)]
    ours = fitted(SharedGaussian(prior=prior), *tables)
    twin = reference_readouts.discriminants_with_prior(x.tolist(), y.tolist(), test.tolist(), prior)
    assert_close(ours.scores(said(test)).double(), torch.tensor(twin), rtol=1e-3, atol=1e-3)


def test_a_prior_asks_nothing_of_units_and_leaves_more_rows_alone(fitted):
    (x, y), (test, _) = clouds(EVEN), clouds((50,) * 4, seed=1)
    units = torch.tensor([1.0, 2.0, 0.5, 3.0, 0.7])
    one, other = (fitted(SharedGaussian(prior=2.0), (x * u, y)) for u in (1, units))
    assert_close(one.scores(said(test)), other.scores(said(test * units)), rtol=1e-3, atol=1e-3)
    many = [fitted(SharedGaussian(prior=p), *[(x, y)] * 200).covariance() for p in (0.0, 0.25)]
    few = [fitted(SharedGaussian(prior=p), (x, y)).covariance() for p in (0.0, 0.25)]
    assert (many[0] - many[1]).abs().max() < 0.05 * (few[0] - few[1]).abs().max()


@pytest.mark.parametrize("settings", ["prior=-1", "prior=inf", "prior=1:shrinkage=0.1"])
def test_a_prior_that_is_none_is_refused(settings):
    with pytest.raises(ConfigError, match="gaussian takes a prior of at least 0 rows"):
        build_readout(f"gaussian:{settings}")


def twin_of_theoracle_shrinkage(S, n):
    """Chen, Wiesel, Eldar and Hero (2010), eq. 23, over lists."""
    p = len(S)
    square = sum(S[i][j] * S[j][i] for i in range(p) for j in range(p))
    trace = sum(S[i][i] for i in range(p))
    share = ((1 - 2 / p) * square + trace**2) / ((n + 1 - 2 / p) * (square - trace**2 / p))
    return min(1.0, share)


@pytest.mark.parametrize("n", [5, 50, 500])
def test_the_automatic_shrinkage_is_the_oracle_formula(n):
    x, _ = clouds((n,))
    S = torch.cov(x.double().T, correction=0)
    assert oracle_shrinkage(S, n) == pytest.approx(twin_of_theoracle_shrinkage(S.tolist(), n))


def test_the_automatic_shrinkage_is_near_that_of_sklearn_which_drops_a_term_in_1_over_p():
    x, _ = clouds((60,), wide=80)
    S = torch.from_numpy(OAS().fit(x.double().numpy()).location_)  # their centre
    S = (x.double() - S).T @ (x.double() - S) / len(x)
    theirs = OAS().fit(x.double().numpy()).shrinkage_
    assert 0 < theirs < 1
    assert oracle_shrinkage(S, len(x)) == pytest.approx(theirs, rel=0.05)


def test_fewer_rows_than_features_give_finite_scores(fitted):
    x, y = clouds((2, 1, 1), wide=12)
    scores = fitted(SharedGaussian(), (x, y)).scores(said(x))
    assert bool(scores.isfinite().all())
    assert scores.argmax(1).tolist() == y.tolist()


def test_one_row_a_class_gives_the_nearest_row(fitted):
    x, y = torch.eye(6) + 0.1, torch.arange(6)
    assert fitted(SharedGaussian(), *by_class(x, y)).predict(said(x)).tolist() == y.tolist()


def test_a_network_that_did_not_move_leaves_the_statistics(fitted, task, identity):
    x, y = clouds(UNEVEN)
    still, told = (fitted(SharedGaussian(shrinkage=0.1), (x, y)) for _ in range(2))
    again = task(x + 0.5, y, 1)
    still.fit(FitContext(identity, again, NoMemory(), (0, 1, 2, 3)))
    told.fit(FitContext(identity, again, NoMemory(), (0, 1, 2, 3), identity))
    for name, value in still.known.state().items():
        assert_close(told.known.state()[name], value)


class Turned(Learner):
    """A network whose features are an affine map of its inputs."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.turn = torch.eye(5) + 0.4 * torch.randn(
            5, 5, generator=torch.Generator().manual_seed(3)
        )

    def forward(self, x):
        return said(x @ self.turn + torch.arange(5.0))


def test_statistics_follow_a_network_that_moved_by_an_affine_map(fitted, task, identity):
    x, y = clouds((400,) * 4)
    old, new = y < 2, y >= 2
    moved = fitted(SharedGaussian(shrinkage=0.0), (x[old], y[old]))
    stale = fitted(SharedGaussian(shrinkage=0.0, drift="none"), (x[old], y[old]))
    right = SharedGaussian(shrinkage=0.0)
    right.fit(FitContext(Turned(), task(x[old], y[old]), NoMemory(), (0, 1)))
    later = task(x[new], y[new], 1)
    for readout in (moved, stale, right):
        past = identity if readout is moved else Turned() if readout is right else None
        readout.fit(FitContext(Turned(), later, NoMemory(), (0, 1, 2, 3), past))
    assert_close(moved.known.mean, right.known.mean, rtol=0.02, atol=0.02)
    assert_close(moved.covariance(), right.covariance(), rtol=0.02, atol=0.02)
    assert float((stale.known.mean - right.known.mean).abs().max()) > 1


# nearest mean and nearest prototype


def test_the_nearest_mean_is_the_nearest_centroid_by_angle(fitted):
    (x, y), (test, test_y) = clouds(UNEVEN), clouds((50,) * 4, seed=1)
    unit = torch.nn.functional.normalize(x, dim=1)
    centres = torch.from_numpy(NearestCentroid().fit(unit.numpy(), y.numpy()).centroids_)
    readout = fitted(NearestMean(), (x, y))
    cosines = [
        [float(torch.cosine_similarity(row, centre, dim=0)) for centre in centres] for row in test
    ]
    assert_close(readout.scores(said(test)), torch.tensor(cosines))
    assert float((readout.predict(said(test)) == test_y).double().mean()) > 0.5


def test_the_nearest_prototype_is_that_of_a_class_seen(fitted):
    frame = Frame(5)
    x, y = clouds((3, 3))
    test, _ = clouds((5,) * 4)
    scores = fitted(NearestPrototype(frame), (x, y)).scores(said(test))
    z = test / test.norm(dim=1, keepdim=True)
    assert_close(scores, torch.stack([z @ frame.vectors[0], z @ frame.vectors[1]], 1))


# linear probe


def logistic(x, y, decay):
    """sklearn minimises ||W||^2/2 + C sum of weighted losses, so C = 1 / (N decay)."""
    model = LogisticRegression(
        C=1 / (len(y) * decay), class_weight="balanced", tol=1e-10, max_iter=5000
    )
    return model.fit(x.double().numpy(), y.numpy())


@pytest.mark.parametrize("decay", [0.1, 1e-2, 1e-3])
def test_fit_softmax_is_balanced_logistic_regression(decay):
    (x, y), (test, _) = clouds(UNEVEN), clouds((30,) * 4, seed=1)
    weight, bias = fit_softmax(x.double(), y, 4, decay, steps=500)
    model = logistic(x, y, decay)
    theirs = torch.from_numpy(model.predict_proba(test.double().numpy()))
    assert_close((test.double() @ weight.T + bias).softmax(1), theirs, rtol=0, atol=5e-4)
    assert_close(weight, torch.from_numpy(model.coef_), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("decay", [0.1, 1e-3])
def test_the_probe_is_balanced_logistic_regression_on_standardised_features(fitted, decay):
    (x, y), (test, _) = clouds(EVEN), clouds((30,) * 4, seed=1)
    x = 3 * x + 10
    mean, std = x.mean(0), x.std(0, correction=0)
    model = logistic((x - mean) / std, y, decay)
    theirs = torch.from_numpy(model.predict_proba(((3 * test + 10 - mean) / std).double().numpy()))
    ours = fitted(LinearProbe(decay=decay), (x, y)).scores(said(3 * test + 10)).softmax(1)
    assert_close(ours.double(), theirs, rtol=0, atol=5e-3)


def test_repeating_the_rows_of_a_class_changes_nothing(fitted):
    (x, y), (test, _) = clouds(UNEVEN), clouds((30,) * 4, seed=1)
    again = torch.cat([torch.arange(len(y)), *[(y == 2).nonzero()[:, 0]] * 4])
    once, often = (fitted(LinearProbe(decay=1e-2), (x[i], y[i])) for i in (slice(None), again))
    assert_close(
        often.scores(said(test)).softmax(1),
        once.scores(said(test)).softmax(1),
        rtol=0,
        atol=2e-3,
    )


def test_the_probe_learns_from_stored_rows_of_earlier_tasks_only(fitted, task, identity):
    x, y = clouds(UNEVEN)
    old = y < 2
    memory = Memory(None, "readout")
    memory.rows = task(x[old], y[old], 0).train
    late = task(x[~old], y[~old], 1)
    probe = LinearProbe()
    probe.fit(FitContext(identity, late, memory, (0, 1, 2, 3)))
    whole = fitted(LinearProbe(), (x, y))
    assert_close(
        probe.scores(said(x)).softmax(1), whole.scores(said(x)).softmax(1), rtol=0, atol=1e-3
    )
    memory.rows = replace(memory.rows, task=torch.ones_like(memory.rows.task))
    probe.fit(FitContext(identity, late, memory, (0, 1, 2, 3)))
    assert set(probe.predict(said(x)).tolist()) <= {2, 3}


def test_the_probe_of_one_row_is_finite(fitted):
    x = torch.rand(1, 5)
    probe = fitted(LinearProbe(), (x, torch.tensor([0])))
    assert bool(probe.scores(said(x)).isfinite().all())


def test_no_readout_is_fitted_to_features_that_are_not_finite(fitted):
    for readout in (LinearProbe(), NearestMean(), SharedGaussian()):
        with pytest.raises(DivergedError, match="features of task 1 are not finite"):
            fitted(readout, (torch.tensor([[0.0, 1.0], [float("nan"), 2.0]]), torch.tensor([0, 1])))


# what all of them owe


@pytest.fixture(params=READOUTS.values(), ids=READOUTS.keys())
def readout(request):
    return request.param()


def test_scores_have_one_column_a_class_seen(fitted, readout):
    x, y = clouds(EVEN)
    first, second = y < 2, y == 2
    wide = torch.randn(7, 5)  # the logits of a head that was made for five classes
    scores = fitted(readout, (x[first], y[first])).scores(said(wide))
    assert scores.shape == (7, 2)
    both = fitted(readout, (x[first], y[first]), (x[second], y[second])).scores(said(wide))
    assert both.shape == (7, 3)


def test_a_readout_is_never_told_the_task_of_an_input(readout):
    assert list(inspect.signature(type(readout).scores).parameters) == ["self", "out"]
    assert list(inspect.signature(Readout.predict).parameters) == ["self", "out"]
    assert type(readout).predict is Readout.predict
    assert Output._fields == (
        "features", "embedding", "logits", "hidden", "stages", "pyramid", "moments", "mirrored",
    )  # fmt: skip


def test_what_a_learner_says_of_rows_depends_on_their_inputs_alone(table):
    torch.manual_seed(0)
    learner = Learner((1, 8, 8), width=2, classes=2)
    rows = table([0, 1, 0, 1])
    other = replace(rows, y=1 - rows.y, task=rows.task + 3, key=rows.key + 50)
    for a, b in zip(outputs(learner, rows)[:4], outputs(learner, other)[:4]):
        assert torch.equal(a, b)


def test_outputs_are_those_of_eval_mode_whatever_the_batches(table):
    torch.manual_seed(0)
    learner = Learner((1, 8, 8), width=2, classes=2).train()
    rows = table([0, 1] * 5)
    whole, pieces = outputs(learner, rows), outputs(learner, rows, batch=3)
    assert learner.training and not whole.logits.requires_grad
    with torch.no_grad():
        expected = learner.eval()(rows.x / 255)
    for a, b, c in zip(whole, pieces, expected):
        assert_close(a, b)
        assert_close(a, c)


def test_a_fresh_readout_takes_over_every_bit(fitted, readout, request):
    x, y = clouds(UNEVEN)
    fitted(readout, (x, y))
    fresh = READOUTS[request.node.callspec.id]()
    fresh.load_state_dict(readout.state_dict())
    assert torch.equal(fresh.scores(said(x)), readout.scores(said(x)))


def test_a_fresh_readout_goes_on_alike(fitted, task, identity, readout, request):
    x, y = clouds(EVEN)
    first = y < 2
    fitted(readout, (x[first], y[first]))
    fresh = READOUTS[request.node.callspec.id]()
    fresh.load_state_dict(readout.state_dict())
    for one in (readout, fresh):
        one.fit(FitContext(identity, task(x[~first], y[~first], 1), NoMemory(), (0, 1, 2, 3)))
    assert torch.equal(fresh.scores(said(x)), readout.scores(said(x)))


STREAMING = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda text=text: build_readout(text), id=text)
        for text in (
            "mean", "mean:metric=euclidean", "gaussian", "gaussian:tukey=0.5", "class-gaussian", "fecam",
            "class-gaussian:structure=diagonal", "class-gaussian:structure=low_rank:rank=5",
            "ridge:strength=0.01", "random-ridge:width=20:strength=0.01",
        )
    ],
)  # fmt: skip


@STREAMING
def test_the_order_of_tasks_does_not_matter_on_a_frozen_network(fitted, kind):
    (x, y), (test, _) = clouds(UNEVEN), clouds((20,) * 4, seed=1)
    whole = fitted(kind(), (x, y)).scores(said(test))
    for order in itertools.permutations(range(4)):
        tables = by_class(x, y)
        found = fitted(kind(), *(tables[c] for c in order)).scores(said(test))
        assert_close(found, whole, rtol=1e-3, atol=1e-3)


@STREAMING
def test_a_class_that_comes_again_is_merged(fitted, kind):
    x, y = clouds(UNEVEN)
    first = torch.rand(len(y), generator=torch.Generator().manual_seed(2)) < 0.5
    parts = fitted(kind(), (x[first], y[first]), (x[~first], y[~first]))
    whole = fitted(kind(), (x, y))
    assert_close(parts.scores(said(x)), whole.scores(said(x)), rtol=1e-3, atol=1e-3)


@STREAMING
def test_a_class_with_one_example_is_found_again(fitted, kind):
    (x, y), lone = clouds((30, 30, 30)), torch.full((1, 5), 30.0)
    readout = fitted(kind(), (x, y), (lone, torch.tensor([3])))
    assert bool(readout.scores(said(x)).isfinite().all())
    assert readout.predict(said(lone)).tolist() == [3]
    assert float((readout.predict(said(x)) == y).double().mean()) > 0.5


@STREAMING
def test_one_example_of_every_class_is_enough(fitted, kind):
    x, y = torch.eye(5) + 0.1, torch.arange(5)
    readout = fitted(kind(), *by_class(x, y))
    assert readout.predict(said(x)).tolist() == y.tolist()


@STREAMING
def test_a_class_without_examples_is_refused(task, identity, kind):
    x, y = clouds((9, 9))
    empty = replace(task(x, y), classes=(0, 1, 2))
    with pytest.raises(DataError, match="class 2 of task 1 has no training example"):
        kind().fit(FitContext(identity, empty, NoMemory(), (0, 1, 2)))


@STREAMING
def test_a_class_that_is_yet_to_come_is_never_chosen(fitted, kind):
    x, y = clouds(UNEVEN)
    late = fitted(kind(), (x[y == 3], y[y == 3]))
    assert late.predict(said(x)).unique().tolist() == [3]
    assert late.probabilities(said(x))[:, 3].tolist() == [1.0] * len(x)


@STREAMING
def test_a_readout_that_has_learned_nothing_says_so(kind):
    with pytest.raises(ConfigError, match="has learned no task yet"):
        kind().scores(said(torch.zeros(1, 5)))


@STREAMING
def test_no_row_is_kept(fitted, kind):
    x, y = clouds(UNEVEN)
    held = [t for _, t in reachable(fitted(kind(), (x, y))) if isinstance(t, torch.Tensor)]
    rows = torch.cat([t.reshape(-1, 5) for t in held if t.numel() % 5 == 0]).float()
    assert not bool((torch.cdist(rows, x) < 1e-4).any())


@pytest.mark.parametrize("kind", [NearestMean, SharedGaussian, LinearProbe])
def test_a_readout_of_the_embedding_reads_the_embedding(fitted, kind):
    x, y = clouds(UNEVEN)
    unit = torch.nn.functional.normalize(x, dim=1)
    on_embedding = fitted(kind(on="embedding"), (x, y)).scores(said(x))
    on_unit = fitted(kind(), (unit, y)).scores(said(unit))
    assert_close(on_embedding, on_unit, rtol=1e-3, atol=1e-3)


# which one a run takes


@pytest.mark.parametrize(
    "recipe, protocol, expected",
    [
        ("finetune", Protocol(), "head"),
        ("finetune", Protocol("auxiliary", 5), "probe"),
        ("er", Protocol("buffer", 5), "head"),
        ("joint", Protocol("joint"), "head"),
        ("fnc2", Protocol(), "gaussian"),
        ("fnc2", Protocol("auxiliary", 5), "probe"),
        ("co2l", Protocol("buffer", 5), "probe"),
    ],
)
def test_the_protocol_chooses_the_readout(recipe, protocol, expected):
    assert choose_readouts(Setup(), make(recipe), protocol)[0] == expected


@pytest.mark.parametrize(
    "name, recipe, expected",
    [
        ("probe", "fnc2", "the protocol strict keeps none"),
        ("head", "supcon", "the recipe supcon trains no head"),
        ("prototype", "co2l", "the recipe co2l has no prototypes"),
        ("gausian", "fnc2", "did you mean 'gaussian'"),
    ],
)
def test_a_readout_that_cannot_serve_is_refused(name, recipe, expected):
    with pytest.raises(ConfigError, match=expected):
        choose_readouts(Setup(readout=name), make(recipe), Protocol())
