"""What is remembered: memories, the protocol that allows them, and the meter that weighs them."""

from holdfast.memory.memory import ClassBalanced, Everything, Memory, NoMemory
from holdfast.memory.meter import Holdings, forbid_images, measure, reachable
from holdfast.memory.protocol import Protocol
from holdfast.memory.reservoir import Reservoir
from holdfast.memory.select import at_random, herding

__all__ = [
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
