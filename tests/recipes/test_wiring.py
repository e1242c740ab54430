"""The loss of a recipe is the weighted sum of its terms, with no parameter at its default."""

import pytest

from holdfast import Continual
from holdfast.anchor.gpm import GPM
from holdfast.core.errors import ConfigError
from holdfast.recipes import RECIPES, make
from holdfast.recipes.presets import PAPER
from holdfast.stream import make_stream, open_source
from holdfast.train.setup import Setup
from wired import EPOCHS, close, wire

ALPHA = 1 - 1 / (EPOCHS - 1)  # linear, in the second epoch

SUMS = {
    "supcon:tau=0.3:scale=1.7:dim=6": {"sup_con": 1.0},
    "co2l:tau=0.3:scale=1.7:dim=6:distill=0.6": {"sup_con": 1.0, "ird": 0.6},
    "fnc2:tau=0.3:distill=0.6:dim=6:classes=6:alpha=constant:0.3": {
        "fnc2": 1.0, "ird": 0.6 * 0.3, "s_prd": 0.6 * 0.7,
    },
    "fnc2:tau=0.3:distill=2:dim=6:classes=6:alpha=linear": {
        "fnc2": 1.0, "ird": 2 * ALPHA, "s_prd": 2 * (1 - ALPHA),
    },
    "fnc2:dim=6:classes=6:alpha=delayed:0,2": {"fnc2": 1.0, "ird": 2 / 3, "s_prd": 1 / 3},
    "fnc2_strict:dim=6:distill=0.6:features=0.8:uniform=0.3:rotations=0:alpha=constant:0.2": {
        "fnc2": 1.0, "ird": 0.12, "s_prd": 0.48, "features": 0.8, "uniformity": 0.3,
    },
    "lwf:weight=0.7:T=3": {"cross_entropy": 1.0, "distil": 0.7},
    "lwf_wa:weight=0.7:T=3": {"cross_entropy": 1.0, "distil": 0.7},
    "lwf_strict:weight=0.7:features=0.8:rehearse=0.3:rotations=0": {
        "cross_entropy": 1.0, "distil": 0.7, "features": 0.8, "rehearsal": 0.3,
    },
    "ida:weight=0.6:T=7": {"cross_entropy": 1.0, "ida": 0.6},
    "er:forward=split:weight=0.6": {"cross_entropy": 1.0, "cross_entropy_memory": 0.6},
    "der:alpha=0.4": {"cross_entropy": 1.0, "match": 0.4},
    "derpp:alpha=0.4:beta=0.7": {"cross_entropy": 1.0, "match": 0.4, "cross_entropy_memory_2": 0.7},
}  # fmt: skip


@pytest.mark.parametrize("text", SUMS)
def test_the_loss_of_a_recipe_is_the_weighted_sum_of_its_terms(text):
    wired, weights = wire(text), SUMS[text]
    terms = {term.label for term in wired.method.terms}
    assert terms == set(weights)
    assert all(abs(wired.records[name]) > 1e-7 for name in weights)  # a term of 0 shows no weight
    assert close(wired.loss, sum(w * wired.records[name] for name, w in weights.items()))


LOSSES = {
    "fnc2_strict:uniform=0.3": {"fnc2": 1.0, "uniformity": 0.3},
    "lwf_strict": {"cross_entropy": 1.0},
}


@pytest.mark.parametrize("text", LOSSES)
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_turned_images_count_in_the_first_task_as_they_are_weighed(text, weight):
    stream = make_stream(open_source("digits", None, None, 10, 5), "class", 5, None, None)
    method = make(f"{text}:rotations={weight}")
    setup = Setup.of(text.partition(":")[0], "quick", epochs=1, width=4)
    core = Continual(method, stream.shape, setup)
    first, second = (core.learn(stream[number])[0].records for number in (0, 1))
    parts = LOSSES[text] | ({"rotations": weight} if weight else {})
    assert first.keys() - {"loss", "alpha", "focal_weight", "free"} == parts.keys()
    assert close(first["loss"], sum(w * first[name] for name, w in parts.items()))
    assert "rotations" not in second


@pytest.mark.parametrize("recipe", ["fnc2_strict", "lwf_strict"])
def test_strict_recipes_hold_the_inputs_of_old_tasks_as_gpm_does(recipe):
    rules = {share: make(recipe, gpm=share) for share in (0.0, 0.9)}
    (rule,) = rules[0.9].rules
    assert isinstance(rule, GPM) and rule.eps == 0.9
    assert rules[0.9].hold_norms == "all"
    assert not rules[0.0].rules and rules[0.0].hold_norms == "none"
    with pytest.raises(ConfigError, match="has GPM already"):
        make(recipe, add="gpm")
    assert len(make(recipe, gpm=0.0, add="gpm").rules) == 1


@pytest.mark.parametrize("recipe", ["ewc", "online_ewc", "si", "mas", "kfac_laplace"])
@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_a_prior_weighs_as_asked(recipe, weight):
    """The quadratic of the weights that the step moved, weighed by one number."""
    if recipe not in RECIPES:
        pytest.skip(f"there is no recipe {recipe}")
    wired = wire(recipe, weight=weight)
    (penalty,) = (term.label for term in wired.method.terms if term.penalty)
    assert wired.records[penalty] > 0
    assert close(wired.loss, wired.records["cross_entropy"] + wired.records[penalty])


TEMPERATURES = {  # IRD of the learner and of the past, S-PRD of the learner and of the past
    "cifar10": (0.2, 0.01, 0.2, 0.1),
    "cifar100": (0.2, 0.01, 0.2, 0.1),
    "tiny-imagenet": (0.1, 0.1, 0.2, 0.1),
}


@pytest.mark.parametrize("stream", PAPER)
def test_the_paper_preset_gives_every_distillation_its_temperatures(stream):
    terms = {term.label: term for term in make("fnc2", PAPER[stream]).terms}
    soft, hard = terms["ird"], terms["s_prd"]
    assert (soft.now, soft.past, hard.now, hard.past) == TEMPERATURES[stream]
    assert (terms["fnc2"].tau, terms["fnc2"].scale) == (0.5, pytest.approx(0.5 / 0.07))
    (relations,) = (t for t in make("co2l", PAPER[stream]).terms if t.label == "ird")
    assert (relations.now, relations.past) == TEMPERATURES[stream][:2]
