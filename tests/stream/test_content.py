"""What tells the data of a stream from others, whatever order its tasks come in."""

from dataclasses import replace

import pytest

from holdfast.stream import make_stream
from holdfast.stream.content import content_fingerprint
from holdfast.testing.streams import small_source

SOURCE = small_source(each=6, tests=4)


def content(source=SOURCE, **cut):
    return content_fingerprint(make_stream(source, **cut))


@pytest.mark.parametrize("scenario", ["class", "instance", "permuted", "rotated"])
def test_orders_and_cuts_change_nothing(scenario):
    cuts = [{"order_seed": 1}, {"order_seed": 7}, {"tasks": 2}]
    first = content(scenario=scenario, tasks=3)
    assert {content(scenario=scenario, **({"tasks": 3} | cut)) for cut in cuts} == {first}


def test_other_rows_labels_and_pixels_change_it():
    fewer = replace(SOURCE, x=SOURCE.x[1:], y=SOURCE.y[1:])
    x = SOURCE.x.clone()
    x[0, 0, 0, 0] ^= 1
    swapped = replace(SOURCE, y=SOURCE.y.flip(0))
    tests = replace(SOURCE, test_x=SOURCE.test_x.flip(0).clone())
    others = {content(one, tasks=3) for one in (fewer, replace(SOURCE, x=x), swapped, tests)}
    assert len(others | {content(tasks=3)}) == 5
