"""Defaults that changed: what was stored before goes on with those it was made with."""

import pytest

from holdfast.core.errors import ConfigError
from holdfast.recipes import make
from holdfast.recipes.former import EDITION, FORMER, as_made
from holdfast.recipes.strict import DECIDE
from holdfast.train.blueprint import Blueprint
from holdfast.train.identity import refuse_other


@pytest.mark.parametrize("recipe", ["lwf_strict", "fnc2_strict"])
def test_a_stored_blueprint_has_the_defaults_of_its_time(recipe):
    data = Blueprint.of(recipe, (1, 8, 8), "desk").to_data()
    assert data["edition"] == EDITION
    now = Blueprint.from_data(data)
    assert now.method().readout.name == DECIDE
    for edition, readout in {3: "gaussian:stages", 4: "gaussian:pyramid"}.items():
        assert Blueprint.from_data(data | {"edition": edition}).method().readout.name == readout
    before = Blueprint.from_data({k: v for k, v in data.items() if k != "edition"})
    assert before.method().readout.name == "gaussian"
    assert "rotations" not in {term.label for term in before.method().terms}
    asked = Blueprint.of(recipe, (1, 8, 8), "desk", {"decide": "ridge"}).to_data()
    del asked["edition"]
    assert Blueprint.from_data(asked).method().readout.name == "ridge"


def test_a_former_default_is_a_parameter_that_differs_now():
    for edition, recipes in FORMER.items():
        assert edition < EDITION
        for recipe, values in recipes.items():
            make(recipe, **as_made(recipe, {}, edition))
            for name, value in values.items():
                assert as_made(recipe, {name: "x"}, edition)[name] == "x" != value


def test_a_readout_whose_default_drift_was_renewed_goes_on():
    then, now = ({"readout_settings": {"gaussian": {"drift": d}}} for d in ("ridge", "ridge+noise"))
    refuse_other(now, then)
    with pytest.raises(ConfigError, match="drift"):
        refuse_other(then, now)
    for other in ("none", "ridge+blend"):
        with pytest.raises(ConfigError, match="drift"):
            refuse_other(now, {"readout_settings": {"gaussian": {"drift": other}}})
    with pytest.raises(ConfigError, match="drift"):
        refuse_other({"method": {"drift": "ridge+noise"}}, {"method": {"drift": "ridge"}})
