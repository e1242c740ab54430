"""The statements of THEORY 7, one test each: docs/derivation.md names them."""

import json
import warnings

import pytest
import torch
from torch.func import grad, hessian
from torch.testing import assert_close

from holdfast.anchor import Quadratic
from holdfast.cli import main
from holdfast.curvature.persample import weights_of
from holdfast.study import Finding
from holdfast.study.equivalence import (
    ETAS,
    FIFTH,
    FIRST,
    FOURTH,
    SECOND,
    TEXT,
    THIRD,
    curvatures,
    equivalence,
    exponent,
    parted,
    prior,
    strength,
)
from holdfast.study.finding import above, below, near
from holdfast.study.world import OLD, build, logits_at


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "equivalence"


@pytest.fixture(scope="module")
def findings(folder):
    return equivalence(folder, 0)


@pytest.fixture(scope="module")
def world():
    return build(0)


def check_held(findings, about, count):
    """Those of a statement, all of which must hold."""
    chosen = [finding for finding in findings if finding.about == about]
    assert [finding.claim for finding in chosen if not finding.holds] == []
    assert len(chosen) == count
    return {finding.claim: finding.measured for finding in chosen}


def test_statement_1_both_penalties_start_as_nothing(findings):
    measured = check_held(findings, FIRST, 6)
    assert measured["their first step against plain fine-tuning's"] < 1e-12
    assert measured["length of that step"] > 0.05


def test_statement_2_the_second_steps_part_by_the_curvatures(findings):
    measured = check_held(findings, SECOND, 4)
    assert measured["distance over its prediction, weight 1"] == pytest.approx(1, abs=1e-3)


def test_statement_3_they_agree_if_and_only_if_the_curvatures_do(findings):
    measured = check_held(findings, THIRD, 8)
    assert measured["a hidden layer: |H - n_D F| / |H|"] > 0.02


def test_statement_4_the_identity(findings):
    check_held(findings, FOURTH, 2)


def test_statement_5_unequal_temperatures_pull(findings):
    check_held(findings, FIFTH, 2)


def test_what_the_published_text_gets_wrong(findings):
    check_held(findings, TEXT, 7)


# the world they are measured in


def test_the_old_task_ends_at_a_minimum(world):
    logits = logits_at(world.past, world.layout, world.old.train.x)
    w = world.layout.flat(weights_of(world.past))
    assert torch.equal(logits(w), world.past(world.old.train.x).logits)
    loss = lambda v: torch.nn.functional.cross_entropy(
        logits(v), world.old.train.y, reduction="sum"
    )
    assert float(grad(loss)(w).norm()) < 1e-8
    values = torch.linalg.eigvalsh(hessian(loss)(w))
    assert (
        float(values.min()) > -1e-9 and float(values[4]) > 0.1
    )  # flat: all rows of the head shifted alike
    assert float(w.abs().max()) < 20
    H, F = curvatures(world)
    assert_close(H.dense(), hessian(loss)(w), rtol=1e-7, atol=1e-7)
    p = logits(w).softmax(1)
    J = torch.func.jacrev(logits)(w)
    fisher = torch.einsum("nkp,nk,nkq->pq", J, p, J) - torch.einsum("nkp,nk,nl,nlq->pq", J, p, p, J)
    assert_close(F.dense(), fisher, rtol=1e-7, atol=1e-7)
    assert set(world.old.train.y.tolist()) == set(OLD)


def test_the_measurement_would_notice_a_missing_half(world, monkeypatch):
    """As printed, 2 H stands where H should: the prediction with H is then missed."""
    gaps, shared = parted(world, strength(world))
    assert gaps[0] / (float(ETAS[0]) ** 2 * float(shared.norm())) == pytest.approx(1, abs=1e-3)
    value = Quadratic.value
    monkeypatch.setattr(Quadratic, "value", lambda *of: 2 * value(*of))
    gaps, shared = parted(world, strength(world))
    assert gaps[0] / (float(ETAS[0]) ** 2 * float(shared.norm())) > 1.5


def test_exponents_are_those_of_powers():
    x = torch.tensor([1.0, 10.0, 100.0]).double()
    assert exponent(x, (3 * x**2.5).tolist()) == pytest.approx(2.5)


def test_a_prior_is_taken_once_a_world(world):
    assert prior(world, "hessian") is prior(world, "hessian")
    assert prior(world, "hessian") is not prior(build(0, linear=True), "hessian")


# what is shown and saved


def test_verdicts_can_fall_either_way():
    assert near("a", "c", 2.01, 2, 0.02).holds and not near("a", "c", 2.03, 2, 0.02).holds
    assert below("a", "c", 0.0, 1e-9).holds and not below("a", "c", 1e-8, 1e-9).holds
    assert above("a", "c", 1.0, 0.1).holds and not above("a", "c", 0.0, 0.1).holds
    assert not below("a", "c", float("nan"), 1.0).holds


def test_the_folder_has_the_figures_and_the_picture(findings, folder):
    saved = json.loads((folder / "equivalence.json").read_text())
    assert [Finding(**one) for one in saved] == findings
    assert (folder / "equivalence.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in folder.iterdir()) == ["equivalence.json", "equivalence.png"]


def test_the_command_prints_every_claim_and_fails_with_one(findings, monkeypatch, capsys):
    monkeypatch.setattr("holdfast.cli.study.STUDIES", {"equivalence": lambda out, seed: findings})
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["study", "equivalence"]) == 0
    shown = capsys.readouterr().out
    assert "29 of 29 findings hold" in shown and SECOND in shown and "FAILS" not in shown
    assert main(["study", "equivalence", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["holds"] and [Finding(**one) for one in data["findings"]] == findings
    broken = [*findings[:-1], near("t", "a claim", 3.0, 2, 0.1)]
    monkeypatch.setattr("holdfast.cli.study.STUDIES", {"equivalence": lambda out, seed: broken})
    assert main(["study", "equivalence"]) == 1
    assert "FAILS  a claim" in capsys.readouterr().out


def test_a_study_that_does_not_exist_and_a_folder_that_cannot_be_made(tmp_path, capsys):
    assert main(["study", "equivalance"]) == 2
    assert "did you mean 'equivalence'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["study", "equivalence", "--out", str(tmp_path / "file" / "in")]) == 2
    assert "cannot be made" in capsys.readouterr().err
    assert main(["study"]) == 2
    assert main(["study", "--help"]) == 0
    assert "equivalence" in capsys.readouterr().out
