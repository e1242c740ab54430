"""Adapt: which weights of a pretrained backbone the first task trains, before all of it stands still."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from holdfast.core.errors import ConfigError, unknown
from holdfast.learner.network import Backbone
from holdfast.learner.weights import digest

WAYS = ("none", "norm", "last:N", "lora", "lora:R", "all")
Norms = Literal["none", "statistics", "all"]  # what of the norms is kept after the first task
RANK = 8  # of lora, where none was said
NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def parse_way(text: str) -> tuple[str, int]:
    """The kind of an adaptation and its number: ``last:2`` or ``last-2`` is ("last", 2).

    Args:
        text: none, norm, last:N, lora, lora:R or all; ``-`` may stand for the colon.

    Raises:
        ConfigError: for anything else.

    >>> parse_way("last-2"), parse_way("lora"), parse_way("norm")
    (('last', 2), ('lora', 8), ('norm', 0))
    """
    kind, sign, number = text.strip().replace("-", ":").partition(":")
    if kind not in ("none", "norm", "last", "lora", "all"):
        raise unknown("adaptation", text, WAYS)
    if sign and not (kind in ("last", "lora") and number.isdecimal() and int(number) > 0):
        raise ConfigError(
            f"the adaptation '{text}' is unknown: use one of {', '.join(WAYS)}, N and R from 1 on."
        )
    if kind == "last" and not sign:
        raise ConfigError("the adaptation 'last' needs how many blocks: last:2, for example.")
    return kind, int(number) if sign else RANK if kind == "lora" else 0


def begin_adapting(backbone: Backbone) -> None:
    """Count a backbone as one that is trained, so that copies of it are copies; no weight moves yet.

    Raises:
        ConfigError: for a backbone without weights.
    """
    if not any(True for _ in backbone.parameters()):
        raise ConfigError(
            "a backbone without weights cannot be adapted: leave adapt out, or name a pretrained one "
            "with --backbone, such as lite0."
        )
    _merge_lora(backbone)
    backbone.requires_grad_(False)
    backbone.tuned, backbone.steady = None, True


def open_weights(backbone: Backbone, way: str) -> None:
    """Let the weights of an adaptation be trained, all others not (docs/theory.md, section 9).

    The backbone stays in eval mode: running statistics of its norms are those it came with.

    Args:
        backbone: after `begin_adapting`.
        way: as for `parse_way`.

    Raises:
        ConfigError: where there are no such weights, or ``peft`` is missing.
    """
    kind, number = parse_way(way)
    backbone.requires_grad_(False)
    if kind == "lora":
        _add_lora(backbone, number)
        return
    if kind == "all":
        parts: list[nn.Module] = [backbone]
    elif kind == "last":
        parts = list(last_blocks(backbone, number))
    else:
        parts = [module for module in backbone.modules() if isinstance(module, NORMS)]
    weights = [p for part in parts for p in part.parameters() if p.is_floating_point()]
    if not weights:
        raise ConfigError(f"the backbone has no weights that adapt={way} would train: use all.")
    for weight in weights:
        weight.requires_grad_(True)


def close_weights(backbone: Backbone) -> None:
    """End an adaptation: adapters become part of the weights, nothing moves any more, and the network is
    known by the new weights.
    """
    _merge_lora(backbone)
    backbone.requires_grad_(False)
    backbone.tuned, backbone.steady = (), False
    backbone.train(backbone.training)
    before, backbone.sha256 = backbone.sha256, digest(getattr(backbone, "model", backbone))
    if before:
        backbone.written = backbone.written.replace(before, backbone.sha256)


def last_blocks(
    network: nn.Module, count: int, name: str = "the backbone"
) -> tuple[nn.Module, ...]:
    """The last blocks of a network, and what follows them.

    Args:
        network: a chain of blocks in an ``nn.ModuleList`` or, if it has none, an ``nn.Sequential``:
            the heaviest counts.
        count: of blocks.
        name: of the network, for the error.

    Raises:
        ConfigError: if it has fewer.
    """
    chain = blocks_of(network)
    if count > len(chain):
        raise ConfigError(f"'{name}' has {len(chain)} layers to tune, not {count}.")
    order = list(network.modules())
    inside = set(chain.modules())
    last = max(place for place, module in enumerate(order) if module in inside)
    after = [m for m in order[last + 1 :] if not list(m.children()) and list(m.parameters())]
    return (*list(chain)[-count:], *after)


def blocks_of(network: nn.Module) -> Any:
    """The heaviest chain of blocks: an ``nn.ModuleList`` or, where there is none, an ``nn.Sequential``."""
    chains: list[Any] = [m for m in network.modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not chains:
        chains = [m for m in network.modules() if isinstance(m, nn.Sequential) and len(m) > 1]
    return max(chains, key=_weight, default=nn.ModuleList())


def _weight(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _add_lora(backbone: Backbone, rank: int) -> None:
    """Low-rank adapters (Hu et al., 2022) beside every linear layer, or every 1x1 convolution."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError("adapt=lora needs peft: pip install 'holdfast[lora]'.") from None
    layers = list(backbone.named_modules())
    targets = [name for name, m in layers if isinstance(m, nn.Linear)]
    targets = targets or [n for n, m in layers if isinstance(m, nn.Conv2d) and _pointwise(m)]
    if not targets:
        raise ConfigError(
            "adapt=lora needs linear layers or 1x1 convolutions, and the backbone has none: use norm."
        )
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    inject_adapter_in_model(config, backbone)
    del backbone.peft_config  # the adapters are taken out by `close_weights`


def _pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and layer.groups == 1


def _merge_lora(backbone: nn.Module) -> None:
    """Add each adapter's product to the weights beside it, and take the adapter out."""
    adapted = [m for _, m in backbone.named_modules() if hasattr(m, "lora_A")]
    for parent in list(backbone.modules()):
        for name, layer in list(parent.named_children()):
            if layer in adapted:
                layer.merge(safe_merge=True)  # type: ignore[operator]
                setattr(parent, name, layer.get_base_layer())  # type: ignore[operator]
