"""The laws of a backbone: a network that maps inputs to features."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from holdfast.core.output import OF_STAGES
from holdfast.learner.backbone import Wrapped, make_backbone
from holdfast.learner.network import Backbone
from holdfast.learner.stages import stages_of
from holdfast.testing.compare import copies, difference, expect, through_disk, weights

READ = tuple(name for name in OF_STAGES if name != "mirrored")  # of one pass


def check_backbone(
    backbone: str | Callable[..., nn.Module] | nn.Module,
    shape: tuple[int, ...] = (1, 8, 8),
    width: int = 0,
) -> None:
    """Check a backbone for inputs of a shape.

    It maps (N, ...) to finite (N, features); in eval mode an input's features depend neither on those
    beside it nor on the call, and the network stays as it is; the same seed makes the same weights;
    every weight that is trained gets a finite gradient, and none is trained of one that is frozen;
    its state goes through a file into a fresh one that says the same; it can be pickled and copied. Where
    it has stages, showing them changes no feature, and each says one finite row of an input.

    Args:
        backbone: its text (``convnet:width=8``), a function of ``shape`` that makes it, or a network.
        shape: of one input, (C, H, W) or (D,).
        width: handed to a backbone by name; 0 leaves it out.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    pair = [_make(backbone, shape, width) for _ in range(2)]
    network, twin = pair
    name = backbone if isinstance(backbone, str) else type(network).__name__
    place = difference(weights(network), weights(twin))
    expect(not place, f"the backbone {name} has other weights with the same seed, at {place}.")
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(1))
    expected = _sound(network, x, name)
    _trains(network, x, name)
    _staged(network, x, name)
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1)
    twin.load_state_dict(through_disk(dict(network.state_dict()), f"the backbone {name}"))
    expected = _eval(network, x)
    for words, other in [("its state in a fresh one", twin), *copies(network, f"backbone {name}")]:
        same = torch.equal(_eval(other, x), expected)
        expect(same, f"the backbone {name} says something else after {words}.")


def _make(
    backbone: str | Callable[..., nn.Module] | nn.Module, shape: tuple[int, ...], width: int
) -> Backbone:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        if isinstance(backbone, str):
            return make_backbone(backbone, shape, width)
        if isinstance(backbone, nn.Module):
            network = copy.deepcopy(backbone)
        else:
            network = backbone(shape=shape, **({"width": width} if width else {}))
    if isinstance(network, Backbone):
        return network
    return Wrapped(network, shape, type(network).__name__)


@torch.no_grad()
def _eval(network: Backbone, x: Tensor) -> Tensor:
    return copy.deepcopy(network).eval()(x)


def _sound(network: Backbone, x: Tensor, name: str) -> Tensor:
    """Its features in eval mode, which nothing but the input decides."""
    network.eval()
    before = weights(network)
    with torch.no_grad():
        out, again, alone = network(x), network(x), network(x[2:3])
    shape = (len(x), network.features)
    expect(
        tuple(out.shape) == shape,
        f"the backbone {name} gives {tuple(out.shape)}, and its features say {shape}.",
    )
    expect(bool(out.isfinite().all()), f"the backbone {name} gives features that are not finite.")
    expect(torch.equal(out, again), f"the backbone {name} says something else at the second call.")
    expect(
        torch.allclose(out[2], alone[0], rtol=1e-3, atol=1e-5),
        f"the backbone {name} in eval mode says something else of an input alone.",
    )
    place = difference(before, weights(network))
    expect(not place, f"the backbone {name} changes itself in eval mode, at {place}.")
    return out


def _staged(network: Backbone, x: Tensor, name: str) -> None:
    if not network.stage_modules():
        return
    for training in (True, False):
        plain, shown = (copy.deepcopy(network).train(training) for _ in range(2))
        with torch.no_grad():
            expected, (features, stages) = plain(x), stages_of(shown, x, READ)
        mode = "train" if training else "eval"
        expect(
            torch.equal(expected, features),
            f"the backbone {name} says something else in {mode} mode when it shows its stages.",
        )
        place = difference(weights(plain), weights(shown))
        expect(not place, f"showing its stages changes the backbone {name}, at {place}.")
        rows = [s for kind in stages.values() for s in kind]
        sound = all(s.ndim == 2 and len(s) == len(x) and s.isfinite().all() for s in rows)
        expect(bool(sound), f"a stage of the backbone {name} is not one finite row an input.")


def _trains(network: Backbone, x: Tensor, name: str) -> None:
    network = copy.deepcopy(network).train()
    if network.frozen:
        free = [n for n, p in network.named_parameters() if p.requires_grad]
        expect(not free, f"the backbone {name} is frozen, and its weight {free[:1]} is not.")
        return
    out = network(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    for n, p in trained:
        reached = p.grad is not None and bool(p.grad.isfinite().all())
        expect(reached, f"the weight {n} of the backbone {name} gets no finite gradient.")
