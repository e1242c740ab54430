"""Modules with parts of their own, imported by their path and gone afterwards."""

import sys

from holdfast.core.registry import IMPORTED, REGISTRIES, import_named


def modules_of_parts(tmp_path, monkeypatch):
    """Yields ``make(name, text)``: a module in the folder that is worked in; its path."""
    monkeypatch.chdir(tmp_path)
    before = {kind: dict(registry._entries) for kind, registry in REGISTRIES.items()}
    named = set(IMPORTED)  # by other tests, whose files are gone: workers would look for them
    IMPORTED.clear()
    names = []

    def make(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        names.append(name)
        import_named(str(file))
        return file

    yield make
    IMPORTED.clear()
    IMPORTED.update(named)
    for name in names:
        sys.modules.pop(name, None)
    for kind, registry in REGISTRIES.items():
        for name in set(registry._entries) - set(before.get(kind, {})):
            if registry._entries[name].module in names:
                del registry._entries[name]
