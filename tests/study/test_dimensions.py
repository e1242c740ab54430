"""How many random directions a task needs: the function and the study."""

import json

import pytest

from holdfast.cli import main
from holdfast.core.errors import ConfigError
from holdfast.learner import Learner
from holdfast.study import dimensions
from holdfast.study.dimensions import Dimensions, intrinsic_dimension
from holdfast.testing import small_source, small_stream, vectors
from holdfast.testing.watched import QUICK

FEW = QUICK.updated(epochs=12, lr=0.1)


def test_more_directions_learn_more_and_all_of_them_are_all_weights():
    stream = small_stream(vectors, each=20)
    learner = Learner(stream.shape, "auto", 4, 128, 2)
    size = sum(p.numel() for n, p in learner.named_parameters() if "projector" not in n)
    result = intrinsic_dimension(stream, (size, 1), (0, 1), setup=FEW)
    assert result.weights == size and result.dims == (1, size)
    assert set(result.accuracy[1]) == {result.full}
    assert sum(result.accuracy[0]) < sum(result.accuracy[1])
    assert result.full > 0.8 and result.least() == size


def test_the_least_dimension_is_that_of_the_grid():
    result = Dimensions(500, 0.8, (10, 50, 200), ((0.2, 0.75), (0.6, 0.9), (0.8, 0.8)), 0.9)
    assert (result.least(), result.least(0), result.least(1)) == (50, 200, 10)
    assert Dimensions(500, 1.0, (10,), ((0.5,),), 0.9).least() is None


def test_a_study_without_dimensions_or_with_too_many_is_refused():
    with pytest.raises(ConfigError, match="a dimension and a seed at least"):
        intrinsic_dimension(small_stream(each=2), ())
    with pytest.raises(ConfigError, match="is too large"):
        intrinsic_dimension(small_stream(vectors, each=2), (10**6,), (0,), setup=FEW)


def test_the_command_says_what_it_found_and_saves_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dimensions, "digits", lambda: small_source(vectors, each=8))
    monkeypatch.setattr(dimensions, "GRID", (2, 100))
    monkeypatch.setattr(dimensions, "SMALL", FEW)
    code = main(["study", "intrinsic", "--json", "--out", str(tmp_path)])
    answer = json.loads(capsys.readouterr().out)
    assert code == (0 if answer["holds"] else 1)
    claims = [finding["claim"] for finding in answer["findings"]]
    assert len(claims) == 5 and "least d of the grid with 90 % of it" in claims
    same = answer["findings"][1]
    assert same["holds"] and same["measured"] == pytest.approx(
        answer["findings"][0]["measured"], abs=0.02
    )
    saved = json.loads((tmp_path / "intrinsic-dimensions.json").read_text())
    assert saved["dims"] == [2, 100] and len(saved["accuracy"][0]) == 2
    assert len(json.loads((tmp_path / "intrinsic.json").read_text())) == 5
