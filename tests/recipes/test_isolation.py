"""The recipes and parts of isolation and merging."""

import pytest
import torch

from holdfast.readout import ByState
from holdfast.recipes import make
from holdfast.recipes.part import PARTS, with_parts
from holdfast.testing import small_stream
from holdfast.testing.watched import QUICK
from holdfast.train.identity import described
from holdfast.train.runner import run

ADDED = {
    "sparse": "sparse:every=2:density=0.4",
    "masks": "masks:rate=1:criterion=energy",
    "merge": "merge:how=ties:keep=0.5",
    "soma": "soma:rank=2:variant=factors",
    "ghost_norm": "ghost_norm:size=4:by=batch",
}


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("recipe", ["lwf_strict", "fnc2_strict"])
def test_a_part_is_learned_beside_a_recipe_and_does_something(recipe, name):
    usual = make(recipe)
    methods = [usual, with_parts(usual, [name]), with_parts(usual, [ADDED[name]])]
    settings = [described(m) | {"decides": m.readout.name} for m in methods]
    assert settings[0] != settings[1] != settings[2]
    stream = small_stream()
    results = [run(m, stream, QUICK) for m in (methods[0], methods[2])]
    assert results[1].status == "complete"
    a, b = (r.readings[r.readout].class_il.matrix.nan_to_num(0) for r in results)
    assert bool(((b >= 0) & (b <= 1)).all())
    assert results[0].readout != results[1].readout or not torch.equal(a, b) or name == "soma"


def test_every_part_of_here_is_tried():
    from holdfast.recipes.parts import isolation

    mine = {n for n, e in PARTS.items() if e.__module__ == isolation.__name__}
    assert mine == ADDED.keys()


@pytest.mark.parametrize("recipe, inner", [("lwf_strict", "head"), ("fnc2_strict", "mean")])
def test_states_are_asked_by_the_head_or_by_means_where_there_is_none(recipe, inner):
    method = with_parts(make(recipe), ["sparse"])
    assert isinstance(method.readout, ByState)
    assert method.readout.readout == inner
