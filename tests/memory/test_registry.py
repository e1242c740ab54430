"""Memories by name."""

import pytest

from holdfast.core.errors import ConfigError
from holdfast.memory import MEMORIES, ClassBalanced, Everything, NoMemory, Reservoir


def test_every_memory_has_a_name():
    assert set(MEMORIES) >= {"none", "everything", "balanced", "reservoir"}
    made = [type(MEMORIES.build(name)) for name in ("none", "everything", "balanced", "reservoir")]
    assert made == [NoMemory, Everything, ClassBalanced, Reservoir]


def test_settings_follow_with_colons():
    memory = MEMORIES.build("balanced:capacity=20:use=mix:select=herding")
    assert (memory.capacity, memory.use, memory.select) == (20, "mix", "herding")
    assert MEMORIES.build("reservoir:30:draws=2").draws == 2


@pytest.mark.parametrize("text", ["reservior", "balanced:use=often", "reservoir:capacity=-1"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError):
        MEMORIES.build(text)
