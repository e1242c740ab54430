"""What a study is made of: arms, factors, effects and sizes."""

import itertools

import pytest

from holdfast.core.errors import ConfigError
from holdfast.loss.sam import SharpnessAware
from holdfast.recipes import make
from holdfast.study import DESIGNS, build_study
from holdfast.study.design import Arm, Effect, Match, Study, pair
from holdfast.study.engine import rescaled
from holdfast.study.factors import Crossing, Factor
from holdfast.study.schedules import mean_share
from holdfast.study.sizes import find_size

QUICK = find_size("quick")


def crossing(half=False):
    return Crossing(
        [
            Factor("a", {"a0": {"x": 0}, "a1": {"x": 1}}),
            Factor("b", {"b0": {}, "b1": {"y": 1}, "b2": {"y": 2}}),
            Factor("c", {"c0": {"z": 0}, "c1": {"z": 1}}),
        ],
        half,
    )


def applied(effect, table):
    return sum(w * table[name] for name, w in effect.weights.items())


def additive(some, a=(0, 3), b=(0, 5, 7), c=(0, -2)):
    return {some.name(p): 10 + a[p[0]] + b[p[1]] + c[p[2]] for p in some.places}


@pytest.mark.parametrize("half", [False, True])
def test_main_effects_of_an_additive_table_are_its_own(half):
    some = crossing(half)
    table = additive(some)
    assert len(table) == (6 if half else 12)
    assert applied(some.main("a", "a1", "a0"), table) == pytest.approx(3)
    assert applied(some.main("b", "b1", "b0"), table) == pytest.approx(5)
    assert applied(some.main("b", "b2", "b1"), table) == pytest.approx(2)
    assert applied(some.main("c", "c1", "c0"), table) == pytest.approx(-2)


def test_a_main_effect_of_the_whole_is_the_mean_over_the_other_levels():
    weights = crossing().main("b", "b2", "b0").weights
    assert weights == {
        f"{a}, {b}, {c}": pytest.approx(w)
        for a, c in itertools.product(("a0", "a1"), ("c0", "c1"))
        for b, w in (("b0", -0.25), ("b2", 0.25))
    }


def test_an_interaction_is_a_difference_of_differences():
    some = crossing()
    effect = some.interaction(("a", "a1", "a0"), ("b", "b1", "b0"))
    table = additive(some)
    assert applied(effect, table) == pytest.approx(0)
    for name in table:
        table[name] += 4 * ("a1, b1" in name)
    assert applied(effect, table) == pytest.approx(4)
    assert applied(some.interaction(("a", "a1", "a0"), ("c", "c1", "c0")), table) == pytest.approx(
        0
    )
    with pytest.raises(ConfigError, match="no interaction from a main effect"):
        crossing(half=True).interaction(("a", "a1", "a0"), ("b", "b1", "b0"))


def test_in_the_half_a_main_effect_is_not_told_from_an_interaction():
    """What the docstring says of the half: an interaction of the others moves a main effect there."""
    moved = {}
    for half in (False, True):
        some = crossing(half)
        table = additive(some)
        for p in some.places:
            table[some.name(p)] += 4 * (p[1] == 1 and p[2] == 1)
        moved[half] = applied(some.main("a", "a1", "a0"), table) - 3
    assert moved[False] == pytest.approx(0) and abs(moved[True]) > 0.5


@pytest.mark.parametrize("name", list(DESIGNS))
@pytest.mark.parametrize("size", ["toy", "quick", "desk"])
def test_every_arm_of_every_study_can_be_made(name, size):
    study = build_study(name, find_size(size))
    methods = {arm.name: make(arm.text) for arm in study.arms}
    assert len(methods) == len(study.arms) and 1 <= len(study.asked) <= 10
    assert study.name == name


@pytest.mark.parametrize(
    "text, arms",
    [
        ("ablation", 28),
        ("ablation:matched=no", 14),
        ("ablation:half=yes", 12),
        ("drift", 6),
        ("drift:sam=0.1", 12),
    ],
)
def test_studies_have_the_cells_that_are_named(text, arms):
    assert len(build_study(text, QUICK).arms) == arms


def test_every_schedule_has_the_constant_of_its_mean_for_a_control():
    study = build_study("schedule", QUICK)
    alphas = {arm.name: arm.parameters["alpha"] for arm in study.arms}
    for effect in study.effects[:4]:
        name, control = effect.weights
        assert alphas[control] == f"constant:{mean_share(alphas[name], 6):.4g}"
    assert mean_share("linear", 6) == mean_share("cosine", 6) == mean_share("step:0.5", 6) == 0.5


def test_a_text_says_what_the_parameters_say():
    arm = Arm(
        "a", "fnc2", {"alpha": "delayed:2,5", "pull": False, "pull_gamma": 2.0, "misplaced": True}
    )
    assert arm.text == "fnc2:alpha=(delayed:2,5):pull=no:pull_gamma=2.0:misplaced=yes"
    loss = make(arm.text).loss
    assert (loss.pulls.prototype, loss.pulls.gamma, loss.misplaced) == (False, 2.0, True)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"arms": [Arm("a"), Arm("a")]}, "two arms of the study s have one name"),
        ({"effects": [pair("a", "c")]}, "no arm named c"),
        ({"reference": "z"}, "no arm named z"),
        ({"effects": [Effect("e", {"a": 1.0, "b": -0.5})]}, "'e' do not add to 0"),
        ({"effects": [pair("a", "b")] * 11}, "at most 10 contrasts"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, words):
    values = {"arms": [Arm("a"), Arm("b")], "reference": "a", "effects": [pair("a", "b")]} | changes
    with pytest.raises(ConfigError, match=words):
        Study("s", "?", **values)


def test_too_few_blocks_are_refused_in_a_sentence():
    with pytest.raises(
        ConfigError, match=r"needs 6 blocks or more: signs flipped over 3 .* below 0.25"
    ):
        QUICK.of(3)
    assert QUICK.of(7).blocks == 7 and QUICK.of().blocks == 10
    shorter = QUICK.of(settings={"epochs": "3"})
    assert shorter.epochs == 3 and shorter.words.endswith("; here epochs is 3")
    with pytest.raises(ConfigError, match="unknown size"):
        find_size("quik")


@pytest.mark.parametrize("name", ["quick", "desk"])
def test_the_words_of_a_size_are_its_numbers(name):
    size = find_size(name)
    assert f"{size.per_class} images a class" in size.words
    assert name == "desk" or f"{size.epochs} epochs a task" in size.words


def test_a_matched_arm_takes_the_factor_between_the_lengths():
    arm = Arm("a", parameters={"tau": 0.5}, match=Match("scale", "b"))
    lengths = {"a": 0.5, "b": 2.0}
    assert rescaled(arm, lengths, {"scale": 3.0}).parameters == {"tau": 0.5, "scale": 12.0}
    assert rescaled(Arm("b"), lengths, {}) == Arm("b")
    with pytest.raises(ConfigError, match="the arm a has a gradient of length 0"):
        rescaled(arm, {"a": 0.0, "b": 1.0}, {"scale": 1.0})


def test_the_arms_with_sam_differ_from_their_twins_in_it_alone():
    study = build_study("drift:sam=0.1", QUICK)
    arms = {arm.name: arm for arm in study.arms}
    for name, arm in arms.items():
        if name.endswith("SAM"):
            plain = arms[name.removesuffix("SAM") + "SGD"]
            assert arm.parameters == plain.parameters | {"add": "sam:rho=0.1"}
            loss = make(arm.text).loss
            assert isinstance(loss, SharpnessAware) and loss.rho == 0.1
            assert not isinstance(make(plain.text).loss, SharpnessAware)
    table = {name: 10 + 3 * name.endswith("SAM") for name in arms}
    assert applied(study.effects[6], table) == pytest.approx(3)
    assert all(applied(effect, table) == pytest.approx(0) for effect in study.effects[:6])
    for name in table:
        table[name] += 4 * ("running" in name and name.endswith("SAM"))
    effects = {effect.name: effect for effect in study.effects}
    assert applied(effects["SAM x running"], table) == pytest.approx(4)
    assert applied(effects["SAM x mean"], table) == pytest.approx(0)
