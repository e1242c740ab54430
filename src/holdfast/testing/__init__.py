"""The laws that every part obeys, as functions that others can call.

In the manner of scikit-learn's ``check_estimator``: a function a kind of part, for the project's own
parts and for those of a plugin, with pytest or without. Each raises AssertionError with one sentence
that says which law does not hold.

    from holdfast.testing import check_recipe, check_term

    def test_my_anchor():
        check_term(MyAnchor())

    @pytest.mark.parametrize("law", RECIPE_LAWS)
    def test_my_recipe(law):
        check_recipe("my_recipe", laws=[law])
"""

from holdfast.testing.backbones import check_backbone
from holdfast.testing.devices import check_devices
from holdfast.testing.memories import check_memory
from holdfast.testing.readouts import check_readout
from holdfast.testing.recipes import RECIPE_LAWS, check_recipe
from holdfast.testing.rules import check_rule, check_split
from holdfast.testing.sinks import check_sink
from holdfast.testing.sources import check_source
from holdfast.testing.states import check_states
from holdfast.testing.streams import small_source, small_stream, textures, vectors
from holdfast.testing.terms import check_term
from holdfast.testing.waits import counting_waits

__all__ = [
    "RECIPE_LAWS",
    "check_backbone",
    "check_devices",
    "check_memory",
    "check_readout",
    "check_recipe",
    "check_rule",
    "check_sink",
    "check_source",
    "check_split",
    "check_states",
    "check_term",
    "counting_waits",
    "small_source",
    "small_stream",
    "textures",
    "vectors",
]
