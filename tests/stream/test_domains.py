"""Streams of domains: a task each, or mixed in the tasks; what cannot be is refused in a sentence."""

import json

import pytest
import torch

from holdfast.cli import main
from holdfast.compare.plan import Grid
from holdfast.core.errors import ConfigError
from holdfast.stream import Domains, corrupted, from_arrays, make_domains
from holdfast.stream.changes import rotated
from holdfast.stream.content import content_fingerprint
from holdfast.testing import small_source, vectors


def source():
    return small_source(each=6, tests=8)


def test_every_domain_is_a_task_with_all_rows():
    some = source()
    stream = make_domains(some, "corrupted:clean,haze@5,gaussian_noise:severity=2")
    assert stream.scenario == "domain" and len(stream) == 3
    assert stream.name == "textures-corrupted:clean,haze@5,gaussian_noise@2"
    n = len(some.y)
    expected = [some.x, corrupted(some.x, "haze", 5), corrupted(some.x, "gaussian_noise", 2)]
    for task, x in zip(stream, expected, strict=True):
        assert torch.equal(task.train.x, x) and torch.equal(task.train.y, some.y)
        assert "domain" not in task.train.extra and bool((task.train.task == task.index).all())
    test = corrupted(some.test_x, "gaussian_noise", 2, range(n, n + len(some.test_y)))
    assert torch.equal(stream[2].test.x, test)
    keys = torch.cat([t.train.key for t in stream] + [t.test.key for t in stream])
    assert keys.unique().numel() == len(keys)


def test_rotated_and_permuted_domains_are_those_of_the_scenarios():
    from holdfast.stream import make_stream

    some = source()
    stream = make_domains(some, "rotated:0,60,120")
    assert torch.equal(stream[1].train.x, rotated(some.x, 60))
    assert stream.fingerprint() == make_stream(some, "rotated", 3).fingerprint()
    for seed in (None, 3):
        permuted = make_domains(some, "permuted:3", order_seed=seed)
        assert permuted.fingerprint() == make_stream(some, "permuted", 3, None, seed).fingerprint()


@pytest.mark.parametrize("scenario", ["class", "instance"])
@pytest.mark.parametrize("order_seed", [None, 2])
def test_mixed_domains_are_in_every_class_and_a_row_is_in_one(scenario, order_seed):
    some = source()
    text = "rotated:0,30,90:mix=yes"
    stream = make_domains(some, text, scenario, 2, order_seed=order_seed)
    assert stream.scenario == scenario and len(stream) == 2
    n = len(some.y)
    for task in stream:
        for table, x, first in ((task.train, some.x, 0), (task.test, some.test_x, n)):
            for c in task.classes:
                assert len(table.extra["domain"][table.y == c].unique()) > 1
            for i in range(len(table)):
                row, d = int(table.key[i]) - first, int(table.extra["domain"][i])
                assert torch.equal(table.x[i], rotated(x[row : row + 1], (0, 30, 90)[d])[0])


def test_the_same_rows_are_mixed_alike_in_every_order_of_classes():
    marks = {
        content_fingerprint(
            make_domains(source(), "corrupted:clean,elastic:mix=yes", "class", 2, None, seed)
        )
        for seed in (None, 1, 2)
    }
    assert len(marks) == 1


def test_features_can_be_permuted_and_not_turned():
    some = small_source(vectors, each=3, tests=2)
    stream = make_domains(some, "permuted:2")
    assert torch.equal(stream[1].train.x.sort(1).values, some.x.sort(1).values)
    with pytest.raises(ConfigError, match="feature vectors cannot be rotated"):
        make_domains(some, "rotated:0,30")


@pytest.mark.parametrize(
    "text, words",
    [
        ("rotate:1,2", "did you mean 'rotated'"),
        ("rotated:30", "fewer than two domains"),
        ("rotated:0,30,0", "hold 0 twice"),
        ("rotated:a,b", "cannot be 'a'"),
        ("rotated:0,500", "between -360 and 360, not 500"),
        ("rotated:0,30:severity=2", "is no setting of rotated domains"),
        ("rotated:0,30:mix=perhaps", "must be yes or no"),
        ("permuted:1", "fewer than two domains"),
        ("permuted", "takes how many domains"),
        ("corrupted:clean,hase", "did you mean 'haze'"),
        ("corrupted:clean,haze@9", "from 1 to 5, not '9'"),
        ("corrupted:clean@2,haze", "unknown corruption|clean"),
        ("corrupted:clean,saturate", "three channels"),
    ],
)
def test_bad_domains_are_one_sentence(text, words):
    with pytest.raises(ConfigError, match=words) as raised:
        make_domains(source(), text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"scenario": "instance"}, "leave --scenario and"),
        ({"classes_per_task": (3, 3)}, "leave --scenario and"),
        ({"tasks": 5}, "makes 2 tasks, not 5"),
        ({"text": "rotated:0,30:mix=yes", "scenario": "rotated"}, "changes the inputs itself"),
    ],
)
def test_what_does_not_go_together_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        make_domains(source(), **{"text": "rotated:0,30"} | values)


def test_the_text_of_domains_makes_the_same_domains():
    for text in ("rotated:0,7.5,-30", "permuted:4:mix=yes", "corrupted:clean,jpeg@1,haze"):
        domains = Domains.of(text)
        assert Domains.of(domains.text) == domains


def test_a_grid_takes_them_and_tells_them_apart():
    jobs = [
        job
        for domains in ("", "rotated:0,90", "rotated:0,90:mix=yes")
        for job in Grid(("finetune",), per_class=4, test_per_class=2, domains=domains).jobs()
    ]
    assert len({job.key for job in jobs}) == 3
    assert [job.data.domains for job in jobs] == ["", "rotated:0,90", "rotated:0,90:mix=yes"]


def test_the_command_line_runs_them(tmp_path, capsys):
    out = tmp_path / "run"
    words = [
        "--per-class",
        "4",
        "--test-per-class",
        "3",
        "--epochs",
        "1",
        "--width",
        "4",
        "--quiet",
    ]
    arguments = ["run", "lwf_strict", "--domains", "rotated:0,90", *words, "--out", str(out)]
    assert main(arguments) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["data"]["scenario"] == "domain" and len(result["data"]["tasks"]) == 2
    assert result["data"]["stream"] == "digits-rotated:0,90"
    assert main([*arguments[:3], "rotated:0", *words]) != 0
    assert "write two or more" in capsys.readouterr().err


def test_a_class_with_too_few_rows_still_has_its_rows():
    some = from_arrays(torch.rand(8, 8, 8), [0, 1] * 4, torch.rand(2, 8, 8), [0, 1])
    stream = make_domains(some, "rotated:0,90,180:mix=yes", "class", 2)
    assert sum(len(task.train) for task in stream) == 8
