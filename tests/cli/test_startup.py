"""What starting a command imports: nothing heavy for what needs none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from holdfast.cli import main

SOURCE = Path(__file__).parents[2] / "src"
LIGHT = ("torch", "sklearn", "scipy", "matplotlib", "transformers", "pandas", "pyarrow", "tyro")
ASIDE = ("lightning", "torch._dynamo", "matplotlib", "transformers", "sklearn", "scipy", "pandas",
         "holdfast.study", "onnx", "onnxruntime", "http.server")  # fmt: skip
CODE = """
import contextlib, io, json, sys
from holdfast.cli import main
commands, loaded = json.loads(sys.argv[1]), {}
for words in commands:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(words)
    modules = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    loaded[words[0]] = code, len(out.getvalue()), modules
print(json.dumps(loaded))
"""


def loaded_by(commands, names):
    """By command, in one process: its exit code, how much it printed, and which modules are there then."""
    words = [sys.executable, "-c", CODE, json.dumps(commands), json.dumps(names)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_only_prints_imports_no_torch():
    commands = [["--version"], ["--help"], ["recipes"], ["recipes", "--json"]]
    loaded = loaded_by(commands, LIGHT)
    assert len(loaded) == 3
    for code, printed, modules in loaded.values():
        assert code == 0 and printed > 8 and modules == []


def test_runs_are_compared_without_torch():
    code = "import sys, holdfast.compare.comparison; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_predict_imports_nothing_that_its_model_has_no_use_for(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    np.savez(tmp_path / "f.npz", x=x, y=np.array(["ant", "bee"] * 6))
    model = str(tmp_path / "model")
    assert main(["learn", model, "--data", str(tmp_path / "f.npz"), "--quiet"]) == 0
    ((code, printed, modules),) = loaded_by(
        [["predict", model, str(tmp_path / "f.npz")]], ASIDE
    ).values()
    assert code == 0 and printed and modules == []


def test_the_glance_at_recipes_is_what_the_registry_holds(monkeypatch):
    from holdfast.cli import glance as module
    from holdfast.cli.glance import recipes_at_a_glance
    from holdfast.recipes import RECIPES

    assert recipes_at_a_glance() is None  # the registry is there, and knows more
    monkeypatch.delitem(sys.modules, "holdfast.recipes")
    monkeypatch.setattr(module, "IMPORTED", set())  # whatever other tests imported
    glance = recipes_at_a_glance()
    assert glance is not None
    builtin = [entry for entry in RECIPES.entries() if entry.builtin]
    assert [(e.name, e.summary, e.module) for e in glance] == [
        (e.name, e.summary, e.module) for e in builtin
    ]


def test_where_a_module_was_named_the_registry_is_asked(monkeypatch):
    from holdfast.cli import glance

    monkeypatch.delitem(sys.modules, "holdfast.recipes")
    monkeypatch.setattr(glance, "IMPORTED", {"mine"})
    assert glance.recipes_at_a_glance() is None
