"""What tests of grids share: a module with parts of its own."""

import pytest

from imported import modules_of_parts


@pytest.fixture
def import_parts(tmp_path, monkeypatch):
    """``import_parts(name, text)``: a module in the folder that is worked in; its path."""
    yield from modules_of_parts(tmp_path, monkeypatch)
