"""One registry: how parts are added, found, built and kept from running unasked."""

import sys
from functools import partial

import pytest

from holdfast.core.errors import ConfigError, PluginError
from holdfast.core.registry import REGISTRIES, Registry, closed, import_named


@pytest.fixture
def tools():
    yield Registry("tool")
    del REGISTRIES["tools"]


def hammer(weight: float = 1.0, frame: object = None):
    """Drives nails."""
    return ("hammer", weight, frame)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A module in the current folder that notes that it was imported."""
    (tmp_path / "workshop.py").write_text(
        "import pathlib\npathlib.Path('ran').touch()\n"
        "def saw(teeth: int = 3):\n    return ('saw', teeth)\n"
        "class Box:\n    saw = staticmethod(saw)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("holdfast.core.registry.IMPORTED", set())
    yield tmp_path / "ran"
    sys.modules.pop("workshop", None)


def test_a_part_is_found_by_its_name_and_built_from_a_text(tools):
    assert tools.register("hammer")(hammer) is hammer
    tools.add("heavy", partial(hammer, weight=9.0))
    assert list(tools) == ["hammer", "heavy"] and "hammer" in tools and len(tools) == 2
    assert tools["hammer"] is hammer
    assert tools.build("hammer:weight=2", frame=1, unasked=2) == ("hammer", 2.0, 1)
    assert tools.build("heavy") == ("hammer", 9.0, None)
    entry = tools.entry("hammer")
    assert (entry.summary, entry.builtin) == ("Drives nails.", False)
    assert tools.entry("heavy").summary == "Drives nails."


def test_an_unknown_name_is_refused_with_the_nearest(tools):
    tools.add("hammer", hammer)
    with pytest.raises(ConfigError, match="unknown tool 'hamer': did you mean 'hammer'"):
        tools.build("hamer:weight=2")
    with pytest.raises(KeyError):
        tools["hamer"]


def test_a_name_is_given_once_but_a_module_may_be_loaded_again(tools):
    tools.add("hammer", hammer)
    tools.add("hammer", hammer)
    with pytest.raises(ConfigError, match="has the name of one of"):
        tools.add("hammer", lambda: 0)
    for name in ("", "a:b", "a,b", "a b", "--x", "a=b"):
        with pytest.raises(ConfigError, match="cannot name a tool"):
            tools.add(name, hammer)


@pytest.mark.parametrize("text", ["workshop:saw:teeth=5", "workshop:saw:5", "workshop:Box.saw:5"])
def test_a_part_of_a_module_is_named_as_module_and_attribute(tools, workshop, text):
    assert tools.build(text) == ("saw", 5)
    assert workshop.exists()


def test_what_a_module_lacks_or_does_is_one_sentence(tools, workshop, tmp_path):
    with pytest.raises(ConfigError, match="workshop has no 'drill' to use as a tool"):
        tools.build("workshop:drill")
    with pytest.raises(ConfigError, match=r"there is no module 'work\.shop' to take the tool from"):
        tools.build("work.shop:saw")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=r"'broken' cannot be imported .ZeroDivisionError"):
        tools.build("broken:saw")
    with pytest.raises(ConfigError, match=r"there is no file nowhere\.py"):
        import_named("nowhere.py")


def test_a_misspelt_name_with_settings_imports_nothing(tools, workshop):
    tools.add("hammer", hammer)
    with pytest.raises(ConfigError, match="did you mean 'hammer'"):
        tools.build("hamer:weight=2")
    with pytest.raises(ConfigError, match="unknown tool"):
        tools.build("workshop:teeth=2")  # a module, but no attribute of it
    assert not workshop.exists()


def test_nothing_is_imported_for_a_name_inside_closed(tools, workshop):
    tools.add("hammer", hammer)
    with closed():
        assert tools.build("hammer")[0] == "hammer"
        for text in ("workshop:saw", "os:system", "workshop.deep:saw:5"):
            with pytest.raises(PluginError, match="add --import"):
                tools.build(text)
        with pytest.raises(PluginError, match="not part of holdfast and not installed"):
            tools.build("drill")
    assert not workshop.exists()


def test_what_the_user_named_is_found_inside_closed(tools, workshop):
    import_named("workshop:saw")
    with closed():
        assert tools.build("workshop:saw:5") == ("saw", 5)
        with pytest.raises(PluginError):
            tools.build("workshop:Box.saw")
