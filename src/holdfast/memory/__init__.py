"""What is remembered: memories, the protocol that allows them, and the meter that weighs them."""

from holdfast.memory.leverage import (
    by_leverage,
    by_priority,
    leverage_scores,
    leverage_shares,
    ridge_level,
    with_replacement,
)
from holdfast.memory.memory import MEMORIES, ClassBalanced, Everything, Memory, NoMemory
from holdfast.memory.meter import Holdings, forbid_images, measure
from holdfast.memory.protocol import Protocol
from holdfast.memory.reservoir import Reservoir
from holdfast.memory.select import at_random, herding
from holdfast.memory.walk import reachable
from holdfast.memory.weighed import WeighedMemory

__all__ = [
    "MEMORIES",
    "ClassBalanced",
    "Everything",
    "Holdings",
    "Memory",
    "NoMemory",
    "Protocol",
    "Reservoir",
    "WeighedMemory",
    "at_random",
    "by_leverage",
    "by_priority",
    "forbid_images",
    "herding",
    "leverage_scores",
    "leverage_shares",
    "measure",
    "reachable",
    "ridge_level",
    "with_replacement",
]
