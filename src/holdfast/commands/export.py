"""``holdfast export``: a stored model as ONNX or as a program of torch.export, checked against itself."""

from __future__ import annotations

from rich.console import Console

from holdfast.commands.options import Export, parse
from holdfast.errors import ConfigError
from holdfast.store.export import to_onnx, to_torch
from holdfast.store.model import ModelFolder

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}


def export(arguments: list[str], console: Console) -> int:
    """Write the file, and say how far its outputs are from the model's own."""
    options = parse(Export, arguments)
    core, manifest = ModelFolder(options.model).load(options.version or None, "cpu")
    name = f"{options.model.resolve().name}-{manifest.version:04d}{ENDINGS[options.to]}"
    out = options.out or options.model.parent / name
    if out.exists() and not options.overwrite:
        raise ConfigError(f"{out} exists already: choose another --out, or add --overwrite.")
    write = to_onnx if options.to == "onnx" else to_torch
    apart = write(core, out)
    console.print(
        f"{out}: {out.stat().st_size / 1024:,.0f} KiB, float pixels {tuple(manifest.input['shape'])} in "
        f"[0, 1] to scores of {len(manifest.classes)} classes; its scores differ from the model's own by "
        f"at most {apart:.1e}",
        markup=False,
        soft_wrap=True,
    )
    return 0
