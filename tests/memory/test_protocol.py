"""What may be stored of old classes, and what it may be used for (docs/theory.md, section 9)."""

import pytest

from holdfast.core.errors import ConfigError
from holdfast.memory import ClassBalanced, Everything, NoMemory, Protocol, Reservoir


def test_a_protocol_names_itself():
    named = [str(Protocol()), str(Protocol("auxiliary", 200)), str(Protocol("buffer", 5))]
    assert named == ["strict", "auxiliary(200)", "buffer(5)"]
    assert str(Protocol("joint")) == "joint"


@pytest.mark.parametrize("kind", ["auxiliary", "buffer"])
@pytest.mark.parametrize("images", [0, -3])
def test_a_protocol_that_stores_needs_a_number(kind, images):
    with pytest.raises(ConfigError, match=f"{kind} needs a number of images"):
        Protocol(kind, images)


@pytest.mark.parametrize("kind", ["strict", "joint"])
def test_a_protocol_without_a_number_takes_none(kind):
    with pytest.raises(ConfigError, match=f"{kind} takes no number of images"):
        Protocol(kind, 5)


def test_protocols_are_values():
    assert Protocol("buffer", 5) == Protocol("buffer", 5) != Protocol("buffer", 6)
    assert len({Protocol(), Protocol("strict"), Protocol("auxiliary", 5)}) == 2


def test_strict_keeps_nothing():
    assert not Protocol().memory(NoMemory()).keeps


def test_auxiliary_stores_its_images_for_the_readout_only():
    memory = Protocol("auxiliary", 7).memory(NoMemory())
    assert isinstance(memory, ClassBalanced)
    assert memory.capacity == 7 and memory.use == "readout"


def test_buffer_resizes_the_memory_of_a_method_that_has_one():
    own = Reservoir(200, "mix")
    memory = Protocol("buffer", 7).memory(own)
    assert memory is own and memory.capacity == 7 and memory.use == "mix"


def test_buffer_gives_a_memory_to_a_method_that_has_none():
    memory = Protocol("buffer", 7).memory(NoMemory())
    assert isinstance(memory, ClassBalanced)
    assert memory.capacity == 7 and memory.use == "pool"


@pytest.mark.parametrize("protocol", [Protocol(), Protocol("auxiliary", 7)])
def test_a_method_that_rehearses_is_refused_without_a_buffer(protocol):
    with pytest.raises(ConfigError, match=r"rehearses stored images.*--protocol buffer"):
        protocol.memory(Reservoir(200))


@pytest.mark.parametrize("protocol", [Protocol(), Protocol("buffer", 7), Protocol("auxiliary", 7)])
def test_everything_is_kept_under_joint_only(protocol):
    own = Everything()
    assert Protocol("joint").memory(own) is own
    with pytest.raises(ConfigError, match="joint and the protocol joint belong together"):
        protocol.memory(own)


@pytest.mark.parametrize("own", [NoMemory(), Reservoir(200)])
def test_joint_is_for_everything_only(own):
    with pytest.raises(ConfigError, match="only the recipe joint"):
        Protocol("joint").memory(own)


def test_a_readout_that_reads_no_image_runs_strictly_under_auxiliary():
    assert Protocol("auxiliary", 7).unread == Protocol()
    for kept in (Protocol(), Protocol("buffer", 7), Protocol("joint")):
        assert kept.unread == kept
