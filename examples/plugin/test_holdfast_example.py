"""The laws of holdfast, for the parts of this package."""

import pytest
from holdfast_example import Centroid, Lines, Patches, SimilarityDistillation, similar, spots

from holdfast.testing import (
    RECIPE_LAWS,
    check_backbone,
    check_readout,
    check_recipe,
    check_sink,
    check_source,
    check_term,
)


def test_the_anchor():
    check_term(SimilarityDistillation())


def test_the_readout():
    check_readout(Centroid())


def test_the_source():
    check_source(spots)


def test_the_backbone():
    check_backbone(Patches)


def test_the_log():
    check_sink(Lines)


@pytest.mark.parametrize("law", RECIPE_LAWS)
def test_the_recipe(law):
    check_recipe(similar, [law])
