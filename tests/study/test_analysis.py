"""What is said of figures: a planted effect is found, an absent one is not, each as often as it should."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from holdfast.study import DESIGNS, build_study
from holdfast.study.analysis import analyse, measure
from holdfast.study.chart import effects_chart
from holdfast.study.design import Arm, Study, pair
from holdfast.study.focal import focal_words
from holdfast.study.share import memory_share, ratio
from holdfast.study.sizes import find_size
from holdfast.study.words import paragraph

QUICK = find_size("quick")
NOISE, BLOCKS = 2.0, 10


def figures(study, seed, effects=None, blocks=BLOCKS, noise=NOISE):
    """Values of every arm and block: what a block has in common, an arm's own effect, and noise."""
    chance = np.random.default_rng(seed)
    common = 70 + 8 * chance.standard_normal(blocks)
    values = {}
    for arm in study.arms:
        final = common + (effects or {}).get(arm.name, 0.0) + noise * chance.standard_normal(blocks)
        values[arm.name] = {
            (b, f"{b}"): dict.fromkeys(("final", *study.outcomes), final[b] / 100)
            for b in range(blocks)
        }
    return values


def plain(name):
    """A study without its secondary outcomes, which cost most of the time."""
    return replace(build_study(name, QUICK), outcomes=())


def planted(effect, size):
    """The least change of arms that makes an effect so large."""
    square = sum(w**2 for w in effect.weights.values())
    return {name: size * w / square for name, w in effect.weights.items()}


def told(analysis):
    return {
        one.effect.name for one in analysis.asked if one.verdict.startswith(("higher", "lower"))
    }


@pytest.mark.parametrize("name", list(DESIGNS))
def test_a_planted_effect_is_found_in_every_contrast_of_every_study(name):
    study = plain(name)
    for k, effect in enumerate(study.asked):
        for sign in (1, -1)[k % 2 :][:1]:
            length = 12 * math.sqrt(sum(w**2 for w in effect.weights.values()))
            values = figures(study, 100 + k, planted(effect, sign * length))
            analysis = analyse(study, values)
            (one,) = [m for m in analysis.asked if m.effect.name == effect.name]
            assert one.verdict.startswith("higher" if sign > 0 else "lower"), effect.name
            assert one.contrast.estimate.mean == pytest.approx(sign * length, abs=0.5 * length)


def test_where_there_is_no_effect_one_is_found_in_at_most_one_study_of_twenty():
    """Holm holds the rate of any false find in a study at 5 %: seen within three errors."""
    false = [
        bool(told(analyse(study, figures(study, 1000 + seed))))
        for study in (plain(name) for name in ("replay", "hsd", "temperature"))
        for seed in range(50)
    ]
    error = math.sqrt(0.05 * 0.95 / len(false))
    assert len(false) == 150 and 0 < np.mean(false) < 0.05 + 3 * error


def test_the_detectable_difference_is_found_four_times_in_five():
    study = Study("s", "?", [Arm("a"), Arm("b")], "b", [pair("a", "b")], ())
    spread = NOISE * math.sqrt(2)
    size = 1.0 * spread  # 10 blocks: one standard deviation of the differences (THEORY 24.3)
    found = [bool(told(analyse(study, figures(study, seed, {"a": size})))) for seed in range(200)]
    assert np.mean(found) == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 200))


def test_an_interval_holds_the_effect_as_often_as_it_says():
    study = plain("drift")
    effect = study.asked[0]
    inside = []
    for seed in range(200):
        values = figures(study, seed, planted(effect, 3.0), blocks=6)
        estimate = measure(effect, values, 0.5, ()).contrast.estimate
        inside.append(abs(estimate.mean - 3.0) < estimate.half_width())
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 200))


def test_a_block_without_one_of_its_arms_is_left_out_and_an_effect_without_arms_is_said():
    study = build_study("replay", QUICK)
    values = figures(study, 0, {"on": 9.0})
    del values["on"][3, "3"]
    values.pop("misplaced")
    analysis = analyse(study, values, failed=[("run", "misplaced", "no")])
    names = {one.effect.name: one for one in analysis.effects}
    assert names["on − off"].contrast.estimate.n == 9
    assert names["on − misplaced"].verdict == "not measured"
    text = " ".join(paragraph(analysis, QUICK))
    assert "no block has all the runs: misplaced − off, on − misplaced." in text
    assert "1 run failed, of: misplaced" in text
    assert "Found (p by Holm over 3" in text  # a contrast that fell out still counts in the family


def test_the_paragraph_says_the_figures_and_what_could_not_be_seen():
    study = build_study("replay", QUICK)
    analysis = analyse(study, figures(study, 3, {"on": 9.0}))
    text = " ".join(paragraph(analysis, QUICK))
    one = analysis.effects[0].contrast
    assert f"on − off +{one.estimate.mean:.1f} ± {one.estimate.half_width():.1f} points" in text
    other = analysis.effects[1].contrast
    assert "Not told apart, which is no finding that they are the same: misplaced − off" in text
    assert f"(below {other.estimate.detectable:.1f} not visible)" in text
    assert QUICK.words in text
    still = " ".join(paragraph(analyse(study, figures(study, 3, blocks=6)), QUICK))
    assert "None of the 3 contrasts" in still
    assert "Sign flips over 6 blocks cannot pass Holm's correction over 3 contrasts" in still
    chart = effects_chart(analysis)
    assert chart.count("<circle") == 3 and chart.count('class="dot"') == 2
    assert chart.count('class="unseen"') == 3


def test_effects_as_surely_small_are_said_to_be():
    study = build_study("replay", QUICK)
    analysis = analyse(study, figures(study, 3, noise=0.1))
    assert {one.verdict for one in analysis.asked} == {"same within 0.5"}
    assert "Surely within 0.5 points of 0: on − off" in " ".join(paragraph(analysis, QUICK))


@pytest.mark.parametrize(
    "weight, words", [(0.97, "is arithmetic, not a finding"), (0.9, "a twentieth")]
)
def test_a_focal_weight_near_one_is_arithmetic(weight, words):
    study = build_study("ablation:matched=no", QUICK)
    values = figures(study, 0)
    for name, blocks in values.items():
        for figure in blocks.values():
            figure |= {
                "focal_weight": weight if name.startswith("focal") else 1.0,
                "pull_weight": math.nan,
            }
    assert any(words in s and f"{weight:.3f}" in s for s in focal_words(analyse(study, values)))


def test_the_slope_of_a_focal_weight_is_said_apart():
    study = build_study("ablation", QUICK)
    lengths = {"matched: plain pairs, x": 2.0, "matched: focal pairs, x": 2.5}
    some = focal_words(analyse(study, figures(study, 0), gradients=lengths))
    assert "the gradient at the first step 25 % longer" in some[-1]
    assert not any("gradient" in s for s in focal_words(analyse(study, figures(study, 0))))


# the share of memory


def test_a_ratio_has_fiellers_interval():
    """Its ends are where the t test of above - r below is at 5 %."""
    chance = np.random.default_rng(4)
    below = 10 + 2 * chance.standard_normal(8)
    above = 0.6 * below + chance.standard_normal(8)
    share = ratio(above, below)
    assert share.low < share.value < share.high
    for end in (share.low, share.high):
        assert stats.ttest_1samp(above - end * below, 0).pvalue == pytest.approx(0.05, abs=1e-6)


def test_a_share_of_a_gain_that_may_be_nothing_is_not_given():
    assert math.isnan(ratio(np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 0.5])).value)
    assert math.isnan(ratio(np.array([1.0]), np.array([1.0])).value)
    study = build_study("teacher", QUICK)
    some = memory_share(analyse(study, figures(study, 1)))
    assert all("no share of memory can be given" in sentence for sentence in some)
    effects = {"past": 20.0, "random": 5.0, "random matched": 10.0}
    sure = memory_share(analyse(study, figures(study, 1, effects, noise=0.1)))
    shares = [int(sentence.partition(" % is memory")[0].split()[-1]) for sentence in sure]
    assert shares == pytest.approx([50, 75, 100], abs=3)
