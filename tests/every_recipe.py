"""Every recipe as a text, the slow ones small."""

from holdfast.recipes import RECIPES, make

QUICKER = {"acil": "acil:lift=32"}  # 1,024 random features are solved 120 times in three tasks
EVERY = tuple(QUICKER.get(name, name) for name in RECIPES)
STEPPING = tuple(text for text in EVERY if not make(text).once)  # in the second task too
