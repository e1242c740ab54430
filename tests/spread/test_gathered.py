"""Portions of rows, cut and joined in any way, are the same rows and the same statistics."""

import hashlib

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from holdfast.spread.gathered import Gathered, Read, Tree
from holdfast.statistics.class_statistics import Statistics


class Doubled(Read):
    """Twice the features."""

    def __init__(self, structure):
        self.structure = structure

    def rows(self, x):
        return 2 * x.double()

    def empty(self, width):
        return Statistics.empty(width, self.structure)


READS = {kind: Doubled(kind) for kind in ("none", "shared", "full", "diagonal", "factor")}
N, F, MOST = 60, 3, 4


@pytest.fixture
def data():
    """60 rows of 5 classes of very uneven size, two rows of one content."""
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(N, F, generator=chance)
    y = [0] * 3 + [1] * 30 + [2] * 1 + [4] * 20 + [7] * 6
    contents = [hashlib.sha256(b"%d" % i).digest() for i in range(N)]
    contents[10] = contents[11]
    return x, y, contents


def portion(data, places, most=MOST, unread=()):
    x, y, contents = data
    rows = torch.tensor(places)
    return Gathered.of(
        x[rows], [y[i] for i in places], [contents[i] for i in places], places, most, READS, unread
    )


def joined(data, cuts, most=MOST):
    tree = Tree(lambda a, b: a.join(b, READS))
    for places in cuts:
        tree.add(portion(data, places, most))
    return tree.whole()


def dense(statistics):
    """Count, mean and what is known of the scatter, written out."""
    kind = statistics.scatter
    parts = [statistics.count, statistics.mean]
    if hasattr(kind, "shared"):
        parts.append(kind.shared)
    elif kind.tensors():
        parts += [kind.matrix(k) for k in range(len(statistics.count))]
    return parts


CUTS = {
    "one": [range(N)],
    "in halves": [range(30), range(30, N)],
    "by seven": [range(i, min(i + 7, N)) for i in range(0, N, 7)],
    "row by row": [[i] for i in range(N)],
    "interleaved": [range(i, N, 4) for i in range(4)],
    "backwards": [range(i, min(i + 9, N)) for i in reversed(range(0, N, 9))],
}


@pytest.mark.parametrize("cut", CUTS)
def test_cuts_do_not_matter(data, cut):
    x, y, contents = data
    whole = joined(data, [list(places) for places in CUTS[cut]])
    kept = []  # the twin: the least of each class by content, then by place
    for k in sorted(set(y)):
        rows = sorted((contents[i][:8], i) for i in range(N) if y[i] == k)
        kept += [i for _, i in rows[:MOST]]
    assert whole.place.tolist() == sorted(kept) and whole.x.equal(x[sorted(kept)])
    assert whole.y.tolist() == [y[i] for i in sorted(kept)]
    assert whole.count == {k: y.count(k) for k in set(y)} and whole.classes == (1, 4, 7)
    rest = [i for i in range(N) if i not in kept]
    numbers = torch.tensor([whole.classes.index(y[i]) for i in rest])
    for name, read in READS.items():
        wanted = read.empty(F).add(read.rows(x[rest]), numbers, 3)
        for mine, theirs in zip(dense(whole.rest[name]), dense(wanted), strict=True):
            assert_close(mine, theirs, atol=1e-10, rtol=1e-10)
    assert whole.mark == portion(data, list(range(N))).mark != portion(data, list(range(59))).mark


def test_everything_is_kept_where_there_is_room_and_files_without_a_row_are_noted(data):
    whole = joined(data, CUTS["by seven"], most=30)
    assert whole.place.tolist() == list(range(N)) and whole.rest == {} and whole.classes == ()
    a = portion(data, [5, 6], unread=[(9, "is broken")])
    b = portion(data, [0, 1], unread=[(2, "is empty")])
    both = a.join(b, READS)
    assert both.unread == ((2, "is empty"), (9, "is broken"))
    assert both.place.tolist() == [0, 1, 5, 6] and np.array_equal(both.key[:1], b.key[:1])


def test_a_tree_joins_each_portion_few_times_and_in_order():
    text, joins = Tree(lambda a, b: joins.append(1) or a + b), []
    assert text.whole() is None
    for i in range(13):
        text.add(f"{i},")
    assert text.whole() == "".join(f"{i}," for i in range(13)) and len(joins) == 12
