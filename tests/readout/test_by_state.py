"""A readout that asks the network under each task's state."""

import math

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.learner.states import StatesOutput
from holdfast.readout import ByState, build_readout
from holdfast.readout.by_state import Residual
from holdfast.recipes import make
from holdfast.serve.export import Scores
from holdfast.statistics import Statistics
from holdfast.testing import check_readout, small_stream
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from holdfast.train.runner import run
from reference_isolation import by_state, residual


def output(logits):
    x = torch.zeros(len(logits), 3)
    return Output(x, x, logits)


def asked(classes, sharpness=1.0, rows=6, seed=0):
    """A readout of states that own these classes, and what a network says under each."""
    readout = ByState("head", sharpness=sharpness)
    readout.classes, readout.seen = classes, 1 + max(map(max, classes))
    readout.inner = torch.nn.ModuleList(build_readout("head") for _ in classes)
    chance = torch.Generator().manual_seed(seed)
    outs = [output(3 * torch.randn(rows, readout.seen, generator=chance)) for _ in classes]
    for inner in readout.inner:
        inner.seen = readout.seen
    out = StatesOutput(*outs[-1])
    out.by_state = tuple(outs)
    return readout, out


@pytest.mark.parametrize("sharpness", [1.0, 2.5])
@pytest.mark.parametrize("classes", [[[0, 1], [2, 3, 4]], [[0, 1, 2], [1, 2]], [[0, 1], [2]]])
def test_scores_are_their_twin(classes, sharpness):
    readout, out = asked(classes, sharpness)
    scores = readout.scores(out)
    for i in range(len(scores)):
        answers = [one.logits[i].tolist() for one in out.by_state]
        expected = by_state(answers, classes, readout.seen, sharpness)
        torch.testing.assert_close(scores[i], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_the_surest_state_decides_and_within_a_task_its_own_state_answers():
    readout, out = asked([[0, 1], [2, 3]], rows=50)
    scores = readout.scores(out)
    p = [one.logits[:, mine].softmax(1) for one, mine in zip(out.by_state, readout.classes)]
    entropy = torch.stack([-(q * q.log()).sum(1) for q in p], 1)
    assert torch.equal(scores.argmax(1) // 2, entropy.argmin(1))
    for state, mine in enumerate(readout.classes):
        assert torch.equal(scores[:, mine].argmax(1), out.by_state[state].logits[:, mine].argmax(1))


def test_energy_asks_the_logits_and_a_sharper_one_moves_no_decision():
    readout, out = asked([[0, 1], [2, 3]], rows=50)
    energy = torch.stack(
        [one.logits[:, mine].logsumexp(1) for one, mine in zip(out.by_state, readout.classes)], 1
    )
    readout.criterion = "energy"
    assert torch.equal(readout.scores(out).argmax(1) // 2, energy.argmax(1))
    flat, sharp = (asked([[0, 1], [2, 3]], g, 50)[0] for g in (0.5, 4.0))
    assert torch.equal(flat.predict(out), sharp.predict(out))
    assert not torch.allclose(flat.probabilities(out), sharp.probabilities(out))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_the_residual_is_its_twin_and_its_mean_over_its_own_rows_is_known(share):
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1, 0.05])
    )
    one = Statistics.empty(6, "shared").add(x, torch.zeros(40, dtype=torch.long))
    new = torch.randn(9, 6)
    torch.testing.assert_close(Residual(one, share)(new), residual(new, x, share))
    assert float(Residual(one, share)(x).mean()) == pytest.approx(39 / 40)
    assert float(Residual(one, share)(x.mean(0, keepdim=True))) == pytest.approx(0, abs=1e-9)


def test_an_output_without_states_is_refused_where_there_are_several():
    readout, out = asked([[0, 1], [2, 3]])
    with pytest.raises(ConfigError, match="under each of 2 states"):
        readout.scores(Output(*out))


@pytest.mark.parametrize(
    "text, words",
    [
        ("by-state:probe", "cannot ask probe"),
        ("by-state:by-state", "cannot ask"),
        ("by-state:gaussian", "drift=none"),
        ("by-state:criterion=margin", "entropy"),
        ("by-state:sharpness=0", "sharpness"),
        ("by-state:share=1", "share"),
    ],
)
def test_bad_settings_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_readout(text)


@pytest.mark.parametrize(
    "text", ["by-state:mean", "by-state:mean:residual", "by-state:mean:energy"]
)
def test_it_obeys_the_laws_of_a_readout(text):
    check_readout(text)


def test_task_il_of_a_run_stays_and_class_il_is_told_apart():
    result = run(make("sparse:every=0:spread=uniform"), small_stream(), QUICK)
    for j in range(3):
        column = result.task_il.matrix[j:, j]
        assert torch.equal(column, column[:1].expand_as(column))
    assert bool((result.task_il.matrix - result.class_il.matrix >= 0)[-1].all())
    assert math.isfinite(float(result.readings[result.readout].right_task.matrix[-1, 0]))


def test_a_model_that_asks_states_cannot_be_exported_as_one_network():
    core = Continual(make("sparse:every=0"), small_stream().shape, QUICK, CLASSES)
    for task in small_stream().tasks[:2]:
        core.learn(task)
    with pytest.raises(ConfigError, match="cannot be exported as one network"):
        Scores(core)
