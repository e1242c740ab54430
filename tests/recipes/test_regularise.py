"""Regularisers as parts: what each makes of a recipe, as wired, and what it says where it does not fit."""

from dataclasses import replace

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy, Mixup, NestedDropout, SelfTaught
from holdfast.recipes import make
from holdfast.recipes.adding import PARTS, with_parts
from holdfast.recipes.method import Method
from holdfast.recipes.parts import regularise
from holdfast.testing import check_recipe
from wired import close, wire

BESIDE = {  # part: its label and weight
    "elr:weight=0.7": ("elr", 0.7),
    "singular:weight=0.3:of=embedding:on=batch": ("singular", 0.3),
    "orthogonal_conv:weight=0.5": ("orthogonal", 0.5),
    "mixed_distillation:weight=0.6:T=3": ("distil_mixed", 0.6),
    "cmi:weight=0.4:share=0.5": ("cmi", 0.4),
    "coding_rate:weight=0.2:epsilon=0.3": ("coding_rate", 0.2),
}
IN_PLACE = {
    "pskd:share=0.5": ("self_taught", SelfTaught),
    "nested_dropout:scale=0.7": ("nested", NestedDropout),
    "mixup:alpha=0.4:kept=0.25": ("mixup", Mixup),
    "decoupled_mixup:eta=0.3:balance=none": ("mixup", Mixup),
}


def test_these_are_all():
    mine = {name for name in PARTS if PARTS[name].__module__ == regularise.__name__}
    assert mine == {text.partition(":")[0] for text in (*BESIDE, *IN_PLACE)}


@pytest.mark.parametrize("text", BESIDE)
def test_a_part_beside_the_loss_is_added_with_its_weight(text):
    label, weight = BESIDE[text]
    wired = wire(with_parts(make("lwf:weight=0.8"), [text]))
    records = wired.records
    assert abs(records[label]) > 1e-7 or label in (
        "orthogonal",
        "cmi",
    )  # no convolution; not its time
    expected = records["cross_entropy"] + 0.8 * records["distil"] + weight * records[label]
    assert close(wired.loss, expected)


@pytest.mark.parametrize("text", IN_PLACE)
@pytest.mark.parametrize("recipe", ["lwf:weight=0.8", "finetune:classes=seen"])
def test_a_part_in_place_of_cross_entropy_keeps_its_classes(text, recipe):
    (label, kind), plain = IN_PLACE[text], make(recipe)
    method = with_parts(plain, [text])
    (term,) = (term for term in method.terms if isinstance(term, kind))
    assert term.classes == plain.terms[0].classes
    assert not any(type(t) is CrossEntropy for t in method.terms)
    assert type(plain.terms[0]) is CrossEntropy  # what it was made from stays
    wired = wire(method)
    assert close(wired.loss, wired.records[label] + 0.8 * wired.records.get("distil", 0.0))


def test_settings_reach_their_terms():
    def term_of(text, recipe="lwf"):
        return with_parts(make(recipe), [text]).terms

    mixup = term_of("decoupled_mixup:eta=0.3:balance=none:alpha=0.4:within=batch")[0]
    assert (mixup.eta, mixup.balance) == (0.3, "none")
    assert (mixup.mixing.alpha, mixup.mixing.kept, mixup.mixing.within) == (0.4, 0.0, "batch")
    assert term_of("pskd:share=0.5")[0].share == 0.5
    assert term_of("nested_dropout:scale=0.7")[0].scale == 0.7
    elr = term_of("elr:beta=0.9:classes=seen")[-1]
    assert (elr.beta, elr.classes) == (0.9, "seen")
    cmi = term_of("cmi:share=0.3:rise=0.2:classes=seen")[-1]
    assert (cmi.share, cmi.rise, cmi.classes) == (0.3, 0.2, "seen")
    coding = term_of("coding_rate:epsilon=0.3:compress=no:on=batch", "fnc2")[-1]
    assert (coding.epsilon, coding.compress, coding.on) == (0.3, False, "batch")
    mixed = term_of("mixed_distillation:T=std:kept=0.5")[-1]
    assert (mixed.T, mixed.on, mixed.mixing.kept) == ("std", "mixed", 0.5)


def test_one_way_of_mixing_serves_both_parts():
    method = with_parts(make("lwf"), ["mixup:alpha=0.2", "mixed_distillation"])
    assert method.mixing.alpha == 0.2
    with pytest.raises(ConfigError, match="give all of them one way"):
        with_parts(make("lwf"), ["mixup:alpha=0.2", "mixed_distillation:alpha=0.7"])


def test_cross_entropy_is_replaced_wherever_it_stands_and_a_memorys_stays():
    inner = Method(0.5 * (CrossEntropy("new") + CrossEntropy(on="memory")), [2.0 * CrossEntropy()])
    terms = with_parts(inner, ["pskd"]).terms
    assert [type(t).__name__ for t in terms] == ["SelfTaught", "CrossEntropy", "SelfTaught"]
    assert [t.on for t in terms] == ["batch", "memory", "batch"]


@pytest.mark.parametrize("text", IN_PLACE)
def test_where_there_is_no_cross_entropy_it_is_said(text):
    name = text.partition(":")[0]
    sentence = (
        f"the part {name} stands in place of a method's cross-entropy, and fnc2_strict asks none"
    )
    with pytest.raises(ConfigError, match=sentence):
        with_parts(make("fnc2_strict"), [text])
    with pytest.raises(ConfigError, match="another part stands there already"):
        with_parts(make("lwf"), [text, text])
    with pytest.raises(ConfigError, match="frozen asks none"):
        with_parts(make("frozen"), [text])


@pytest.mark.parametrize("text", ["elr", "mixed_distillation", "cmi"])
def test_what_asks_a_head_is_refused_where_none_is_trained(text):
    with pytest.raises(
        ConfigError, match="reads the head's logits, and no term of this method trains"
    ):
        with_parts(make("fnc2_strict"), [text])


def test_a_frame_stays_shared_between_a_loss_and_its_readout():
    """A method is copied whole, so that what its parts share they still share."""
    method = replace(make("fnc2_strict:decide=prototype"), name="both")
    method = replace(method, anchors=[*method.anchors, CrossEntropy()])
    changed = with_parts(method, ["pskd"])
    assert changed.readout.frame is changed.frame is not method.frame


def test_without_three_old_classes_a_deviation_is_refused_in_a_sentence(tiny_stream):
    from holdfast.testing.watched import QUICK, learned

    with pytest.raises(ConfigError, match="begin with a task of 3 classes"):
        learned(with_parts(make("lwf"), ["mixed_distillation:T=std"]), tiny_stream, QUICK)


LAWS = (
    "a_method_is_a_value", "same_seed_same_bits", "resume_is_uninterrupted", "forward_budget",
    "storage_as_declared",
)  # fmt: skip


def test_a_recipe_with_many_parts_obeys_the_laws():
    texts = [
        "decoupled_mixup",
        "mixed_distillation",
        "elr",
        "cmi:share=0.5",
        "singular",
        "orthogonal_conv",
    ]
    check_recipe(lambda: with_parts(make("lwf_strict"), texts), LAWS)


def test_parts_do_not_change_what_a_recipe_draws_without_them():
    a, b = (wire(with_parts(make("lwf"), texts)) for texts in ([], ["elr:weight=0.0"]))
    assert torch.equal(a.step["batch"].rows.x, b.step["batch"].rows.x) and a.loss == b.loss
