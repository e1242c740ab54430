"""The meter finds what is held wherever it hides, and calls nothing an image that is none."""

from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from holdfast.core.errors import ProtocolError
from holdfast.learner import Frame, Learner
from holdfast.loss import CrossEntropy, FocalCollapse
from holdfast.memory import Holdings, Reservoir, forbid_images, measure, reachable


class Thing:
    """An object with whatever attributes it is given."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self):
        return vars(self)


@dataclass(slots=True)
class Slotted:
    kept: object


def closure(value):
    def inner():
        return value

    return inner


def default(value):
    def inner(kept=value, *, again=None):
        return kept, again

    return inner


def keyword_default(value):
    def inner(*, kept=value):
        return kept

    return inner


def module(value):
    outer = nn.Sequential(nn.Identity())
    outer[0].kept = value
    return outer


def ring(value):
    first, second = Thing(), Thing()
    first.next, second.next, second.kept = second, first, value
    return first


def hooked(value):
    layer = nn.Identity()
    layer.register_forward_hook(closure(value))
    return layer


HIDING = {
    "attribute": lambda v: Thing(kept=v),
    "list": lambda v: [0, [v]],
    "tuple": lambda v: (0, (v,)),
    "dict": lambda v: {"a": {1: v}},
    "deque": lambda v: deque([v]),
    "slot": Slotted,
    "closure": closure,
    "default": default,
    "keyword default": keyword_default,
    "partial's argument": lambda v: partial(print, v),
    "partial's keyword": lambda v: partial(print, end=v),
    "partial of a closure": lambda v: partial(closure(v)),
    "bound method": lambda v: Thing(kept=v).method,
    "module": module,
    "module list": lambda v: nn.ModuleList([module(v)]),
    "ring": ring,
    "hook": hooked,
}


@pytest.fixture(params=HIDING.values(), ids=HIDING.keys())
def hide(request):
    return request.param


def test_rows_are_found_wherever_they_hide(table, hide):
    rows = table([0, 1, 1])
    found = [thing for _, thing in reachable(hide(rows))]
    assert len(found) == 1 and found[0] is rows
    assert measure({"part": hide(rows)}, None).images == 3


def test_tensors_are_found_wherever_they_hide(hide):
    tensor = torch.rand(4, 5)
    assert any(thing is tensor for _, thing in reachable(hide(tensor)))


def test_images_are_refused_wherever_they_hide(table, hide):
    rows = table([0, 1, 1])
    with pytest.raises(ProtocolError, match=r"part.*3 samples"):
        forbid_images({"part": hide(rows)}, rows, "strict")


def test_a_path_tells_where():
    tensor = torch.rand(2)
    thing = {"part": Thing(kept=[0, Thing(deep=tensor)])}
    assert [path for path, _ in reachable(thing)] == ["part.kept.1.deep"]


def test_an_empty_cell_is_passed_over():
    def inner():
        return later

    assert list(reachable(inner)) == []
    later = torch.rand(2)
    assert [thing for _, thing in reachable(inner)] == [later]


def test_the_same_tensor_counts_once():
    tensor = torch.rand(4, 5)
    twice = measure({"a": [tensor, tensor], "b": Thing(kept=tensor)}, None)
    assert twice == measure({"a": tensor}, None) == Holdings(floats=20, bytes=80)


def test_a_sample_in_two_tables_is_one_image(table):
    rows = table([0, 1, 1])
    some = rows[torch.tensor([0, 2])]
    assert measure({"a": rows, "b": some}, None).images == 3


def test_bytes_are_those_of_every_column(table):
    rows = table([0, 1, 1])
    noted = type(rows)(rows.x, rows.y, rows.task, rows.key, {"logits": torch.rand(3, 2)})
    held = measure({"memory": Thing(rows=noted)}, None)
    assert held == Holdings(images=3, floats=6, bytes=3 * 64 + 3 * 3 * 8 + 6 * 4)


def test_a_past_network_is_weighed_apart():
    past = nn.BatchNorm1d(3)  # weight, bias, two running statistics, and a counter of 8 bytes
    held = measure({"part": torch.rand(5)}, past)
    assert held == Holdings(floats=5, bytes=20, past_floats=13, past_bytes=12 * 4 + 8)


def test_a_frame_is_not_counted():
    assert measure({"loss": FocalCollapse(Frame(8))}, None) == Holdings()
    assert measure({"frame": Frame(8)}, None) == Holdings()


def test_a_memory_is_weighed_by_its_rows(table):
    memory = Reservoir(5)
    memory.observe(table([0, 1, 1]), 0, torch.Generator())
    assert measure({"memory": memory}, None).images == 3


# what is an image


def pixels(n=6, seed=0, shape=(1, 8, 8)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8)


IMAGES = {
    "rows": lambda rows: rows,
    "one row": lambda rows: rows[torch.tensor([3])],
    "pixels at rest": lambda rows: rows.x,
    "one image at rest": lambda rows: rows.x[0],
    "bytes of any shape": lambda rows: rows.x.flatten()[:10],
    "pixels as floats": lambda rows: rows.x / 255,
    "one image as floats": lambda rows: rows.x[2] / 255,
    "views": lambda rows: torch.rand(4, *rows.x.shape[1:]),
    "flattened raw": lambda rows: rows.x.flatten(1).float(),
    "flattened in [0, 1]": lambda rows: rows.x.flatten(1) / 255,
    "flattened in double": lambda rows: rows.x.flatten(1).double() / 255,
    "flattened raw in half": lambda rows: rows.x.flatten(1).half(),
    "flattened as integers": lambda rows: rows.x.flatten(1).long(),
    "one flattened image": lambda rows: rows.x[5].flatten() / 255,
    "everything in one vector": lambda rows: (rows.x / 255).flatten(),
    "one image among statistics": lambda rows: torch.cat(
        [torch.rand(3, 64), rows.x[:1].flatten(1) / 255]
    ),
    "the other way round": lambda rows: rows.x.flatten(1).flip(0) / 255,
    "a parameter": lambda rows: nn.Parameter(rows.x.flatten(1) / 255),
    "an array at rest": lambda rows: rows.x.numpy(),
    "an array of floats": lambda rows: rows.x.flatten(1).numpy() / np.float32(255),
    "an array backwards": lambda rows: rows.x.numpy()[::-1],
}


@pytest.mark.parametrize("keep", IMAGES.values(), ids=IMAGES.keys())
def test_images_are_refused_in_any_form(table, keep):
    rows = table([0, 1] * 3, x=pixels())
    with pytest.raises(ProtocolError, match=r"part.*does not allow: store statistics"):
        forbid_images({"part": Thing(kept=keep(rows))}, rows, "strict")


def test_a_refusal_says_where_what_and_under_which_protocol(table):
    rows = table([0, 1] * 3, x=pixels())
    parts = {"good": torch.rand(64), "bad": Thing(kept=[rows.x.flatten(1) / 255])}
    expected = r"^bad.kept.0 keeps samples in a tensor of shape \(6, 64\).*protocol auxiliary\(5\)"
    with pytest.raises(ProtocolError, match=expected):
        forbid_images(parts, rows, "auxiliary(5)")


BLANK = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
HARMLESS = {
    "statistics as wide as an image": lambda x: torch.rand(10, 64),
    "the mean image, flattened": lambda x: (x / 255.0).flatten(1).mean(0),
    "class means of images": lambda x: x[:4].flatten(1).float().view(2, 2, 64).mean(1),
    "a covariance": lambda x: torch.cov((x / 255.0).flatten(1).T),
    "zeros as wide as a blank image": lambda x: torch.zeros(3, 64),
    "ones as wide as a white image": lambda x: torch.ones(3, 64),
    "a constant": lambda x: torch.full((64,), 255.0),
    "a mask": lambda x: torch.rand(3, 64) > 0.5,
    "labels": lambda x: torch.arange(64),
    "nothing": lambda x: torch.rand(0, 64),
    "a scalar": lambda x: torch.tensor(0.5),
    "another width": lambda x: torch.rand(3, 7),
    "weights of a convolution": lambda x: torch.rand(8, 4, 3, 3),
    "a frame": lambda x: Frame(64),
    "a term": lambda x: CrossEntropy(),
    "a learner": lambda x: Learner((1, 8, 8), width=16),
}


@pytest.mark.parametrize("keep", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_is_no_image_is_allowed(table, keep):
    x = torch.cat([pixels(4), BLANK, 255 - BLANK])
    rows = table([0, 1] * 3, x=x)
    torch.manual_seed(0)
    parts = {"part": Thing(kept=keep(x))}
    forbid_images(parts, rows, "strict")
    parts["part"].more = x[:1]  # the same part, with an image beside it
    with pytest.raises(ProtocolError, match=r"part\.more"):
        forbid_images(parts, rows, "strict")


def test_feature_vectors_are_samples_too(table):
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
    rows = table([0, 1] * 3, x=x)
    forbid_images({"part": x.mean(0)}, rows, "strict")
    forbid_images({"part": torch.randn(12, 12)}, rows, "strict")
    for kept in (x, x[4], x.double(), x.flip(0).flatten(), rows):
        with pytest.raises(ProtocolError, match="part keeps"):
            forbid_images({"part": kept}, rows, "strict")


def test_narrow_features_are_not_taken_for_any_few_numbers(table):
    """Some of 200,000 statistics are always within a thousandth of two numbers."""
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(400, 2, generator=chance)
    rows = table([0, 1] * 200, x=x)
    forbid_images({"part": torch.rand(450, 450, generator=chance)}, rows, "strict")
    forbid_images({"part": torch.rand(100_000, 2, generator=chance)}, rows, "strict")
    for kept in (x[7:8], x[:3].double(), torch.cat([torch.rand(9, 2), x[4:5]])):
        with pytest.raises(ProtocolError, match="part keeps"):
            forbid_images({"part": kept}, rows, "strict")


def test_a_row_of_one_or_two_numbers_beside_zeros_identifies_nobody(table):
    x = torch.cat([torch.eye(12)[:3], torch.rand(3, 12)])
    rows = table([0, 1] * 3, x=x)
    forbid_images({"part": torch.diag(torch.ones(12))}, rows, "strict")
    with pytest.raises(ProtocolError, match="part keeps"):
        forbid_images({"part": x}, rows, "strict")


def test_an_empty_task_finds_nothing(table):
    rows = table([0, 1])[torch.tensor([], dtype=torch.long)]
    forbid_images({"part": torch.rand(3, 64)}, rows, "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": rows}, rows, "strict")
