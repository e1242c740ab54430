"""Ridge regression from statistics is ridge regression on the rows."""

import pytest
import torch
from sklearn import linear_model
from torch.nn import functional
from torch.testing import assert_close

from clouds import EVEN, UNEVEN, by_class, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.readout import RandomFeatureRidge, Ridge
from holdfast.readout.held_out import scene_folds
from holdfast.readout.ridge import RIDGES


def theirs(x, y, test, strength):
    """sklearn's penalty is absolute, ours relative to the mean of the centred Gram's diagonal."""
    x, test = x.double(), test.double()
    alpha = strength * float(((x - x.mean(0)) ** 2).sum()) / x.shape[1]
    model = linear_model.Ridge(alpha).fit(x.numpy(), functional.one_hot(y).double().numpy())
    return torch.from_numpy(model.predict(test.numpy()))


@pytest.mark.parametrize("strength", [1e-4, 1e-1, 10.0])
@pytest.mark.parametrize("sizes", [EVEN, UNEVEN])
def test_the_ridge_is_the_joint_ridge_however_the_rows_arrive(fitted, sizes, strength):
    (x, y), (test, _) = clouds(sizes), clouds((20,) * 4, seed=1)
    for tables in ([(x, y)], by_class(x, y), by_class(x, y)[::-1]):
        found = fitted(Ridge(strength=strength), *tables).scores(said(test))
        assert_close(found.double(), theirs(x, y, test, strength), rtol=1e-4, atol=1e-5)


def test_random_features_are_a_ridge_of_their_own(fitted):
    (x, y), (test, _) = clouds(EVEN), clouds((20,) * 4, seed=1)
    readout = fitted(RandomFeatureRidge(width=30, strength=0.1), *by_class(x, y))
    r = torch.randn(5, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bent, asked = ((rows.double() @ r).clamp_min(0) / 5**0.5 for rows in (x, test))
    assert_close(
        readout.scores(said(test)).double(), theirs(bent, y, asked, 0.1), rtol=1e-4, atol=1e-5
    )
    other = fitted(RandomFeatureRidge(width=30, strength=0.1, seed=1), (x, y))
    assert not torch.allclose(other.scores(said(test)), readout.scores(said(test)))


def test_random_features_bend_what_a_line_cannot_part(fitted):
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    straight, bent = (
        float((fitted(kind, (x, y)).predict(said(x)) == y).float().mean())
        for kind in (Ridge(), RandomFeatureRidge(width=300))
    )
    assert straight < 0.7 < 0.9 < bent


def test_the_strength_is_what_predicts_rows_held_out_best(fitted):
    x, y = clouds(UNEVEN)
    early, late = y < 2, y >= 2
    chosen = fitted(Ridge(), (x[early], y[early]), (x[late], y[late])).chosen
    place = torch.full_like(y, -1)
    place[late] = scene_folds(x[late], y[late])
    error = dict.fromkeys(RIDGES, 0.0)
    for strength in RIDGES:
        for fold in range(4):
            held = place == fold
            scores = theirs(x[~held], y[~held], x[held], strength)
            error[strength] += float(((scores - functional.one_hot(y[held], 4)) ** 2).sum())
    assert chosen == min(error, key=error.__getitem__)
    assert fitted(Ridge(strength=0.5), (x, y)).chosen == 0.5


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="at least 0, not -1"):
        Ridge(strength=-1.0)
    with pytest.raises(ConfigError, match="at least 1, not -1"):
        RandomFeatureRidge(width=-1)
