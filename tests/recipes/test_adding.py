"""Parts that any recipe can be given: in texts, grids, tables and stored models, under the laws."""

import inspect
import json

import pytest
import torch

from holdfast.anchor import FeatureDistillation, Rule, WeightAligning
from holdfast.cli import main
from holdfast.compare import Grid
from holdfast.core.added import part_texts
from holdfast.core.errors import ConfigError, PluginError
from holdfast.core.registry import closed
from holdfast.loss import CrossEntropy, Scaled
from holdfast.recipes import RECIPES, make
from holdfast.recipes.adding import PARTS, composable, with_parts
from holdfast.recipes.catalogue import full_parameters, resolve
from holdfast.stream import make_domains
from holdfast.testing import check_recipe
from holdfast.testing.compare import difference
from holdfast.testing.streams import small_source, small_stream
from holdfast.testing.subject import Subject
from holdfast.testing.watched import QUICK, learned
from holdfast.train.blueprint import Blueprint
from holdfast.train.identity import described

LAWS = ("a_method_is_a_value", "figures_are_sound")
SMALLER = {"online_ewc": "online_ewc:weight=0.1"}  # at the laws' learning rate
OF_DOMAINS = ("head_alignment", "hessian_alignment", "domain_sensitive")  # refuse other streams
BASES = ("lwf_strict", "fnc2_strict", "frozen", "er")  # the first that takes a part


def taker(part):
    """The first recipe that a part goes with, as text."""
    for base in BASES:
        try:
            make(base, add=part)
        except ConfigError:
            continue
        return f"{base}:add=({part})"
    raise AssertionError(f"no recipe takes {part}")


@pytest.mark.parametrize("part", list(PARTS))
def test_every_part_obeys_the_laws_in_a_recipe_that_takes_it(part):
    stream = make_domains(small_source(), "rotated:0,30,60") if part in OF_DOMAINS else None
    check_recipe(Subject(taker(SMALLER.get(part, part)), stream=stream), LAWS)


@pytest.mark.parametrize("part", list(PARTS))
def test_every_part_has_defaults_a_line_and_its_settings_explained(part):
    entry = PARTS.entry(part)
    parameters = inspect.signature(entry.value).parameters
    assert all(p.default is not p.empty for p in parameters.values()), "a part builds with no words"
    doc = entry.value.__doc__
    assert entry.summary.endswith(".") and all(f"{name}:" in doc for name in parameters)


def test_parts_join_the_anchors_in_their_order_with_their_settings():
    plain, more = make("lwf"), make("lwf:add=(features:weight=3:of=embedding)+weight_aligning")
    assert more.name == "lwf" and len(more.anchors) == len(plain.anchors) + 2
    scaled, rule = more.anchors[-2:]
    assert isinstance(scaled, Scaled) and scaled.weight.value == 3
    assert isinstance(scaled.of, FeatureDistillation) and scaled.of.of == "embedding"
    assert isinstance(rule, WeightAligning)
    assert described(
        make("lwf", add="features:weight=3:of=embedding+weight_aligning")
    ) == described(more)


@pytest.mark.parametrize("nothing", ["", "none", " none "])
def test_nothing_added_is_the_recipe_as_it_was(nothing):
    assert described(make("lwf", add=nothing)) == described(make("lwf"))
    assert "add" not in resolve("lwf", add=nothing)[1]
    assert full_parameters("lwf", add=nothing) == full_parameters("lwf")


def test_a_plus_before_a_digit_is_a_number():
    assert part_texts("features:weight=1e+1+supcon") == ["features:weight=1e+1", "supcon"]
    assert part_texts("a:x=(b+c)+(d:y=1)") == ["a:x=(b+c)", "d:y=1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("featurs", "did you mean 'features'"),
        ("features:wieght=1", "did you mean 'weight'"),
        ("features:weight=high", "must be a number"),
        ("features+", "a plus with no part"),
        ("(features", "parentheses"),
        ("logits", "trains a head"),
        ("pskd", "and fnc2 asks none"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_refused_in_a_sentence(text, words):
    with pytest.raises(ConfigError, match=words):
        make("fnc2", add=text)


def test_a_part_may_make_another_method_and_nothing_else():
    def twice(method):
        return with_parts(method, "weight_aligning")

    PARTS.add("twice", lambda: twice)
    PARTS.add("seven", lambda: 7)
    try:
        rules = make("lwf", add="twice+twice").rules
        assert [type(rule) for rule in rules] == [WeightAligning, WeightAligning]
        with pytest.raises(ConfigError, match="made a int"):
            make("lwf", add="seven")
    finally:
        for name in ("twice", "seven"):
            del PARTS._entries[name]


def test_a_recipe_that_has_a_parameter_of_that_name_keeps_it():
    def mine(add: int = 1):
        return add

    assert composable(mine) is mine


def test_a_part_changes_what_is_learned_and_weight_zero_does_not():
    def state(text):
        return {
            n: p.clone()
            for n, p in learned(make(text), small_stream(), QUICK).learner.state_dict().items()
        }

    plain = state("lwf")
    assert not difference(plain, state("lwf:add=(uniformity:weight=0)"))
    assert difference(plain, state("lwf:add=(uniformity:weight=3)"))


def test_a_grid_runs_a_recipe_with_and_without():
    grid = Grid(
        ["lwf"], per_class=6, tasks=2, settings={"lwf.add": ["none", "uniformity:weight=2"]}
    )
    jobs = grid.jobs()
    assert [job.parameters.get("add") for job in jobs] == [None, "uniformity:weight=2"]
    assert len({job.key for job in jobs}) == 2
    assert jobs[0].key == Grid(["lwf"], per_class=6, tasks=2).jobs()[0].key


def test_a_table_names_the_parts(tmp_path, capsys):
    few = ["--per-class", "6", "--tasks", "2", "--set", "epochs=1", "--workers", "1"]
    words = ["grid", "--recipes", "lwf", "--set", "lwf.add=none,uniformity:weight=2", *few]
    assert main([*words, "--out", str(tmp_path / "grid")]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "grid"), "--format", "csv"]) == 0
    names = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert "lwf + uniformity:weight=2" in names and "lwf" in names


def test_a_run_keeps_what_was_added(tmp_path, capsys):
    few = ["--per-class", "6", "--tasks", "2", "--epochs", "1"]
    out = tmp_path / "run"
    assert main(["run", "lwf", "--add", "uniformity:weight=2", *few, "--out", str(out)]) == 0
    config = json.loads((out / "result.json").read_text())["config"]
    assert config["recipe"]["add"] == "uniformity:weight=2"
    assert main(["run", "lwf", "--add", "uniform", *few]) == 2
    assert "uniformity" in capsys.readouterr().err


def test_a_stored_model_says_whose_part_it_needs():
    class Idle(Rule):
        """Does nothing."""

    PARTS.add("idle", lambda: Idle(), module="elsewhere.parts")
    try:
        blueprint = Blueprint.of("lwf", (4,), parameters={"add": "idle"})
        assert [(p["kind"], p["name"], p["module"]) for p in blueprint.plugins] == [
            ("part", "idle", "elsewhere.parts")
        ]
        again = Blueprint.from_data(json.loads(json.dumps(blueprint.to_data())))
        assert isinstance(again.method().rules[-1], Idle)
    finally:
        del PARTS._entries["idle"]
    with closed(), pytest.raises(PluginError, match="idle"):
        again.method()


def test_every_recipe_takes_a_part_that_asks_nothing():
    trained = [name for name in RECIPES if not make(name).freezes]
    assert len(trained) > 15
    for name in trained:
        assert len(make(name, add="features").objectives) == len(make(name).objectives) + 1
    assert isinstance(make("lwf").loss, CrossEntropy) and torch.is_grad_enabled()
