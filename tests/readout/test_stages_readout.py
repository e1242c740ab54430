"""Readouts of all stages of the backbone beside each other: ``gaussian:stages``, ``gaussian:pyramid``."""

import pytest
import torch
from torch.testing import assert_close

from holdfast import Continual
from holdfast.core.output import Output, outputs
from holdfast.core.rows import Rows
from holdfast.learner.stages import gridded, showing_stages
from holdfast.readout import FitContext, build_readout
from holdfast.recipes import make
from holdfast.serve.export import Scores
from holdfast.stream import make_stream, open_source
from holdfast.train.setup import Setup

WIDTH = 4
STAGES = WIDTH * (1 + 2 + 4)  # of the convnet
PYRAMID = WIDTH * (4 * 1 + 2 + 4)  # its first stage is seen in 2 x 2 places
POOLS = {"stages": lambda out: out.mean((2, 3)), "pyramid": lambda out: gridded(out, 4 * WIDTH)}


@pytest.fixture(scope="module")
def digits():
    return make_stream(open_source("digits", None, None, 20, 10), "class", 5, None, None)


def learned(stream, tasks=2, recipe="lwf_strict", decide="gaussian:stages", **more):
    settings = {"epochs": 1, "first_epochs": 1, "width": WIDTH, "also": ("gaussian",)} | more
    method = make(recipe, **({"decide": decide} if decide else {}))
    core = Continual(method, stream.shape, Setup.of(recipe, "quick", **settings))
    for task in list(stream)[:tasks]:
        core.learn(task)
    return core


def test_the_stages_are_read_beside_each_other():
    parts = [torch.randn(5, n) for n in (2, 3)]
    grids = [torch.randn(5, n) for n in (8, 3)]
    out = Output(parts[1], parts[1], parts[1], None, tuple(parts), tuple(grids))
    bare = out._replace(stages=None, pyramid=None)
    for text, pieces in (("gaussian:stages", parts), ("gaussian:pyramid", grids)):
        assert_close(build_readout(text).select(out), torch.cat(pieces, 1))
        assert_close(build_readout(text).select(bare), parts[1])
        assert build_readout(text).needs_stages
    assert_close(out.rows(torch.tensor([3, 1])).pyramid[0], grids[0][[3, 1]])
    assert not build_readout("gaussian").needs_stages
    for text in ("klda-ensemble:stages", "mixture:of=mean+gaussian"):
        assert build_readout(text).needs_stages == text.startswith("klda")


@pytest.mark.parametrize(
    ("recipe", "space"),
    [("lwf_strict", "stages"), ("fnc2_strict", "stages"), ("fnc2_strict", "pyramid")],
)
def test_they_decide_as_the_same_readout_of_a_table_of_all_stages(digits, recipe, space):
    """Against a readout that is fitted, task by task, to what hooks on the layers saw."""
    core = learned(digits, 1, recipe, f"gaussian:{space}")
    twin = build_readout("gaussian")
    networks = [core.learner.freeze()]
    core.learn(digits[1])
    networks.append(core.learner.freeze())

    def seen(network, rows):
        pooled = []
        hooks = [
            m.register_forward_hook(lambda _, __, out: pooled.append(POOLS[space](out)))
            for m in network.backbone.stage_modules()
        ]
        network.staged = False
        out = outputs(network, rows)
        for hook in hooks:
            hook.remove()
        return out._replace(features=torch.cat(pooled, 1))

    for index, task in enumerate(list(digits)[:2]):
        context = FitContext(networks[index], task, core.memory, tuple(range(2 * index + 2)))
        context.__dict__["out"] = seen(networks[index], task.train)
        if index:
            context.past = networks[0]
            context.__dict__["past_out"] = seen(networks[0], task.train)
        twin.fit(context)
    x = digits[1].test
    expected = twin.scores(seen(networks[1], x))
    assert_close(core.scores(x.x, f"gaussian:{space}"), expected, rtol=1e-3, atol=1e-3)
    stored = core.readouts[f"gaussian:{space}"].statistics.mean
    assert stored.shape == (4, {"stages": STAGES, "pyramid": PYRAMID}[space])
    assert core.readouts["gaussian"].statistics.mean.shape == (4, 4 * WIDTH)


def test_a_stream_goes_on_from_a_state(digits):
    core = learned(digits, 2)
    again = Continual(make("lwf_strict", decide="gaussian:stages"), digits.shape, core.setup)
    again.restore(core.state())
    for one in (core, again):
        one.learn(digits[2])
    assert torch.equal(core.scores(digits[2].test.x), again.scores(digits[2].test.x))


@pytest.mark.parametrize("also", ["gaussian:stages", "domain-heads:of=mean:stages"])
def test_only_a_network_whose_readouts_ask_shows_its_stages(digits, also):
    core = learned(digits, 1)
    assert core.learner.staged and core.past_eval.staged
    core = learned(digits, 1, decide="gaussian", also=(also,))
    assert core.learner.staged  # a further readout asks too, also from inside another
    core = learned(digits, 1, decide="gaussian")
    assert not core.learner.staged
    with showing_stages(core.learner):
        assert core.learner.staged


def test_a_frozen_backbone_and_vectors_are_read_too(digits):
    """Where nothing is trained, the features are all there is; a network of vectors has stages."""
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0)).double()
    labels = ["a", "b", "c"] * 20
    core = Continual(
        make("lwf_strict", decide="gaussian:stages"),
        (6,),
        Setup.of("lwf_strict", "quick", epochs=1, first_epochs=1, width=8),
    )
    core.learn(core.arrive(x, labels))
    assert core.readouts[core.readout].statistics.mean.shape == (3, 16)
    frozen = learned(digits, 2, "frozen", "", readout="gaussian:stages", also=("gaussian",))
    both = [frozen.scores(digits[1].test.x, name) for name in ("gaussian:stages", "gaussian")]
    assert torch.equal(*both)


@pytest.mark.parametrize(("space", "width"), [("stages", STAGES), ("pyramid", PYRAMID)])
def test_an_export_reads_them(digits, space, width):
    core = learned(digits, 2, decide=f"gaussian:{space}")
    network = Scores(core)
    x = digits[1].test.x.float() / 255
    assert network.width == width
    assert_close(network(x), core.scores(digits[1].test.x), rtol=1e-3, atol=1e-3)


def test_rows_as_they_rest_and_rows_in_batches_are_one(digits):
    core = learned(digits, 1)
    x = digits[0].test
    halves = [core.out(x.x[:3]), core.out(x.x[3:])]
    both = torch.cat([torch.cat(half.stages, 1) for half in halves])
    assert_close(both, torch.cat(core.out(x.x).stages, 1), rtol=1e-4, atol=1e-5)
    assert isinstance(x, Rows)
