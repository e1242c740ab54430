"""The parts of heads and memories, as a recipe is given them."""

from dataclasses import replace

import pytest

from holdfast.core.errors import ConfigError
from holdfast.learner import CosineHead, GrassmannHead
from holdfast.memory import ClassBalanced, WeighedMemory
from holdfast.recipes import make
from holdfast.recipes.adding import PARTS, with_parts
from holdfast.testing import check_recipe
from holdfast.testing.watched import QUICK, learned
from holdfast.train.continual import Continual
from holdfast.train.identity import described

LAWS = ["resume_is_uninterrupted", "forward_budget", "figures_are_sound"]


def test_the_parts_of_this_file_are_registered():
    assert {"cosine_head", "grassmann_head", "subspace", "leverage_memory"} <= set(PARTS)


@pytest.mark.parametrize(
    "recipe, text",
    [
        ("lwf_strict:decide=head", "cosine_head"),
        ("lwf_strict:decide=head", "grassmann_head"),
        ("lwf_strict", "leverage_memory:images=8"),
        ("fnc2_strict", "leverage_memory:images=8:root=yes"),
        ("er", "leverage_memory:images=8:weights=no"),
        ("fnc2_strict", "subspace:novelty=residual"),
    ],
)
def test_a_recipe_with_the_part_obeys_the_laws_of_a_run(recipe, text):
    check_recipe(with_parts(make(recipe), [text]), LAWS)


@pytest.mark.parametrize(
    "name, kind", [("cosine_head", CosineHead), ("grassmann_head", GrassmannHead)]
)
def test_a_head_is_the_learners_and_of_the_identity(name, kind):
    plain, other = make("lwf_strict"), with_parts(make("lwf_strict"), [name])
    core = Continual(other, (1, 8, 8), QUICK)
    assert type(core.learner.head) is kind
    assert described(other)["head"] == other.head and "head" not in described(plain)


def test_a_memory_keeps_the_use_of_the_one_before_and_names_what_it_may_store():
    er = with_parts(make("er"), ["leverage_memory:images=30"])
    assert isinstance(er.memory, WeighedMemory)
    assert (er.memory.use, er.memory.capacity, str(er.protocol)) == ("mix", 30, "buffer(30)")
    plain = with_parts(make("lwf_strict"), ["leverage_memory:use=readout:weights=no:root=yes"])
    assert type(plain.memory) is ClassBalanced and plain.memory.select == "root_leverage"
    assert str(plain.protocol) == "auxiliary(200)"


def test_the_rows_of_a_run_weigh(tiny_stream):
    work = learned(with_parts(make("er"), ["leverage_memory:images=8"]), tiny_stream, QUICK)
    weight = work.continual.memory.rows.extra["weight"]
    assert float(weight.std()) > 0
    assert work.result.holdings.images == 8


@pytest.mark.parametrize(
    "recipe, text, words",
    [
        ("fnc2_strict", "cosine_head", "fnc2_strict trains no head"),
        ("efc", "grassmann_head", "efc reads the rows of a linear head"),
        ("der", "leverage_memory", "memory of der, which keeps logits"),
        ("joint", "leverage_memory", "memory of joint, which keeps every image"),
    ],
)
def test_a_part_that_does_not_fit_says_why(recipe, text, words):
    with pytest.raises(ConfigError, match=words):
        with_parts(make(recipe), [text])


def test_a_method_with_another_head_is_refused():
    with pytest.raises(ConfigError, match="unknown head 'round'"):
        replace(make("lwf"), head="round")
