"""Succession: a new network, perhaps of another architecture, takes over the stream of an older one.

The older network is the past of the next task: what it says of the new inputs is all that is left of the
old classes. After that task the new network's own copy is the past, as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Shaped
from torch import Tensor

from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.loss.term import Term
from holdfast.train.progress import Progress

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


def take_over(core: Continual, elder: Continual, x: Shaped[Tensor, "n ..."]) -> None:
    """Let a learner that knows nothing go on where another one stands.

    It takes classes, names and the number of tasks; of the inputs' normalisation the elder's, where both
    normalise alike. What was stored for the elder (statistics, importances, images) is of its features,
    and is left behind: so a head must decide, and no term or rule may need anything of the earlier tasks
    but the past network's logits.

        >>> import torch
        >>> from holdfast import Continual, Training, recipes
        >>> x, y = torch.rand(8, 3), ["cat", "dog"] * 4
        >>> old = Continual(recipes.make("lwf"), (3,), Training(epochs=1))
        >>> log = old.learn(old.arrive(x, y))
        >>> new = Continual(recipes.make("ofa"), (3,), Training(epochs=1))
        >>> take_over(new, old, x)
        >>> log = new.learn(new.arrive(torch.rand(20, 3), ["owl", "fox"] * 10))
        >>> sorted(new.labels)
        ['cat', 'dog', 'fox', 'owl']

    Args:
        core: the learner, before its first task.
        elder: the one before, between two tasks; it is not changed.
        x: inputs of the next task, for a network that has to find its own normalisation.

    Raises:
        ConfigError: for a learner that has learned, an elder that has not or whose head was not trained,
            inputs of another shape, or a method whose parts need more than a past network.
    """
    _check_states(core, elder)
    _check_method(core)
    learner, before = core.learner, elder.learner
    if before.backbone.normalises and not learner.backbone.normalises:
        learner.normalise_by(x, core.setup.network.normalise)
    elif not before.backbone.normalises and not learner.backbone.normalises:
        learner.mean.copy_(before.mean)
        learner.std.copy_(before.std)
    done = elder.progress
    core.progress = Progress(
        task=done.task,
        seen=done.seen,
        labels=done.labels,
        arrived=done.arrived,
        taken=done.task,
        notes=done.notes,
    )
    core.past = before.freeze(core.setup.network.past_mode).to(core.fabric.device)


def _check_states(core: Continual, elder: Continual) -> None:
    done, there = core.progress, elder.progress
    if done.task or done.epochs:
        raise ConfigError("a network that has learned cannot take over: make it anew.")
    if not there.task or there.epochs:
        raise ConfigError(
            "the network to be taken over has learned no task to its end: there is nothing to go on from."
        )
    if not elder.method.trains_head:
        raise ConfigError(
            f"the network to be taken over was taught by {elder.method.name}, which trains no head, and "
            "what it says is handed on by that: take over one of lwf, finetune, derpp or another recipe "
            "with a head."
        )
    if tuple(core.learner.shape) != tuple(elder.learner.shape):
        raise ConfigError(
            f"inputs have shape {tuple(core.learner.shape)}, and the network to be taken over takes "
            f"{tuple(elder.learner.shape)}: give both the same."
        )


def _check_method(core: Continual) -> None:
    """Stop where a part of the method would miss what was kept of the earlier tasks."""
    name, terms = core.method.name, core.method.terms
    if not core.readouts[core.readout].needs_head or not core.method.trains_head:
        raise ConfigError(
            f"nothing is stored of the old classes for the readout {core.readout}, and so a head must "
            "decide: use --recipe ofa or lwf, with --readout head."
        )
    if not any(term.needs_past and "logits" in term.reads for term in terms):
        raise ConfigError(
            f"{name} asks the past network nothing that another one can answer, so the old classes would "
            "be lost: use --recipe ofa or lwf."
        )
    keeps = [t for t in terms if _overrides(t, Term, ("consolidate",)) or _compares_features(t)]
    rules = [r for r in core.method.rules if _overrides(r, Rule, ("consolidate", "adjust"))]
    if keeps or rules:
        part = type([*keeps, *rules][0]).__name__
        raise ConfigError(
            f"{part} of {name} goes by what was kept of the earlier tasks, or by features of one network, "
            "and another network has neither: use --recipe ofa or lwf."
        )


def _compares_features(term: Term) -> bool:
    """Whether it holds something of the present network to the same of the past one."""
    return term.needs_past and "logits" not in term.reads


def _overrides(part: object, base: type, hooks: tuple[str, ...]) -> bool:
    return any(getattr(type(part), hook) is not getattr(base, hook) for hook in hooks)
