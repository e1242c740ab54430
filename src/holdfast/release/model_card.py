"""The card of a stored model: what its manifest says, with the certainty that its golden images allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.report.card import Card, CardFigure
from holdfast.report.wilson import wilson
from holdfast.store.manifest import Manifest


def card_of_model(manifest: Manifest, name: str, license: str | None = None) -> Card:
    """The card of one version of a model.

    Args:
        manifest: of the version.
        name: of the model.
        license: as the hub names it; none is claimed.
    """
    blueprint, update = manifest.blueprint, manifest.update
    golden: Mapping[str, Any] = update.get("golden") or {}
    classes = [str(entry["name"]) for entry in manifest.classes]
    shape = "x".join(map(str, manifest.input["shape"]))
    stored, parameters = manifest.stored, blueprint["parameters"].items()
    return Card(
        name,
        f"Version {manifest.version} of a classifier of {len(classes)} classes that learned them in "
        f"{len({entry['version'] for entry in manifest.classes})} updates by {blueprint['recipe']}, "
        "each from the data of its update.",
        {
            "What it was trained on": {
                "inputs": shape,
                **{f"classes of version {v}": names for v, names in _by_version(manifest).items()},
            },
            "Protocol and what is stored": {
                "stored of the data": f"{stored['images']} images, {stored['floats']:,} numbers "
                f"({stored['bytes'] / 1024:,.0f} KiB)",
                "past network": f"{stored['past_network_floats']:,} numbers",
            },
            "Settings": {
                "recipe": " ".join([blueprint["recipe"], *(f"{n}={v}" for n, v in parameters)]),
                "made": f"{manifest.created}, with "
                + ", ".join(f"{n} {v}" for n, v in manifest.libraries.items()),
            },
        },
        list(_figures(golden)),
        f"{golden.get('from', 'golden images')} of version {manifest.version}" if golden else "nothing",
        name,
        {
            "python": f'import holdfast\n\nmodel = holdfast.load("{name}")\nmodel.predict(["photo.png"])',
            "sh": f"holdfast predict {name} photo.png\nholdfast export {name} --to onnx",
        },
        list(_limits(golden, classes)),
        tags=[str(blueprint["recipe"])],
        license=license,
        pixels=len(manifest.input["shape"]) == 3,
    )  # fmt: skip


def _by_version(manifest: Manifest) -> dict[int, str]:
    output: dict[int, list[str]] = {}
    for entry in manifest.classes:
        output.setdefault(entry["version"], []).append(str(entry["name"]))
    return {
        version: ", ".join(names[:30]) + f" and {len(names) - 30} more" * (len(names) > 30)
        for version, names in output.items()
    }


def _figures(golden: Mapping[str, Any]) -> list[CardFigure]:
    counts = list(golden.get("after", {}).values())
    total = sum(n for _, n in counts)
    if not total:
        return []
    right = sum(r for r, _ in counts)
    low, high = wilson(right, total)
    certainty = f"{100 * low:.1f} to {100 * high:.1f} by its {total:,} images (95 %, Wilson)"
    share = right / total
    output = [CardFigure("accuracy, Class-IL", f"{100 * share:.1f} %", certainty, share)]
    if golden.get("calibration_error") is not None:
        floor = golden.get("calibration_floor")
        words = (
            f"a calibrated model of so few would show {100 * floor:.1f}"
            if floor is not None
            else ""
        )
        error = f"{100 * golden['calibration_error']:.1f} points"
        output.append(CardFigure("expected calibration error", error, words))
    return output


def _limits(golden: Mapping[str, Any], classes: list[str]) -> list[str]:
    lines = [
        "It knows the classes above and no others; strange inputs are called unknown where asked."
    ]
    measured = golden.get("after", {})
    if missing := [name for name in classes if name not in measured]:
        few = ", ".join(missing[:10]) + f" and {len(missing) - 10} more" * (len(missing) > 10)
        lines.append(f"Not measured with this version: {few}.")
    lines.append("Figures are of this version, and of images like those it was measured on.")
    return lines
