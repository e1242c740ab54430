"""The mixed model over a few streams, against sums of squares, the whole likelihood, and statsmodels."""

import json

import numpy as np
import pytest

import reference_compare as twin
from holdfast.cli import main
from holdfast.compare.comparison import compare
from holdfast.compare.mixed import Row, mixed_model
from holdfast.compare.runs import read_runs
from holdfast.core.errors import ConfigError
from written import result, write

METHODS = ("base", "a", "b")
EFFECTS = (0.0, 2.0, -1.0)


def drawn(streams=4, blocks=5, seed=0, spread=(3.0, 1.5, 0.5)):
    """y[stream][block][method]."""
    draw = np.random.default_rng(seed)
    of_stream = spread[0] * draw.standard_normal((streams, 1, 1))
    of_block = spread[1] * draw.standard_normal((streams, blocks, 1))
    return 50 + np.array(EFFECTS) + of_stream + of_block + spread[2] * draw.standard_normal(
        (streams, blocks, len(METHODS))
    )  # fmt: skip


def rows_of(table):
    return [
        Row(f"s{s}", b, METHODS[j], float(table[s, b, j]))
        for s, b, j in np.ndindex(*table.shape)
        if np.isfinite(table[s, b, j])
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_balanced_runs_have_the_variances_of_sums_of_squares(seed):
    table = drawn(seed=seed)
    mixed = mixed_model(rows_of(table), "base")
    assert min(twin.balanced_variances(table.tolist())) > 0
    expected = twin.balanced_variances(table.tolist())
    assert (mixed.stream, mixed.block, mixed.rest) == pytest.approx(expected, rel=2e-3)
    for effect, j in zip(mixed.effects, (1, 2)):
        d = (table[..., j] - table[..., 0]).ravel()
        assert effect.mean == pytest.approx(d.mean())
        assert effect.se == pytest.approx(np.sqrt(2 * expected[2] / d.size), rel=1e-3)
    assert mixed.df == 4 * 5 * 3 - 4 * 5 - 2 and {e.method for e in mixed.effects} == {"a", "b"}


def uneven():
    table = drawn(streams=3, blocks=4, seed=5)
    table[0, 1, 2] = table[2, 3, 0] = table[1, 0, 1] = np.nan
    return table


def test_uneven_runs_have_the_largest_restricted_likelihood():
    rows = rows_of(uneven())
    mixed = mixed_model(rows, "base")
    X = np.array([[1.0, row.method == "a", row.method == "b"] for row in rows], float)
    data = (
        np.array([row.value for row in rows]), X, [row.stream for row in rows], [row.block for row in rows]
    )  # fmt: skip
    at = np.array([mixed.stream, mixed.block, mixed.rest])
    best = twin.restricted_likelihood(*data, at)
    for change in ([1.2, 1, 1], [0.8, 1, 1], [1, 1.2, 1], [1, 0.8, 1], [1, 1, 1.1], [1, 1, 0.9]):
        assert twin.restricted_likelihood(*data, at * change) > best - 1e-6
    order = sorted(range(len(rows)), key=lambda i: str(rows[i].value))
    again = mixed_model([rows[i] for i in order], "base")
    assert again.effects[0].mean == pytest.approx(mixed.effects[0].mean, rel=1e-4)


def test_it_is_the_model_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rows = rows_of(uneven())
    X = np.array([[1.0, row.method == "a", row.method == "b"] for row in rows], float)
    y = np.array([row.value for row in rows])
    groups = np.array([row.stream for row in rows])
    blocks = dict.fromkeys(sorted({row.block for row in rows}))
    inner = {g: np.array([[float(r.block == b) for b in blocks] for r in rows if r.stream == g])
             for g in sorted(set(groups))}  # fmt: skip
    order = np.argsort(groups, kind="stable")
    from statsmodels.regression.mixed_linear_model import VCSpec

    names = [[f"b{b}" for b in blocks] for _ in inner]
    spec = VCSpec(["block"], [names], [list(inner.values())])
    model = api.MixedLM(y[order], X[order], groups[order], np.ones((len(y), 1)), exog_vc=spec)
    fit = model.fit(reml=True)
    mixed = mixed_model(rows, "base")
    assert list(fit.fe_params[1:]) == pytest.approx([e.mean for e in mixed.effects], rel=1e-3)
    assert list(fit.bse_fe[1:]) == pytest.approx([e.se for e in mixed.effects], rel=2e-2)


def test_a_variance_that_is_not_there_is_zero_and_equal_runs_are_no_error():
    mixed = mixed_model(rows_of(drawn(spread=(0.0, 0.0, 1.0), seed=8)), "base")
    assert mixed.stream < 0.2 and mixed.block < 0.3
    flat = np.full((3, 2, 3), 5.0) + np.array(EFFECTS)
    same = mixed_model(rows_of(flat), "base")
    assert [e.mean for e in same.effects] == pytest.approx([2.0, -1.0])
    assert all(e.p_holm < 1e-6 for e in same.effects)


def test_too_few_streams_methods_or_blocks_are_one_sentence():
    table = drawn(streams=2)
    for rows in (
        rows_of(table),
        [row for row in rows_of(drawn()) if row.method == "base"],
        [Row(s, m, m, 1.0) for s in "abc" for m in METHODS],  # no block is shared
    ):
        with pytest.raises(
            ConfigError, match="a mixed model needs 3 streams, 2 methods and blocks"
        ):
            mixed_model(rows, "base")


def test_a_comparison_over_three_streams_says_what_the_model_says(tmp_path, capsys):
    values = {}
    for stream in range(3):
        for recipe, last in (("lwf", 0.6), ("finetune", 0.3)):
            for seed in range(2):
                last += 0.1 * stream + 0.02 * seed * (recipe == "lwf")
                data = result(recipe, seed, last=last)
                values[stream, seed, recipe] = last
                data["data"]["content"] = f"{stream}" * 64
                write(tmp_path / f"{stream}" / f"{recipe}{seed}", data)
    comparison = compare(read_runs([tmp_path])[0])
    d = [100 * (values[s, k, "lwf"] - values[s, k, "finetune"]) for s in range(3) for k in range(2)]
    assert comparison.mixed.effects[0].mean == pytest.approx(np.mean(d))
    words = " ".join(comparison.notes)
    assert "Over 3 streams, differences to finetune by a mixed model" in words
    assert (
        f"lwf +{np.mean(d):.1f} ±" in words and "3 streams are too few for a test of ranks" in words
    )
    assert main(["compare", str(tmp_path), "--format", "json"]) == 0
    kept = json.loads(capsys.readouterr().out)["mixed_model"]
    assert kept["reference"] == "finetune" and kept["effects"][0]["method"] == "lwf"
