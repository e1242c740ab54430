"""Run an exported model with onnxruntime, numpy and Pillow alone: neither torch nor holdfast is needed.

    holdfast export zoo --to onnx
    python examples/edge.py zoo-0002.onnx cat.jpg dog.jpg

Beside the file stands its sidecar, zoo-0002.onnx.json: the classes, how an image becomes pixels, and from
which score on an input is unknown.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

BICUBIC = Image.Resampling.BICUBIC


def load(model: str | Path) -> tuple[onnxruntime.InferenceSession, dict]:
    """A session, and what the sidecar says."""
    notes = json.loads(Path(f"{model}.json").read_text())
    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]), notes


def prepare(file: str | Path, notes: dict) -> np.ndarray:
    """(3, S, S) uint8 pixels of an image file, as the model was taught to see them."""
    wanted, side = notes["input"], notes["input"]["shape"][1]
    short = wanted["resize"] or side if wanted["fit"] == "crop" else side
    with Image.open(file) as image:
        least = inside(image.size, side) if wanted["fit"] == "pad" else (short, short)
        image.draft(image.mode, least)  # a huge JPEG is decoded small
        ImageOps.exif_transpose(image, in_place=True)
        rgb = coloured(image, notes["levels"])
        return np.asarray(fitted(rgb, side, wanted["fit"], short)).transpose(2, 0, 1)


def coloured(image: Image.Image, levels: list[int] | None) -> Image.Image:
    """RGB: on white where it is transparent; greys of more than 8 bits by the model's own range."""
    if image.mode.startswith("I"):
        if levels is None:
            raise SystemExit("this model was taught no image of more than 8 bits: save it with 8")
        low, white = levels[0], 2 ** levels[1] - 1
        greys = np.asarray(image).astype(np.int64).clip(low, low + white) - low
        image = Image.fromarray((greys * 255 // white).astype(np.uint8))
    elif image.mode[-1] in "aA" or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image.convert("RGB")


def fitted(image: Image.Image, side: int, fit: str, short: int) -> Image.Image:
    """A square: squashed; the centre, of an image whose shorter side becomes ``short``; or padded."""
    if fit == "pad":
        square, size = Image.new("RGB", (side, side), (127, 127, 127)), inside(image.size, side)
        small = image if image.size == size else image.resize(size, BICUBIC, reducing_gap=3.0)
        square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
        return square
    box = (0.0, 0.0, float(image.width), float(image.height))
    if fit == "crop":
        edge = min(image.size) * side / short
        left, top = (image.width - edge) / 2, (image.height - edge) / 2
        box = (left, top, left + edge, top + edge)
    if image.size == (side, side) and box[2] - box[0] == side:
        return image
    return image.resize((side, side), BICUBIC, box, reducing_gap=3.0)


def inside(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size at which an image just fits into a square."""
    longer = max(size)
    short = max(1, round(min(size) * side / longer))
    return (side, short) if size[0] == longer else (short, side)


def answers(
    session: onnxruntime.InferenceSession, notes: dict, pixels: np.ndarray, sets: str = ""
) -> list[dict]:
    """For each of (N, 3, S, S) inputs: the classes by probability, and whether it is unlike all of them.

    With ``sets``, such as 0.9, also the classes that hold the true one in such a share of inputs.
    """
    outputs = dict(zip(notes["outputs"], session.run(None, {notes["input"]["name"]: pixels})))
    rows = []
    for i, p in enumerate(outputs["probabilities"]):
        top = [(notes["classes"][k], float(p[k])) for k in np.argsort(-p, kind="stable")]
        rule = notes["unknown"]
        unknown = None if rule is None else bool(outputs[rule["output"]][i] > rule["threshold"])
        row = {"top": top, "unknown": unknown}
        if sets:
            limit = notes["sets"]["limits"][sets]
            row["set"] = [name for i, (name, q) in enumerate(top) if i == 0 or 1 - q <= limit]
        rows.append(row)
    return rows


def main(arguments: list[str]) -> None:
    reader = argparse.ArgumentParser(description="Run an exported model with onnxruntime alone.")
    reader.add_argument("model", help="an .onnx file with its .json beside it")
    reader.add_argument("images", nargs="+")
    reader.add_argument("--top", type=int, default=3, help="classes that are shown")
    reader.add_argument("--json", action="store_true", help="a JSON object a line")
    reader.add_argument("--sets", choices=["0.8", "0.9", "0.95"], default="", help="also a set")
    asked = reader.parse_args(arguments)
    session, notes = load(asked.model)
    if asked.sets and not notes.get("sets"):
        raise SystemExit("this model had no image held out, so that sets cannot be given")
    for file in asked.images:  # one by one: a device has little memory
        (row,) = answers(session, notes, prepare(file, notes)[None], asked.sets)
        if asked.json:
            print(json.dumps({"image": file, **row}))
            continue
        best = ", ".join(f"{name!a} {100 * p:.1f} %" for name, p in row["top"][: asked.top])
        print(f"{file!a}: {best}{'  (unlike every known class)' if row['unknown'] else ''}")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1:])
    else:
        print(__doc__)
