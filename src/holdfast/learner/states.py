"""TaskStates: what of a network is another for each task: masks over shared weights, the rest whole.

Under the state of a task the network is, bit for bit, what it was when the task ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int32
from torch import Tensor, nn

from holdfast.core.output import Output, outputs
from holdfast.core.rows import Rows

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner

PREFIX = "states."


def packed(mask: Bool[Tensor, ...]) -> Int32[Tensor, " w"]:
    """A mask at one bit a number, 32 of them in a word.

    >>> packed(torch.tensor([True, False, True])).tolist()
    [5]
    """
    flat = mask.detach().flatten()
    short = -len(flat) % 32
    bits = torch.cat([flat, flat.new_zeros(short)]).view(-1, 32).to(torch.int64)
    words = (bits << torch.arange(32, device=bits.device)).sum(1)
    return (words - (words >= 2**31) * 2**32).to(torch.int32)


def unpacked(words: Int32[Tensor, " w"], shape: Sequence[int]) -> Bool[Tensor, ...]:
    """The mask of a shape that was packed."""
    places = torch.arange(32, device=words.device)
    bits = (words.to(torch.int64)[:, None] >> places) & 1
    return bits.flatten()[: torch.Size(shape).numel()].view(*shape).bool()


class TaskState(nn.Module):
    """One task's: ``mask|`` words, ``whole|`` tensors, by names in which / stands for a dot."""


class TaskStates(nn.Module):
    """The states of the tasks so far, in their order.

    Stored are the shared weights under the masks once more, one bit a masked weight and task, and the
    other tensors of the network (norms, biases, projector, head) as they began and, where a task has
    changed them, whole for it.

    Args:
        shared: the weights that masks are laid over, by name; copies are kept.
        base: the other tensors, as they began.
    """

    def __init__(self, shared: Mapping[str, Tensor], base: Mapping[str, Tensor]):
        super().__init__()
        self.shared, self.base = TaskState(), TaskState()
        for part, tensors in ((self.shared, shared), (self.base, base)):
            for name, tensor in tensors.items():
                part.register_buffer(_key(name), tensor.detach().clone())
        self.each = nn.ModuleList()

    def __len__(self) -> int:
        return len(self.each)

    def weights(self) -> dict[str, Tensor]:
        """The shared weights by name; to be changed in place."""
        return {_name(key): buffer for key, buffer in self.shared.named_buffers()}

    def masks(self, index: int) -> dict[str, Bool[Tensor, ...]]:
        """The masks of a task, by the names of weights."""
        weights, state = self.weights(), dict(self.each[index].named_buffers())
        return {n: unpacked(state[f"mask|{_key(n)}"], w.shape) for n, w in weights.items()}

    def used(self) -> dict[str, Bool[Tensor, ...]]:
        """The weights that some task's mask has let through."""
        total = {n: torch.zeros_like(w, dtype=torch.bool) for n, w in self.weights().items()}
        for index in range(len(self)):
            for name, mask in self.masks(index).items():
                total[name] |= mask
        return total

    @torch.no_grad()
    def keep(self, learner: nn.Module, masks: Mapping[str, Bool[Tensor, ...]]) -> None:
        """Add a state: the network as it is.

        Args:
            learner: its weights under a mask are the shared ones there, and 0 elsewhere.
            masks: one a shared weight.
        """
        state = TaskState()
        for name in self.weights():
            state.register_buffer(f"mask|{_key(name)}", packed(masks[name]))
        base = dict(self.base.named_buffers())
        for name, tensor in changeable(learner).items():
            began = base.get(_key(name))
            same = began is not None and began.shape == tensor.shape and torch.equal(began, tensor)
            if name not in masks and not same:
                state.register_buffer(f"whole|{_key(name)}", tensor.detach().clone())
        self.each.append(state)

    def tensors(self, index: int) -> dict[str, Tensor]:
        """What the network's tensors are under a state, by name; a head may have fewer rows than now."""
        weights, state = self.weights(), dict(self.each[index].named_buffers())
        output = {n: weights[n] * mask for n, mask in self.masks(index).items()}
        wholes = dict(self.base.named_buffers())
        wholes |= {k.partition("|")[2]: t for k, t in state.items() if k.startswith("whole|")}
        return output | {_name(key): tensor for key, tensor in wholes.items()}

    @torch.no_grad()
    def write(self, learner: nn.Module, index: int, head: bool = True) -> None:
        """Put a state into the network; rows of a head that came later stay.

        Args:
            learner: is changed.
            index: of the state.
            head: whether the head is put back too.
        """
        live = everything(learner)
        for name, tensor in self.tensors(index).items():
            if head or not name.startswith("head."):
                live[name][: len(tensor)].copy_(tensor)


def _key(name: str) -> str:
    return name.replace(".", "/")


def _name(key: str) -> str:
    return key.replace("/", ".")


def changeable(learner: nn.Module) -> dict[str, Tensor]:
    """What a task may change of a network, and an answer depends on: its weights that are trained, and the
    running statistics of its norms.
    """
    weights = {n: p for n, p in learner.named_parameters() if p.requires_grad}
    running = {
        n: b
        for n, b in learner.named_buffers()
        if n.split(".")[0] in ("backbone", "projector", "head") and b.ndim
        if b.is_floating_point() and n.rpartition(".")[2].startswith("running_")
    }
    return weights | running


def everything(learner: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name, whether they are trained just now or not."""
    return dict(learner.named_parameters()) | dict(learner.named_buffers())


def empty_states(state: Mapping[str, Tensor]) -> TaskStates | None:
    """States of the shapes that a learner's ``state_dict`` has, to be loaded; None if it has none."""
    names = [name for name in state if name.startswith(PREFIX)]
    if not names:
        return None
    states = TaskStates({}, {})
    for name in names:
        place, key = name.removeprefix(PREFIX).rsplit(".", 1)
        part = states.shared if place == "shared" else states.base
        if place.startswith("each."):
            index = int(place.removeprefix("each."))
            while len(states) <= index:
                states.each.append(TaskState())
            part = states.each[index]
        part.register_buffer(key, torch.empty_like(state[name]))
    return states


@contextmanager
def under(learner: Learner, index: int) -> Iterator[None]:
    """Inside, the network is what it was when a task ended.

    Args:
        learner: with states.
        index: of the state.
    """
    assert learner.states is not None
    live = everything(learner)
    kept = {n: live[n].detach().clone() for n in learner.states.tensors(index)}
    try:
        learner.states.write(learner, index)
        yield
    finally:
        with torch.no_grad():
            for name, tensor in kept.items():
                live[name].copy_(tensor)


class StatesOutput(Output):
    """What a network says as it is, and what it says under each task's state.

    Attributes:
        by_state: an output a state.
    """

    by_state: tuple[Output, ...]

    def rows(self, index: Tensor) -> StatesOutput:
        """The chosen rows of all columns, under every state."""
        chosen = StatesOutput(*super().rows(index))
        chosen.by_state = tuple(out.rows(index) for out in self.by_state)
        return chosen


def ask_states(learner: Learner, rows: Rows) -> Output:
    """What a network says of rows as they rest; with states, under each of them too: a pass each."""
    out = outputs(learner, rows)
    if learner.states is None or not len(learner.states):
        return out
    answers = []
    for index in range(len(learner.states)):
        with under(learner, index):
            answers.append(outputs(learner, rows))
    asked = StatesOutput(*out)
    asked.by_state = tuple(answers)
    return asked
