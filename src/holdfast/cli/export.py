"""``holdfast export``: a stored model as ONNX or as a program of torch.export, checked against itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from holdfast.cli.class_options import Export
from holdfast.cli.operate import say
from holdfast.cli.output_file import refuse_taken, write_file
from holdfast.cli.reading import read
from holdfast.core.errors import ConfigError
from holdfast.release.export_card import card_of_export
from holdfast.report.card import card_text
from holdfast.serve.export import to_torch
from holdfast.serve.predictor import Predictor
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}


def export_command(arguments: list[str], console: Console) -> int:
    """Write the file and its card, and say how far its outputs are from the model's own."""
    options = read(Export, arguments, "holdfast export")
    if options.to == "torch" and (options.int8 or options.data):
        raise ConfigError("--int8 and --data are for ONNX: use --to onnx.")
    core, manifest = ModelFolder(options.model).load(options.version or None, "cpu")
    ending = "-int8.onnx" if options.int8 else ENDINGS[options.to]
    name = f"{options.model.resolve().name}-{manifest.version:04d}{ending}"
    out = options.out or options.model.parent / name
    card = out.with_name(f"{out.name}.md")
    refuse_taken(out, options.overwrite)
    refuse_taken(card, options.overwrite)
    shape = tuple(manifest.input["shape"])
    data: dict[str, Any] = {
        "file": str(out), "format": options.to, "version": manifest.version,
        "input": list(shape), "classes": len(core.labels),
    }  # fmt: skip
    if options.to == "torch":
        data["difference"] = to_torch(core, out)
        what = f"float inputs {shape} (pixels in [0, 1]) to scores"
        text = f"{what} of {len(core.labels)} classes{_gap(data['difference'])}"
    else:
        data |= _onnx(core, manifest, out, options)
        text = _described(manifest, data["difference"], data["int8_layers"])
    data |= {"bytes": out.stat().st_size, "card": str(card)}
    words = card_text(card_of_export(manifest, out, data, options.license))
    write_file(card, lambda to: to.write_text(words, "utf-8"))
    line = f"{out}: {data['bytes'] / 1024:,.0f} KiB, {text}"
    say(data, [line, f"{card}: its card; on the hub, README.md"], options.json, console)
    if not options.json and options.to == "onnx":
        _show(data, options, console)
    return 0


def _onnx(core: Continual, manifest: Manifest, out: Path, options: Export) -> dict[str, Any]:
    """Write it, and measure it where there is something to measure on."""
    from holdfast.serve.onnx_file import to_onnx

    levels = Blueprint.from_data(manifest.blueprint).levels
    notes: dict[str, Any] = {
        "model": options.model.resolve().name, "version": manifest.version,
        "levels": None if levels is None else list(levels),
    }  # fmt: skip
    data = _labelled(core, levels, options)
    with tempfile.TemporaryDirectory(dir=out.parent) as place:
        whole = Path(place) / "float32.onnx" if options.int8 else out
        apart = to_onnx(core, whole, options.false_alarms, **notes)
        files, nodes = {"float32": whole}, 0
        if options.int8:
            from holdfast.serve.quantise import to_int8

            calibration = None if data is None else data[0]
            nodes = to_int8(core, out, calibration, options.false_alarms, **notes)
            files["int8"] = out
        measured = {} if data is None else _measured(files, *data[1:])
    return {"difference": apart, "int8_layers": nodes} | measured


def _labelled(
    core: Continual, levels: Any, options: Export
) -> tuple[torch.Tensor, torch.Tensor, list[str]] | None:
    """Images to calibrate on, and others with their labels to measure on: every fifth is of the first."""
    if options.data is None:
        return None
    data = Predictor(core, levels=levels).read_folder(options.data)
    if len(data.labels) < 10:
        raise ConfigError(
            f"{options.data} holds {len(data.labels)} images: ten are the least to measure on."
        )
    first = torch.arange(len(data.labels)) % 5 == 0
    return data.x[first], data.x[~first], [n for n, of in zip(data.labels, first) if not of]


def _described(manifest: Manifest, apart: float, nodes: int) -> str:
    shape = tuple(manifest.input["shape"])
    kind = "uint8 pixels" if len(shape) == 3 else "float32 vectors"
    eight = f", {nodes} layers in 8 bits" if nodes else ""
    gap = "" if nodes else _gap(apart)
    return f"{kind} {shape} to {len(manifest.classes)} classes{eight}{gap}"


def _gap(apart: float) -> str:
    return f"; its scores differ from the model's own by at most {apart:.1e}"


def _measured(files: dict[str, Path], x: torch.Tensor, labels: list[str]) -> dict[str, Any]:
    """Accuracy with its interval, size and time of each file, and how often two agree."""
    from holdfast.serve.measure import agreement, measure

    results = {name: measure(file, x, labels) for name, file in files.items()}
    rows = {}
    for name, result in results.items():
        share, low, high = result.accuracy
        rows[name] = {
            "right": result.right, "images": result.total, "accuracy": share, "low": low,
            "high": high, "bytes": result.bytes, "seconds_an_image": result.seconds,
        }  # fmt: skip
    same = {"agreement": agreement(*results.values())} if len(results) == 2 else {}
    return {"measured": rows} | same


def _show(data: dict[str, Any], options: Export, console: Console) -> None:
    """What was measured, as a table."""
    if "measured" not in data:
        if options.int8:
            text = "not measured: --data FOLDER compares it with the float32 file"
            console.print(text, style="dim", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "right of", "percent", "95 % interval", "KiB", "ms an image"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in data["measured"].items():
        table.add_row(
            name, f"{row['right']}/{row['images']}", f"{100 * row['accuracy']:.1f}",
            f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
            f"{row['bytes'] / 1024:,.0f}", f"{1000 * row['seconds_an_image']:.2f}",
        )  # fmt: skip
    console.print(table)
    if "agreement" in data:
        same = 100 * data["agreement"]
        console.print(f"both say the same of {same:.1f} % of the images; one CPU thread")
