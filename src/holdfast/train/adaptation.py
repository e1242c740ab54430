"""First-session adaptation: the one task in which a method without a loss moves weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from holdfast.core.rng import derive_seed
from holdfast.learner.adapt import begin_adapting, close_weights, open_weights
from holdfast.learner.heads import GrowingHead
from holdfast.learner.learner import Learner
from holdfast.learner.synced import sync_norms
from holdfast.learner.wrapped import Wrapped
from holdfast.recipes.method import Method
from holdfast.train.readouts import show_stages

if TYPE_CHECKING:
    from holdfast.train.continual import Continual
    from holdfast.train.setup import Setup


def awaiting(setup: Setup, method: Method, learner: Learner) -> Learner:
    """A new learner for a method: a network of one's own that is not trained stands still, and one to be
    adapted counts as trained.

    Args:
        setup: whose machine may want batch norm by all devices' rows.
        method: what will be done with it.
        learner: is changed, and returned.

    Raises:
        ConfigError: for a backbone without weights that is to be adapted.
    """
    if method.freezes and isinstance(learner.backbone, Wrapped):
        learner.backbone.freeze()
    if method.adapts:
        begin_adapting(learner.backbone)
    if setup.machine.sync_norm:
        sync_norms(learner)
    return learner


def begin_adaptation(core: Continual) -> None:
    """Let the weights be trained that the method names, in a first task that was not begun."""
    done = core.progress.task or core.progress.epochs or core.trainer is not None
    if core.method.adapts and not done:
        with torch.random.fork_rng([]):
            torch.manual_seed(derive_seed(core.setup.seed, "adapt", 0))
            open_weights(core.learner.backbone, core.method.adapt)


def end_adaptation(core: Continual) -> None:
    """After the first task: nothing moves any more, and the head that helped is gone."""
    learner = core.learner
    if not core.method.adapts or learner.backbone.frozen:
        return
    close_weights(learner.backbone)
    learner.head = GrowingHead(learner.backbone.features).to(core.fabric.device)
    show_stages(core)


def resume_adaptation(core: Continual) -> None:
    """Before weights of a state are taken over: the backbone is as it was in that state, and shared with
    no copy of this learner.
    """
    if not core.method.adapts:
        return
    backbone = core.learner.backbone
    if backbone.frozen:
        core.learner.backbone = backbone = backbone.unshared()
    begin_adapting(backbone)
    if not core.progress.task and core.progress.epochs:
        open_weights(backbone, core.method.adapt)
