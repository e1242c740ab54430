"""Studies carried out: an effect that is there, one that is not, and an arm that fails."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from holdfast.cli import main
from holdfast.core.errors import ConfigError
from holdfast.study import DESIGNS, build_study
from holdfast.study.design import Arm, Match, Study, pair
from holdfast.study.engine import carry_out, grid_of, jobs_by_arm, lengths_of, rescaled
from holdfast.study.page import as_json
from holdfast.study.probe import gradient
from holdfast.study.sizes import Size, find_size

TOY = find_size("toy")
ANCHORS = Match("distill", "past", "anchors")


def planted(size: Size, broken: bool = False) -> Study:
    """How classes are read matters much, the rotation of the frame not at all; one arm cannot learn."""
    strict = {"recipe": "fnc2_strict"}
    arms = [
        Arm("gaussian", **strict),
        Arm("turned", parameters={"frame_seed": 1}, **strict),
        Arm("prototype", parameters={"decide": "prototype"}, **strict),
        Arm("broken", parameters={"scale": 1e38}, **strict),
    ]
    return Study(
        "planted",
        "Is what is there found?",
        arms[: 3 + broken],
        "gaussian",
        [
            pair("prototype", "gaussian"),
            pair("turned", "gaussian"),
            *([pair("broken", "gaussian")] if broken else []),
        ],
        ("learned", "nc1", "separation", "new_into_old", "focal_weight"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of runs, carried out twice: what the second call does is looked at."""
    DESIGNS.add("planted", planted, "tests")
    yield tmp_path_factory.mktemp("studies") / "planted"
    del DESIGNS._entries["planted"]


@pytest.fixture(scope="module")
def code(folder):
    command = ["study", "planted:broken=yes", "--size", "toy", "--out", str(folder), "--quiet"]
    return main(command)


def test_a_planted_effect_is_found_and_an_absent_one_is_not(code, folder):
    data = json.loads((folder / "study.json").read_text())
    effects = {one["name"]: one for one in data["effects"]}
    assert effects["prototype − gaussian"]["verdict"] == "lower"
    assert effects["prototype − gaussian"]["p_holm"] < 0.05
    assert effects["turned − gaussian"]["verdict"].startswith(("not told", "same"))
    assert {arm["name"]: len(arm["blocks"]) for arm in data["arms"]} == {
        "gaussian": 6, "turned": 6, "prototype": 6,
    }  # fmt: skip
    block = data["arms"][0]["blocks"][0]
    assert block["nc1"] > 0 and block["separation"] > 0 and 0 <= block["new_into_old"] <= 1


def test_an_arm_that_fails_is_listed_and_the_rest_is_reported(code, folder):
    assert code == 1
    data = json.loads((folder / "study.json").read_text())
    assert {one["arm"] for one in data["failed"]} == {"broken"} and len(data["failed"]) == 6
    assert next(e for e in data["effects"] if "broken" in e["name"])["verdict"] == "not measured"
    name = data["failed"][0]["run"]
    assert "DivergedError" in (folder / "grid" / "failed" / f"{name}.txt").read_text()


def test_the_page_and_the_picture_stand_alone(code, folder):
    page = (folder / "study.md").read_text()
    assert page.startswith("# planted:broken=yes\n\n*Is what is there found?*")
    assert "6 runs failed, of: broken" in page and "![effects](study.svg)" in page
    assert "Made by `holdfast study planted:broken=yes --size toy --blocks " in page
    picture = ElementTree.parse(folder / "study.svg").getroot()
    assert picture.tag.endswith("svg") and "Is what is there found?" in picture.get("aria-label")


def test_called_again_it_runs_only_what_is_missing(code, folder, capsys):
    results = {file: file.stat().st_mtime_ns for file in folder.rglob("result.json")}
    command = ["study", "planted:broken=yes", "--size", "toy", "--out", str(folder)]
    assert main([*command, "--blocks", "7", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert {len(arm["blocks"]) for arm in data["arms"]} == {7}
    assert {file: file.stat().st_mtime_ns for file in results} == results


def test_a_folder_of_another_study_is_left_alone(code, folder, capsys, tmp_path):
    assert main(["study", "replay", "--size", "toy", "--out", str(folder)]) != 0
    assert "holds a study with study planted:broken=yes, not replay" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("x")
    assert main(["study", "replay", "--size", "toy", "--out", str(tmp_path)]) != 0
    assert "holds no study" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["replay", "--blocks", "4"], "needs 6 blocks or more"),
        (["repaly"], "did you mean 'replay'"),
        (["replay", "--seed", "3"], "say how many with --blocks"),
        (["replay", "--size", "desk"], "say where it is with --data"),
        (["replay", "--set", "epochs=1,2"], "is one value of a setting"),
        (["equivalence", "--blocks", "8"], "leave --blocks out"),
        (["ablation:gama=1"], "did you mean 'gamma'"),
    ],
)
def test_bad_input_is_one_sentence(words, said, capsys):
    assert main(["study", *words]) != 0
    assert said in capsys.readouterr().err


def test_a_matched_arm_starts_with_as_long_a_gradient():
    """The lengths of the ablation's loss at the first step, before and after."""
    study = build_study("ablation", TOY)
    names = ("focal pairs, focal pull, old", "matched: pull alone, old")
    arms = [arm for arm in study.arms if arm.name in names]
    lengths = lengths_of(arms, study, TOY)
    assert abs(lengths[names[1]] / lengths[names[0]] - 1) > 0.5
    matched = rescaled(arms[1], lengths, {"scale": 1.0})
    assert matched.parameters["scale"] == pytest.approx(
        lengths[names[0]] / lengths[names[1]], rel=1e-3
    )
    jobs = jobs_by_arm([arms[0], matched], grid_of([arms[0], matched], TOY, 1).jobs())
    whole, other = (gradient(jobs[arm.name][0], "loss") for arm in (arms[0], matched))
    assert other / whole == pytest.approx(1, abs=0.25)  # the factor is a mean over blocks


def test_anchors_are_weighed_against_the_loss():
    arms = [
        Arm("past"),
        Arm("twice", parameters={"distill": 2.0}, match=Match("distill", "past", "anchors")),
    ]
    study = Study("s", "?", arms, "past", [pair("twice", "past")], ())
    lengths = lengths_of(arms, study, TOY.of(6))
    # the same first step, and after it other networks
    assert 1.2 < lengths["twice"] / lengths["past"] < 2.8


def test_a_gradient_of_nothing_cannot_be_matched(tmp_path):
    arms = [
        Arm("past"),
        Arm("none", parameters={"distill": 0.0}, match=Match("distill", "past", "anchors")),
    ]
    study = Study("s", "?", arms, "past", [pair("none", "past")], ())
    with pytest.raises(ConfigError, match="the arm none has a gradient of length 0"):
        carry_out(study, TOY, tmp_path / "s")


def test_an_arm_with_sam_learns_otherwise_and_logs_how_sharp_it_was(tmp_path):
    plain = {"decide": "prototype", "gpm": "0"}
    arms = [
        Arm("plain", "fnc2_strict", plain),
        Arm("sam", "fnc2_strict", plain | {"add": "sam:rho=30"}),
    ]
    study = Study("flat", "?", arms, "plain", [pair("sam", "plain")], ("learned",))
    data = json.loads(as_json(carry_out(study, TOY, tmp_path / "s")))
    assert data["effects"][0]["mean"] != 0
    logs = [path.read_text() for path in (tmp_path / "s").rglob("log.jsonl")]
    assert sum("sharpness" in log for log in logs) == len(logs) / 2 > 0
