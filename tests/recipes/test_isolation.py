"""The recipes and parts of isolation and merging."""

from functools import cache

import pytest

from holdfast.readout import ByState
from holdfast.recipes import make
from holdfast.recipes.adding import PARTS, with_parts
from holdfast.testing import small_stream
from holdfast.testing.compare import difference, weights
from holdfast.testing.watched import QUICK, learned, readings_finite
from holdfast.train.identity import described

ADDED = {
    "sparse": "sparse:every=2:density=0.4",
    "masks": "masks:rate=1:criterion=energy",
    "merge": "merge:how=ties:keep=0.5",
    "soma": "soma:rank=2:variant=factors",
    "ghost_norm": "ghost_norm:size=4:by=batch",
    "held_norms": "held_norms:what=none",  # which these recipes hold by themselves
}


@cache
def usual(recipe):
    """The weights and figures of a recipe without any part."""
    run = learned(make(recipe), small_stream(), QUICK)
    return weights(run.learner), run.result


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("recipe", ["lwf_strict", "fnc2_strict"])
def test_a_part_is_learned_beside_a_recipe_and_does_something(recipe, name):
    method = make(recipe)
    methods = [method, with_parts(method, [name]), with_parts(method, [ADDED[name]])]
    settings = [described(m) | {"decides": m.readout.name} for m in methods]
    assert settings[0] != settings[1] != settings[2]
    run = learned(methods[2], small_stream(), QUICK)
    assert run.result.status == "complete"
    assert readings_finite(run)
    before, result = usual(recipe)
    now = {n: w for n, w in weights(run.learner).items() if not n.startswith("states.")}
    assert difference(before, now)
    assert (result.readout != run.result.readout) == (name in ("sparse", "masks"))


def test_every_part_of_here_is_tried():
    from holdfast.recipes.parts import isolation

    mine = {n for n, e in PARTS.items() if e.__module__ == isolation.__name__}
    assert mine == ADDED.keys()


@pytest.mark.parametrize("recipe, inner", [("lwf_strict", "head"), ("fnc2_strict", "mean")])
def test_states_are_asked_by_the_head_or_by_means_where_there_is_none(recipe, inner):
    method = with_parts(make(recipe), ["sparse"])
    assert isinstance(method.readout, ByState)
    assert method.readout.readout == inner
