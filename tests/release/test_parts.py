"""What an update is checked, measured and judged by, part by part."""

import itertools
import math

import pytest
import torch

import reference
from holdfast.release import Finding, Gate, audit, keep_aside, measure
from holdfast.release.alike import comparable, contents, nearly_same, other_class, spread
from holdfast.release.checks import Rows
from holdfast.release.gate import sign_test
from holdfast.release.measured import Measured


def measured(labels, answers, classes="abc"):
    """Answers as a version gives them."""
    places = torch.tensor([classes.index(a) for a in answers])
    p = torch.full((len(labels), len(classes)), 0.1)
    p[range(len(labels)), places] = 0.8
    return Measured(list(classes), list(labels), places, p)


# the gate


@pytest.mark.parametrize("lost, gained", list(itertools.product(range(6), range(4))))
def test_the_sign_test_counts_every_way_the_coins_can_fall(lost, gained):
    assert sign_test(lost, gained) == pytest.approx(reference.sign_test(lost, gained))


@pytest.mark.parametrize(
    "lost, gained, n, refused",
    [(5, 0, 10, True), (4, 0, 10, False), (5, 1, 10, False), (9, 1, 20, True), (5, 0, 100, False)],
)
def test_by_default_a_loss_counts_beyond_its_limit_and_beyond_chance(lost, gained, n, refused):
    before = "a" * (n - gained) + "b" * gained
    after = "b" * lost + "a" * (n - lost)
    verdict = Gate().judge(measured("a" * n, before, "ab"), measured("a" * n, after))
    assert verdict.lost == pytest.approx(100 * (lost - gained) / n)
    assert bool(verdict.reasons) == refused


def test_a_limit_that_was_set_is_the_limit():
    before, after = measured("aabb", "aabb", "ab"), measured("aabb", "cabb")
    assert Gate().judge(before, after).reasons == []
    assert Gate(max_drop=24.9).judge(before, after).reasons == [
        "the images of old classes lose 25.0 points, more than --max-drop 24.9"
    ]
    assert Gate(25.0).judge(before, after).reasons == []
    reasons = Gate(max_class_drop=49).judge(before, after).reasons
    assert reasons == ["'a' loses 50.0 points, more than --max-class-drop 49"]


def test_new_classes_are_no_loss_and_without_old_ones_nothing_is_judged():
    before, after = measured("ccaa", "abaa", "ab"), measured("ccaa", "abaa")
    assert Gate(0, 0).judge(before, after).lost == 0
    assert Gate(0, 0).judge(measured("cc", "ab", "ab"), measured("cc", "ab")).lost is None


# the data


def rows(labels, seed=0, at=None):
    """Rows near the centre of their class."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(26, 12, generator=torch.Generator().manual_seed(9)) * 4
    y = torch.tensor([ord(label) - 97 for label in (at or labels)])
    return Rows(centres[y] + torch.randn(len(y), 12, generator=g), list(labels), [])


def kinds(findings: list[Finding]) -> dict[str, str]:
    return {f.kind: f.severity for f in findings}


def test_clean_data_has_nothing_to_say():
    assert audit(rows("a" * 10 + "b" * 10), rows("ab" * 5, seed=1)) == []


def test_copies_contradictions_few_and_leaks_are_counted():
    data = rows("a" * 20 + "b" * 20 + "c" * 2)
    data.x[1], data.x[21] = data.x[0], data.x[2]  # a copy; one picture under two names
    data.x[5] = data.x[4] + 1e-3
    golden = rows("abab", seed=1)
    golden.x[0] = data.x[9]
    findings = audit(data, golden)
    texts = {f.kind: f.text for f in findings}
    assert texts["duplicates"].startswith("1 image is a copy")
    assert texts["two_names"].startswith("2 images are in the data under more than one class")
    assert texts["near_duplicates"].startswith("1 image is nearly the same")
    assert texts["few"].endswith("c 2.") and texts["golden"].startswith("1 of 4 golden images is")
    assert kinds(findings)["two_names"] == "warning"  # 2 of 42 are less than 5 %
    assert [f.severity for f in findings] == sorted(
        (f.severity for f in findings), key=("refusal", "warning", "note").index
    )


def test_what_is_grave_is_a_refusal():
    data = rows("a" * 10 + "b" * 10)
    data.x[10:12] = data.x[0:2]
    golden = Rows(torch.cat([data.x[:3], rows("ab", seed=1).x]), list("aaaab"), [])
    assert kinds(audit(data, golden)) == {
        "two_names": "refusal",
        "golden": "refusal",
        "label": "warning",
    }


def test_a_doubtful_label_is_named_with_its_file():
    labels = "a" * 12 + "b" * 12
    data = rows(labels, at="b" + labels[1:])
    data = Rows(data.x, data.labels, [f"{i}.png" for i in range(24)])
    (finding,) = audit(data)
    assert finding.kind == "label" and finding.files == ["0.png (a) looks like b"]
    assert audit(data, judge_labels=False) == []


@pytest.mark.parametrize("shape", [(30, 12), (30, 3, 16, 16)])
def test_likeness_is_what_the_slow_twin_says(shape):
    g = torch.Generator().manual_seed(3)
    x = torch.rand(shape, generator=g)
    x[7], x[9], x[20] = x[2], x[3] + 0.01 * torch.rand(shape[1:], generator=g), x[7]
    x = (x * 255).byte() if len(shape) == 4 else x
    a, scale = comparable(x)
    y = torch.arange(30) % 3
    y[7] = y[2]
    slow = reference.comparable(x)
    torch.testing.assert_close(a, slow, rtol=1e-4, atol=1e-5)
    near = 0.03 * spread(a, y)
    assert near == pytest.approx(0.03 * reference.within(slow, y.tolist()), rel=1e-5)
    assert nearly_same(a, None, near).tolist() == reference.nearly_same(slow, None, near)
    copies = nearly_same(a, None, near)[[7, 20]].tolist()
    assert copies in ([2, 2], [2, 7]) and (
        a.shape[1] > 12 or int(nearly_same(a, None, near)[9]) == 3
    )
    assert nearly_same(a[:5], a[5:], near).tolist() == reference.nearly_same(
        slow[:5], slow[5:], near
    )
    assert other_class(a, y).tolist() == reference.other_class(slow, y.tolist())
    assert other_class(a, y, k=3, agree=2).tolist() == reference.other_class(slow, y.tolist(), 3, 2)
    torch.testing.assert_close(comparable(x[:4], scale)[0], a[:4])
    assert contents(x)[7] == contents(x)[2] == contents(x)[20] != contents(x)[3]


def test_few_numbers_are_never_nearly_the_same():
    data = Rows(torch.rand(60, 3, generator=torch.Generator().manual_seed(0)), ["a"] * 60, [])
    assert audit(data) == []


# kept aside


@pytest.mark.parametrize("scenes", [False, True])
def test_what_is_kept_aside_does_not_depend_on_the_order(scenes):
    data = rows("a" * 40 + "b" * 19 + "c" * 25)
    split = keep_aside(data.x, data.labels, scenes)
    assert sorted(split.learn + split.measure) == list(range(84))
    counts = {name: [data.labels[i] for i in split.measure].count(name) for name in "abc"}
    assert counts["b"] == 0  # fewer than 20
    if scenes:
        assert 0 < counts["a"] <= 20 and 0 < counts["c"] <= 12
        return
    assert (counts["a"], counts["c"]) == (4, 3)
    order = torch.randperm(84, generator=torch.Generator().manual_seed(1)).tolist()
    turned = keep_aside(data.x[order], [data.labels[i] for i in order])
    assert {order[i] for i in turned.measure} == set(split.measure)


# measured


def test_figures_are_of_known_classes():
    answers = Measured(
        ["a", "b"], ["a", "a", "b", "z"], torch.tensor([0, 1, 1, 0]),
        torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]]),
        torch.tensor([0.0, 3.0, 1.0, 9.0]), 2.0,
    )  # fmt: skip
    assert answers.right == [True, False, True, False]
    assert answers.counts() == {"a": (1, 2), "b": (1, 1), "z": (0, 1)}
    assert answers.alarms() == (1, 3)
    error, floor = answers.calibration()
    # |1 - 0.9|, |0 - 0.6|, |1 - 0.8|, each alone in its bin
    assert error == pytest.approx((0.1 + 0.6 + 0.2) / 3, abs=1e-6) and 0 < floor < 1
    assert Measured(["a"], ["z"], torch.tensor([0]), torch.ones(1, 1)).calibration() is None


def test_a_learner_is_measured_by_its_main_readout():
    from holdfast import recipes
    from holdfast.train.continual import Continual

    data = rows("a" * 20 + "b" * 20 + "c" * 20)
    core = Continual(recipes.make("frozen"), (12,))
    core.learn(core.arrive(data.x, data.labels))
    out = measure(core, data.x, data.labels)
    scores = core.scores(data.x)
    assert torch.equal(out.predicted, scores.argmax(1)) and out.classes == ["a", "b", "c"]
    readout = core.readouts[core.readout]
    assert out.threshold == readout.threshold(0.05) and not math.isnan(out.threshold)
    torch.testing.assert_close(out.strange, readout.strange(core.out(data.x)))
