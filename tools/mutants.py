"""Mutations that the tests let live: each one changes a formula by one step, and its tests must fail.

python tools/mutants.py [--rooms loss,anchor,readout,recipes] [--files src/holdfast/loss/uniform.py]
    [--sample 20] [--seed 0] [--results .mutants.jsonl] [--list]

A file is mutated in a copy of the package, never in place: arithmetic operators swapped, comparisons
replaced, numbers and truth values changed, a keyword argument dropped, two arguments swapped. The tests are
those of the file's room with its name, and the room's wiring; the whole room's where there is none of that
name. What was tried stands in the results with the file's hash: a run goes on where another stopped.
Survivors are printed; some change nothing that can be seen (a constant beside a clamp), and are to be
judged by eye.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "holdfast", ROOT / "tests"
ROOMS = ("loss", "anchor", "readout", "recipes")
SECONDS = 600  # of the tests of one mutant; one that hangs is dead
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def shown(node: ast.AST) -> str:
    """A node as source on one line."""
    return " ".join(ast.unparse(node).split())[:90]


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that compute: no annotations, no messages of errors, no blocks for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Raise | ast.arg | ast.Assert):
            continue
        if isinstance(node, ast.If) and shown(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from (node.value, *nodes(node.value))
            continue
        if isinstance(node, ast.FunctionDef):
            parts = (*node.args.defaults, *[d for d in node.args.kw_defaults if d], *node.body)
            for part in parts:
                yield from (part, *nodes(part))
            continue
        yield node
        yield from nodes(node)


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """What can be changed of a node: a description, and a function that does it in place."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        new = SWAPS[type(node.op)]
        yield f"{type(node.op).__name__} to {new.__name__}", lambda n: setattr(n, "op", new())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        other = SWAPS[type(node.ops[0])]
        yield (
            f"{type(node.ops[0]).__name__} to {other.__name__}",
            lambda n: n.ops.__setitem__(0, other()),
        )
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield f"{node.value} to {value}", lambda n: setattr(n, "value", value)
    if isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg:
                yield f"without {keyword.arg}=", lambda n, place=place: n.keywords.pop(place)
        for place in range(len(node.args) - 1):
            a, b = node.args[place : place + 2]
            if ast.dump(a) != ast.dump(b) and not any(isinstance(v, ast.Starred) for v in (a, b)):
                yield (
                    f"arguments {place + 1} and {place + 2} swapped",
                    lambda n, place=place: swap(n, place),
                )


def swap(call: ast.Call, place: int) -> None:
    """Two neighbours of a call's arguments."""
    call.args[place], call.args[place + 1] = call.args[place + 1], call.args[place]


def mutants(path: Path) -> Iterator[tuple[str, str]]:
    """(description, source) of every mutant of a file."""
    tree = ast.parse(path.read_text())
    for number, node in enumerate(nodes(tree)):
        for which, (words, _) in enumerate(changes(node)):
            other = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(nodes(other)) if i == number)
            before = shown(twin)
            list(changes(twin))[which][1](twin)  # type: ignore[operator]
            at = f"{getattr(node, 'lineno', 0)}:{getattr(node, 'col_offset', 0)}"
            place = f"{path.relative_to(ROOT)}:{at}"
            yield f"{place} {words}: {before}", ast.unparse(ast.fix_missing_locations(other))


def tests_of(path: Path) -> list[str]:
    """The test files that must kill the mutants of a file."""
    room = TESTS / path.relative_to(SOURCE).parts[0]
    stem = path.stem
    files = [p for p in sorted(room.glob("test_*.py")) if stem in p.stem or p.stem[5:] in stem]
    wiring = [p for r in {room, TESTS / "recipes"} for p in [r / "test_wiring.py"] if p.exists()]
    chosen = [*files, *wiring] if files or not room.exists() else sorted(room.glob("test_*.py"))
    return list(dict.fromkeys(map(str, chosen)))


def passes(files: list[str], package: Path) -> bool:
    """Whether tests pass on a copy of the package."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    """Try what was asked for; 1 where a mutant lives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--files", default="")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / ".mutants.jsonl")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    rooms = [SOURCE / room for room in asked.rooms.split(",")]
    paths = [p for room in rooms for p in sorted(room.glob("*.py")) if p.name != "__init__.py"]
    if asked.files:
        paths = [(ROOT / name).resolve() for name in asked.files.split(",")]
    every = [(path, *mutant) for path in paths for mutant in mutants(path)]
    random.Random(asked.seed).shuffle(every)
    every = every[: asked.sample or None]
    if asked.list:
        print("\n".join(sorted(words for _, words, _ in every)), f"\n{len(every)} mutants")
        return 0
    lines = asked.results.read_text().splitlines() if asked.results.exists() else []
    tried = {(r["mutant"], r["hash"]): r["alive"] for r in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder:
        alive = judged(every, tried, asked.results, Path(folder))
    print("\n".join(sorted(alive)))
    print(f"{len(alive)} of {len(every)} mutants live")
    return 1 if alive else 0


def judged(
    every: list[tuple[Path, str, str]],
    tried: dict[tuple[str, str], bool],
    results: Path,
    folder: Path,
) -> list[str]:
    """Those that live; each one that was not tried before is, and noted."""
    shutil.copytree(SOURCE, folder / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
    sound: dict[Path, bool] = {}
    alive = []
    for path, words, source in every:
        key = words, hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        if key not in tried:
            files, target = tests_of(path), folder / "holdfast" / path.relative_to(SOURCE)
            if path not in sound:
                sound[path] = passes(files, folder)
                if not sound[path]:
                    raise SystemExit(
                        f"{', '.join(files)} fail without any mutation: mend them first."
                    )
            target.write_text(source)
            tried[key] = passes(files, folder)
            shutil.copy(path, target)
            with results.open("a") as file:
                file.write(
                    json.dumps({"mutant": words, "hash": key[1], "alive": tried[key]}) + "\n"
                )
            print("lives" if tried[key] else "dies ", words, flush=True)
        if tried[key]:
            alive.append(words)
    return alive


if __name__ == "__main__":
    raise SystemExit(main())
