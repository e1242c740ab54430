"""What is remembered: memories, the protocol that allows them, and the meter that weighs them."""

from holdfast.memory.memory import MEMORIES, ClassBalanced, Everything, Memory, NoMemory
from holdfast.memory.meter import Holdings, forbid_images, measure
from holdfast.memory.protocol import Protocol
from holdfast.memory.reservoir import Reservoir
from holdfast.memory.select import at_random, herding
from holdfast.memory.walk import reachable

__all__ = [
    "MEMORIES",
    "ClassBalanced",
    "Everything",
    "Holdings",
    "Memory",
    "NoMemory",
    "Protocol",
    "Reservoir",
    "at_random",
    "forbid_images",
    "herding",
    "measure",
    "reachable",
]
