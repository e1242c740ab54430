"""The command line as a user meets it: what it prints, what it leaves, and its exit codes."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from every_recipe import QUICKER
from holdfast.cli import main
from holdfast.compare.arrival import Data
from holdfast.compare.runs import cells_of
from holdfast.loss import FocalCollapse
from holdfast.recipes import RECIPES
from holdfast.recipes.field import FIELD
from holdfast.recipes.presets import PAPER, PRESETS, find_preset

FAST = ["--epochs", "1", "--first-epochs", "1", "--width", "4", "--per-class", "12",
        "--test-per-class", "8"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def complaint(capsys, *arguments):
    """Exit code 2 and one sentence; returns it."""
    try:
        code = main(arguments)
    except SystemExit as left:  # wrong flags are refused while they are read
        code = left.code
    said = capsys.readouterr()
    assert code == 2
    return " ".join((said.err + said.out).split())


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs_and_leaves_a_folder(recipe, tmp_path, capsys):
    assert main(["run", QUICKER.get(recipe, recipe), *FAST, "--tasks", "3", "--out", "here"]) == 0
    said = capsys.readouterr().out
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["recipe"] == recipe and left["status"] == "complete"
    assert left["protocol"] in said and "here" in said
    assert "\x1b" not in said  # no terminal: plain lines


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_shows_every_parameter_with_its_meaning(recipe, capsys):
    import inspect

    with pytest.raises(SystemExit) as left:
        main(["run", recipe, "--help"])
    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, parameter in inspect.signature(RECIPES[recipe]).parameters.items():
        flag = name.replace("_", "-")
        assert (f"--no-{flag}" if parameter.default is True else f"--{flag}") in said
    assert "Preset" in said and "--protocol" in said
    assert "holdfast readouts" in said.replace("│ │ ", "")


KINDS = {
    "recipes": ("fnc2", "WACV"),
    "readouts": ("fecam", "FeCAM"),
    "sources": ("digits", "scikit-learn"),
    "views": ("contrastive", "crop="),
    "divergences": ("jensen_shannon", "log 2"),
    "schedules": ("delayed", "e0"),
    "studies": ("equivalence", "statements"),
    "curvatures": ("ggn", "log p"),
    "memories": ("reservoir", "uniform"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_kind_are_listed(kind, capsys):
    assert main([kind]) == 0
    listed = capsys.readouterr().out
    assert all(words in listed for words in KINDS[kind]) and "--import" in listed
    assert main([kind, "--flag"]) == 2
    capsys.readouterr()
    assert main([kind, "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)[kind]
    assert {KINDS[kind][0]} <= {part["name"] for part in parts}
    assert all(set(part) == {"name", "about", "builtin", "origin"} for part in parts)


def test_recipes_lists_each_with_its_source(capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in RECIPES)
    assert "WACV" in said and "ICCV" in said


def test_without_words_it_says_what_it_is_for(capsys):
    assert main([]) == 0
    assert "holdfast run" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["rum"], ["unknown command 'rum'", "did you mean 'run'"]),
        (["run", "fcn2"], ["unknown recipe 'fcn2'", "did you mean 'fnc2'"]),
        (["run", "fnc2", "--stream", "digit"], ["unknown source 'digit'", "digits"]),
        (["run", "fnc2", "--taux", "1"], ["--taux", "--tau"]),
        (["run", "fnc2", "--epochs", "many"], ["--epochs", "many"]),
        (["run", "fnc2", "--epochs", "0"], ["--epochs must be at least 1"]),
        (["run", "fnc2", "--tasks", "11"], ["11", "10"]),
        (["run", "fnc2", "--classes-per-task", "4,x"], ["4,x", "4,2,2,2"]),
        (["run", "fnc2", "--classes-per-task", "4,4"], ["10"]),
        (["run", "fnc2", "--dim", "8"], ["9 prototypes", "10 classes", "--dim"]),
        (["run", "fnc2", "--alpha", "liner"], ["unknown schedule 'liner'", "linear"]),
        (["run", "fnc2", "--gamma", "-1"], ["gamma", "-1"]),
        (["run", "fnc2", "--distill", "-1"], ["weight", "-1"]),
        (["run", "lwf", "--T", "0"], ["temperature must be positive", "T=0"]),
        (["run", "lwf", "--weight", "-1"], ["weight", "-1"]),
        (["run", "lwf", "--divergence", "forward"], ["unknown divergence 'forward'", "forward_kl"]),
        (["run", "derpp", "--protocol", "strict"], ["rehearses", "--protocol buffer"]),
        (["run", "fnc2", "--readout", "prob"], ["unknown readout 'prob'", "probe"]),
        (["run", "fnc2", "--readout", "probe"], ["probe", "strict", "--protocol auxiliary"]),
        (
            ["run", "fnc2", "--readout", "gaussian:embeding"],
            ["'embeding'", "did you mean 'embedding'"],
        ),
        (["run", "fnc2", "--also", "fecam:tukey=x"], ["tukey cannot be 'x'", "a number"]),
        (["run", "fnc2_strict", "--decide", "gausian"], ["did you mean 'gaussian'"]),
        (["run", "fnc2_strict", "--features", "-1"], ["weight", "-1"]),
        (["run", "fnc2", "--readout", "head"], ["fnc2 trains no head"]),
        (["run", "finetune", "--readout", "prototype"], ["finetune has no prototypes"]),
        (["run", "er", "--protocol", "strict"], ["rehearses", "--protocol buffer"]),
        (["run", "fnc2", "--protocol", "auxiliary"], ["--images 200"]),
        (["run", "fnc2", "--images", "20"], ["strict", "--images"]),
        (["run", "joint", "--protocol", "strict"], ["joint"]),
        (["run", "fnc2", "--data", "nowhere"], ["nowhere"]),
        (["run", "fnc2", "--preset", "paper"], ["paper", "cifar10", "digits"]),
        (["run", "fnc2", "--backbone", "vit"], ["unknown backbone 'vit'"]),
        (["run", "fnc2", "--device", "tpux"], ["tpux"]),
        (["run", "fnc2", "--augment", "plane"], ["plane", "plain"]),
        (["run", "fnc2", "--validation", "2"], ["validation", "2"]),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments, words, capsys, tmp_path):
    said = complaint(capsys, *arguments)
    assert [word for word in words if word not in said] == []
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()  # nothing half-made is left behind


def test_an_existing_out_is_refused(capsys, tmp_path):
    (tmp_path / "here").mkdir()
    assert "--overwrite" in complaint(capsys, "run", "finetune", *FAST, "--out", "here")


def test_a_diverging_run_names_the_term_and_keeps_what_was_learned(capsys, tmp_path, monkeypatch):
    honest = FocalCollapse.value

    def broken(self, part, step):
        return honest(self, part, step) * (float("nan") if step.task == 2 else 1.0)

    monkeypatch.setattr(FocalCollapse, "value", broken)
    said = complaint(capsys, "run", "fnc2", *FAST, "--out", "here")
    assert "fnc2 became nan in task 3, epoch 1" in said
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["status"].startswith("stopped") and len(left["tasks"]) == 2
    assert left["class_il"]["matrix"][1][0] is not None and left["class_il"]["matrix"][2][0] is None
    assert (tmp_path / "here" / "learner.safetensors").exists()


def test_a_run_that_stops_in_its_first_task_still_leaves_a_readable_result(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(FocalCollapse, "value", lambda self, part, step: step.zero / 0)
    assert "task 1" in complaint(capsys, "run", "fnc2", *FAST, "--out", "here")
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["tasks"] == [] and left["class_il"]["final"] is None


def test_quiet_prints_nothing(capsys):
    assert main(["run", "finetune", *FAST, "--tasks", "2", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_json_is_the_result_and_nothing_else(capsys, tmp_path):
    assert main(["run", "finetune", *FAST, "--tasks", "2", "--json", "--out", "here"]) == 0
    printed, said = capsys.readouterr()
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert json.loads(printed) == {"folder": "here"} | result and "finetune on" in said


def test_fresh_names_do_not_collide(tmp_path):
    for _ in range(2):
        assert main(["run", "finetune", *FAST, "--tasks", "2", "--quiet"]) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == [
        "finetune-digits-strict",
        "finetune-digits-strict-2",
    ]


def test_also_reads_the_same_network_under_its_own_protocol(tmp_path):
    flags = ["--protocol", "auxiliary", "--images", "20", "--also", "gaussian,prototype"]
    assert main(["run", "fnc2", *FAST, "--tasks", "2", *flags, "--quiet", "--out", "here"]) == 0
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert {n: r["protocol"] for n, r in left["readouts"].items()} == {
        "probe": "auxiliary(20)",
        "gaussian": "strict",
        "prototype": "strict",
    }
    stored = {n: r["stored"] for n, r in left["readouts"].items()}
    assert {n: s["images"] for n, s in stored.items()} == {
        "probe": 20,
        "gaussian": 0,
        "prototype": 0,
    }
    run = {n: left["memory"][n] for n in ("images", "floats", "bytes")}
    assert run.items() <= stored["probe"].items()
    assert stored["gaussian"]["floats"] > stored["prototype"]["floats"]
    (cell,) = cells_of(tmp_path, left, "gaussian")
    assert cell.stored == {k: float(v) for k, v in stored["gaussian"].items() if k != "past_floats"}


def test_settings_of_readouts_and_what_to_believe_are_in_the_result(tmp_path):
    names = ["gaussian:drift=low_rank", "mean:embedding", "class-correlation"]
    flags = ["--readout", names[0], "--also", ",".join(names[1:]), "--out", "here", "--quiet"]
    assert main(["run", "lwf_strict", *FAST, *flags]) == 0
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["readout"] == names[0] and list(left["readouts"]) == names
    for name, drifts in zip(names, (4, 0, 4)):
        assert len(left["readouts"][name]["drift_residuals"]) == drifts
        assert len(left["readouts"][name]["drift_forecasts"]) == drifts
        assert 0 <= left["readouts"][name]["calibration_error"] <= 1
    assert all(r > 0 for r in left["readouts"][names[0]]["drift_residuals"])


@pytest.mark.parametrize("scenario", ["permuted", "rotated", "instance"])
def test_the_same_classes_may_come_again(scenario, tmp_path):
    flags = ["--scenario", scenario, "--tasks", "2", *FAST, "--quiet", "--out", "here"]
    assert main(["run", "fnc2", *flags, "--protocol", "buffer", "--images", "20"]) == 0
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["class_il"]["matrix"] == left["task_il"]["matrix"]
    assert left["memory"]["images"] == 20


def test_a_folder_of_images_is_learned(tmp_path):
    rng = np.random.default_rng(0)
    for c, name in enumerate(("ant", "bee", "cat", "dog")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(8):
            pixels = (rng.random((12, 12)) * 60 + 60 * c).astype("uint8")  # grey becomes RGB
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    flags = ["--data", "pictures", "--tasks", "2", "--epochs", "1", "--width", "4", "--quiet"]
    assert main(["run", "fnc2", *flags, "--out", "here"]) == 0
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert left["data"]["classes"] == ["ant", "bee", "cat", "dog"]
    assert left["data"]["tasks"] == [[0, 1], [2, 3]]


def test_presets_carry_their_provenance_and_the_published_numbers():
    assert all(PAPER[name].provenance for name in PAPER)
    assert ("auto", "quick", "desk", "paper", *FIELD) == PRESETS
    tiny = find_preset("paper", stream="tiny-imagenet")
    assert (tiny.tasks, tiny.training.first_epochs, tiny.training.epochs) == (10, 500, 50)
    assert tiny.training.lr == 0.1 and tiny.augment == "contrastive-tiny"
    assert tiny.recipes["fnc2"]["gamma"] == 4.0 and tiny.recipes["fnc2"]["now"] == 0.1
    c10 = find_preset("paper", stream="cifar10")
    assert (c10.training.batch, c10.training.lr, c10.network.width) == (512, 0.5, 64)
    assert c10.recipes["fnc2"]["denominator"] == "open"
    assert c10.recipes["fnc2"]["gamma"] == 1.0 and c10.recipes["fnc2"]["scale"] == pytest.approx(
        7.142857
    )


def test_protocols_of_the_field_cut_the_classes_as_their_names_say():
    cuts = {name: preset.cuts(200 if "tiny" in name else 100) for name, preset in FIELD.items()}
    assert cuts.pop("cifar100-50+10x5") == (11, (50, *(5,) * 10))
    for name, (tasks, uneven) in cuts.items():
        count, size = map(int, name.rpartition("-")[2].split("x"))
        assert tasks == count and uneven is None
        assert count * size == (200 if "tiny" in name else 100)
    half = find_preset("cifar100-50+10x5")
    assert half.cuts(100, 4) == (4, None) and half.cuts(100, 0, (60, 40)) == (11, (60, 40))
    assert half.cuts(100, scenario="permuted") == (11, None)
    assert all(preset.provenance and preset.name == name for name, preset in FIELD.items())


def test_a_preset_cuts_unevenly_in_runs_and_grids(tmp_path, monkeypatch, capsys):
    uneven = replace(find_preset("quick"), tasks=2, classes_per_task=(7, 3))
    monkeypatch.setitem(FIELD, "cifar100-50+10x5", uneven)
    flags = ["--preset", "cifar100-50+10x5", *FAST]
    assert main(["run", "finetune", *flags, "--quiet", "--out", "here"]) == 0
    left = json.loads((tmp_path / "here" / "result.json").read_text())
    assert [len(task) for task in left["data"]["tasks"]] == [7, 3]
    data = Data("digits", per_class=5, test_per_class=5)
    stream = data.cut(data.source(), find_preset("cifar100-50+10x5"))
    assert [len(task.classes) for task in stream] == [7, 3]


def test_the_installed_command_and_its_exit_code():
    command = [sys.executable, "-m", "holdfast.cli", "run", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: unknown recipe 'nothing'")
