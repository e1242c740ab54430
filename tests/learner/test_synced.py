"""Batch norm over several processes, here threads: values, slopes and statistics of one with all rows."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from holdfast.core.ranks import Ranks
from holdfast.learner import synced


class Threads(Ranks):
    """Ranks in one process, which meet at a barrier; they count their messages."""

    def __init__(self, rank, size, board, barrier):
        super().__init__(rank, size)
        self.board, self.barrier, self.messages = board, barrier, 0

    def all(self, tensor):
        self.messages += 1
        self.board[self.rank] = tensor.detach().clone()
        self.barrier.wait(10)
        pieces = [self.board[r] for r in range(self.size)]
        self.barrier.wait(10)
        return pieces

    def sum(self, tensors):
        for tensor in tensors:
            tensor.copy_(torch.stack(self.all(tensor)).sum(0))


def in_threads(work, size, monkeypatch):
    """What each rank makes, with the number of messages it took."""
    here, board, barrier = threading.local(), {}, threading.Barrier(size)
    monkeypatch.setattr(synced, "current", lambda: here.ranks)
    results = {}

    def one(rank):
        here.ranks = Threads(rank, size, board, barrier)
        results[rank] = work(here.ranks), here.ranks.messages

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == size
    return [results[rank] for rank in range(size)]


NORMS = {
    "1d": (nn.BatchNorm1d(3, eps=1e-3, momentum=0.3), (7, 3)),
    "2d": (nn.BatchNorm2d(3), (7, 3, 4, 2)),
    "no scale": (nn.BatchNorm2d(3, affine=False, momentum=None), (7, 3, 2, 2)),
    "no statistics": (nn.BatchNorm1d(3, track_running_stats=False), (7, 3, 5)),
    "far off": (nn.BatchNorm2d(3), (7, 3, 2, 3)),
}


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("what", NORMS)
def test_shares_of_uneven_size_are_normalised_as_the_whole(what, size, monkeypatch):
    norm, shape = NORMS[what]
    plain = copy.deepcopy(norm).double()
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=chance, dtype=torch.float64) * 3 + 500 * (what == "far off")
    slope = torch.randn(shape, generator=chance, dtype=torch.float64)
    for p in plain.parameters():
        p.data = torch.randn(p.shape, generator=chance, dtype=torch.float64)
    twins = [synced.sync_norms(copy.deepcopy(plain)) for _ in range(size)]

    def work(ranks):
        mine = ranks._of(len(x), ranks.rank)
        part = x[mine].clone().requires_grad_()
        with ranks.parted(len(x)):
            out = twins[ranks.rank](part)
        out.backward(slope[mine])
        return out.detach(), part.grad

    results = in_threads(work, size, monkeypatch)
    whole = x.clone().requires_grad_()
    wanted = plain(whole)
    wanted.backward(slope)
    assert_close(
        torch.cat([out for (out, _), _ in results]), wanted.detach(), rtol=1e-10, atol=1e-10
    )
    assert_close(torch.cat([grad for (_, grad), _ in results]), whole.grad, rtol=1e-10, atol=1e-10)
    assert [messages for _, messages in results] == [2] * size  # one there, one back
    for name, p in plain.named_parameters():
        total = sum(dict(twin.named_parameters())[name].grad for twin in twins)
        assert_close(total, p.grad, rtol=1e-10, atol=1e-10)
    for name, buffer in plain.named_buffers():
        assert all(torch.allclose(dict(t.named_buffers())[name], buffer, rtol=1e-10) for t in twins)
