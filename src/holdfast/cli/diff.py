"""``holdfast diff``: two versions of a model beside each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.cli.class_options import Diff
from holdfast.cli.operate import say
from holdfast.cli.reading import read
from holdfast.serve.comparison import Comparison, compare
from holdfast.serve.predictor import Predictor
from holdfast.store.difference import Difference, between
from holdfast.store.embedded import embeds
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.stream.folder import LabelledImages
from holdfast.stream.labelled import list_labelled
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual

SHOWN = 20  # images that are listed
Version = tuple[Continual, Manifest]


def diff_command(arguments: list[str], console: Console) -> int:
    """What the manifests say, and with images what the models do."""
    options = read(Diff, arguments, "holdfast diff")
    folder = ModelFolder(options.model)
    pair = [folder.load(number, options.device) for number in (options.before, options.after)]
    apart = between(folder, pair[0], pair[1])
    data: dict[str, Any] = {"before": options.before, "after": options.after} | asdict(apart)
    asked = None if options.data is None else _ask(options, pair, apart)
    if asked is not None:
        comparison, files = asked
        data["data"] = _measured(comparison, files)
    say(data, _sentences(apart), options.json, console)
    if asked is not None and not options.json:
        _show(*asked, console)
    return 0


def _ask(options: Diff, pair: list[Version], apart: Difference) -> tuple[Comparison, list[str]]:
    """Both versions on the same files, each as it reads them."""
    assert options.data is not None
    predictors, sets = [], []
    listed = list_labelled(options.data, part="test")
    for core, manifest in pair:
        levels = Blueprint.from_data(manifest.blueprint).levels
        predictors.append(Predictor(core, levels=levels))
        same = sets and _alike(predictors[0], predictors[1])
        sets.append(sets[0] if same else predictors[-1].labelled(listed))
    first: LabelledImages = sets[0]
    x = (first.x, sets[1].x)
    comparison = compare(predictors[0], predictors[1], x, first.labels, apart.renamed)
    return comparison, [str(file) for file in first.files]


def _alike(one: Predictor, other: Predictor) -> bool:
    """Whether two versions read alike: features of one backbone, or pixels of one size."""
    a, b = one.core.learner, other.core.learner
    if embeds(one.core) != embeds(other.core) or one.levels != other.levels:
        return False
    if embeds(one.core):
        return a.backbone.sha256 == b.backbone.sha256 != ""
    return a.shape == b.shape and a.square == b.square


def _measured(comparison: Comparison, files: list[str]) -> dict[str, Any]:
    rows = comparison.by_class().items()
    return {
        "images": len(files),
        "classes": {n: {"before": a, "after": b, "images": total} for n, (a, b, total) in rows},
        "agreement": comparison.agreement,
        "lost": comparison.lost,
        "won": comparison.won,
        "mcnemar_p": comparison.p_value,
        "differing": [
            {
                "image": files[i],
                "class": comparison.truth[i],
                "before": comparison.before[i],
                "after": comparison.after[i],
            }
            for i in comparison.differing()
        ],
    }


def _sentences(apart: Difference) -> list[str]:
    """What changed, a line each."""
    lines = [f"{what}: {', '.join(names)}" for what, names in (
        ("classes added", apart.added), ("classes removed", apart.removed),
        ("classes renamed", [f"{old} to {new}" for old, new in apart.renamed.items()]),
        ("classes joined", [f"{old} with {new}" for old, new in apart.joined.items()]),
    ) if names]  # fmt: skip
    changed = {n: c for n, c in apart.images.items() if c[0] is not None and c[1] is not None}
    counts = [f"{n} {a:,} to {b:,}" for n, (a, b) in changed.items() if a != b]
    lines += [f"images learned: {', '.join(counts)}"] if counts else []
    for name, (before, after) in {**apart.stored, **apart.settings}.items():
        lines.append(f"{name}: {before} to {after}")
    return lines or ["the two say the same of themselves"]


def _show(comparison: Comparison, files: list[str], console: Console) -> None:
    """Accuracy by class, and the images on which they differ."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class")
    for name in ("images", "before", "after", "change"):
        table.add_column(name, justify="right")
    rows = comparison.by_class()
    everything = [sum(column) for column in zip(*rows.values())]
    for name, (a, b, total) in [*rows.items(), ("all", everything)]:
        shares = (
            f"{100 * a / total:.1f}",
            f"{100 * b / total:.1f}",
            f"{100 * (b - a) / total:+.1f}",
        )
        table.add_row(Text(name), str(total), *shares)
    console.print(table)
    text = [
        f"agreement {100 * comparison.agreement:.1f} %; {comparison.won} images won and "
        f"{comparison.lost} lost: McNemar's exact p = {comparison.p_value:.3g}"
    ]
    differing = comparison.differing()
    text += [
        f"  {files[i]}: {comparison.before[i]} became {comparison.after[i]} ({comparison.truth[i]})"
        for i in differing[:SHOWN]
    ]
    if len(differing) > SHOWN:
        text.append(f"  and {len(differing) - SHOWN} more (--json lists all)")
    say({}, text, False, console)
