"""Readouts of all stages of the backbone beside each other: ``gaussian:stages``, ``gaussian:pyramid``."""

import pytest
import torch
from torch.testing import assert_close

from holdfast import Continual
from holdfast.core.output import OF_STAGES, Output, outputs
from holdfast.core.rows import Rows
from holdfast.learner.stages import gridded, moments, showing_stages
from holdfast.loss import CrossEntropy
from holdfast.loss.term import Term
from holdfast.readout import FitContext, Mixed, build_readout
from holdfast.recipes import Method, make
from holdfast.serve.export import Scores, to_torch
from holdfast.stream import make_stream, open_source
from holdfast.stream.augment import Augment
from holdfast.train.setup import Setup

WIDTH = 4
STAGES = WIDTH * (1 + 2 + 4)  # of the convnet
PYRAMID = WIDTH * (4 * 1 + 2 + 4)  # its first stage is seen in 2 x 2 places
COLUMNS = {"stages": STAGES, "pyramid": PYRAMID, "moments": 2 * PYRAMID, "mirrored": 2 * PYRAMID}
POOLS = {
    "stages": lambda out: out.mean((2, 3)),
    "pyramid": lambda out: gridded(out, 4 * WIDTH),
    "moments": lambda out: moments(out, 4 * WIDTH),
    "mirrored": lambda out: moments(out, 4 * WIDTH),
}


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
    features = torch.randn(5, 3)
    pieces = {name: (torch.randn(5, 2 + i), torch.randn(5, 3)) for i, name in enumerate(OF_STAGES)}
    bare = Output(features, features, features)
    out = bare._replace(**pieces)
    index = torch.tensor([3, 1])
    for name, parts in pieces.items():
        readout = build_readout(f"gaussian:{name}")
        assert_close(readout.select(out), torch.cat(parts, 1))
        assert_close(readout.select(bare), features)
        assert readout.reads == (name,)
        assert_close(getattr(out.rows(index), name)[0], parts[0][index])
    assert build_readout("gaussian").reads == ()
    assert build_readout("klda-ensemble:stages").reads == ("stages",)
    assert build_readout("mixture:of=mean+gaussian").reads == ()
    mixed = Mixed([build_readout("mean:moments"), build_readout("gaussian:stages")])
    assert {*mixed.reads} == {"moments", "stages"}


@pytest.mark.parametrize(
    ("recipe", "space"),
    [
        ("lwf_strict", "stages"),
        ("fnc2_strict", "stages"),
        ("fnc2_strict", "pyramid"),
        ("lwf_strict", "moments"),
        ("fnc2_strict", "mirrored"),
    ],
)
def test_they_decide_as_the_same_readout_of_a_table_of_all_stages(digits, recipe, space):
    """Against a readout that is fitted, task by task, to what hooks on the layers saw."""
    augment = Augment(crop=(1, 1), flip=space == "mirrored", jitter_p=0.0, grey_p=0.0)
    core = learned(digits, 1, recipe, f"gaussian:{space}", augment=augment)
    twin = build_readout("gaussian")
    networks = [core.learner.freeze()]
    core.learn(digits[1])
    networks.append(core.learner.freeze())

    def seen(network, rows):
        if space == "mirrored":
            both = [once(network, rows), once(network, rows.with_x(rows.x.flip(-1)))]
            return both[0]._replace(features=(both[0].features + both[1].features) / 2)
        return once(network, rows)

    def once(network, rows):
        pooled = []
        hooks = [
            m.register_forward_hook(lambda _, __, out: pooled.append(POOLS[space](out)))
            for m in network.backbone.stage_modules()
        ]
        network.shown = ()
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
    assert stored.shape == (4, COLUMNS[space])
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
    assert core.learner.shown == core.past_eval.shown == ("stages",)
    core = learned(digits, 1, decide="gaussian", also=(also,))
    assert core.learner.shown == ("stages",)  # a further readout asks too, also from inside another
    core = learned(digits, 1, decide="gaussian")
    assert core.learner.shown == ()
    with showing_stages(core.learner):
        assert core.learner.shown == ("stages",)


class Noting(Term):
    """Notes which columns of stages the networks of a step show."""

    needs_past = True
    label = "noting"

    def __init__(self, *reads):
        super().__init__()
        self.reads, self.seen = ("logits", *reads), set()

    def value(self, part, step):
        for out in (part.out, part.past):
            self.seen |= {name for name in OF_STAGES if getattr(out, name) is not None}
        return part.out.logits.sum() * 0


@pytest.mark.parametrize("reads", [(), ("stages",), ("pyramid",)])
def test_steps_show_no_more_than_terms_read(digits, reads):
    """What readouts read costs nothing while weights are trained, by the learner and its past alike."""
    method = Method(
        CrossEntropy("new"), [Noting(*reads)], readout=build_readout("gaussian:mirrored")
    )
    setup = Setup.of(method, "quick", epochs=1, first_epochs=1, width=WIDTH, also=("gaussian",))
    core = Continual(method, digits.shape, setup)
    core.learn(digits[0])
    core.learn(digits[1])
    (noting,) = (term for term in core.method.terms if isinstance(term, Noting))
    assert noting.seen == {*reads}
    assert core.learner.shown == ("mirrored",)


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


@pytest.mark.parametrize(("space", "width"), COLUMNS.items())
def test_an_export_reads_them(digits, space, width, tmp_path):
    core = learned(digits, 2, decide=f"gaussian:{space}", augment=Augment(flip=True))
    network = Scores(core)
    x = digits[1].test.x.float() / 255
    assert network.width == width
    assert_close(network(x), core.scores(digits[1].test.x), rtol=1e-3, atol=1e-3)
    if space == "mirrored":  # a program of any number of images
        assert to_torch(core, tmp_path / "program.pt2") < 1e-3


def test_rows_as_they_rest_and_rows_in_batches_are_one(digits):
    core = learned(digits, 1)
    x = digits[0].test
    halves = [core.out(x.x[:3]), core.out(x.x[3:])]
    both = torch.cat([torch.cat(half.stages, 1) for half in halves])
    assert_close(both, torch.cat(core.out(x.x).stages, 1), rtol=1e-4, atol=1e-5)
    assert isinstance(x, Rows)
