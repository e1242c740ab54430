"""The second task of a small stream, learned under a count."""

from holdfast.core import constants
from holdfast.recipes import make
from holdfast.testing import small_stream
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual


def counted_in_second_task(recipe, batch, counting, **settings):
    """What a count finds in opening the second task and in its two epochs, of 20 rows each.

    Constants are made anew, so that no earlier test has made them.
    """
    stream = small_stream(each=10)
    core = Continual(make(recipe), stream.shape, QUICK.updated(batch=batch, **settings), 6)
    core.learn(stream[0])
    constants._made_once.cache_clear()
    epochs = core.epochs(stream[1])
    with counting() as counts:
        for _ in range(2):
            next(epochs, None)
    return counts
