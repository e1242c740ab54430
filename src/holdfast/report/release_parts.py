"""Sections of a release page: calibration and the unknown, what is taken for what, pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal

from holdfast.report.markup import interval, more, percent, ratio, safe, table
from holdfast.report.release_data import Calibration, Confusion, Count, Picture, Unknown
from holdfast.report.svg import (
    SHOWN,
    calibration_figure,
    confusion_figure,
    reliability,
    unknown_figure,
)


def belief(calibration: Calibration | None, unknown: Unknown | None) -> list[str]:
    """Whether probabilities hold, and whether known images are called unknown."""
    parts = ['<section><h2>How far to believe it</h2><div class="plots">']
    if calibration and calibration.right:
        floor = calibration.floor
        at_best = (
            "" if floor is None
            else f" A model whose probabilities hold would show {percent(floor)} on as many images."
        )  # fmt: skip
        lines = [
            [percent(sure), f"{total:,}", percent(right / total), interval((right, total))]
            for sure, right, total in reliability(calibration)
        ]
        heads = ("sure, %", "images", "right, %", "95 %")
        parts.append(
            f"<figure>{calibration_figure(calibration)}<figcaption>Of the images it was so sure of, so "
            "many were right; lines are 95 % intervals. Expected calibration error: "
            f"{percent(calibration.ece)} points, {len(calibration.right):,} images.{at_best}</figcaption>"
            f"{more('As a table', table('Confidence and share of right ones', heads, lines))}</figure>"
        )
    if unknown and unknown.known:
        parts.append(f"<figure>{unknown_figure(unknown)}{_strange_caption(unknown)}</figure>")
    return [*parts, "</div></section>"]


def _strange_caption(unknown: Unknown) -> str:
    known = above(unknown.known, unknown.threshold)
    text = (
        f'<span class="key"></span> {known[1]:,} known images: {known[0]:,} ({percent(ratio(known))} %, '
        f"95 %: {interval(known)}) lie above the threshold {unknown.threshold:.4g} and would be called "
        f"unknown; {percent(unknown.false_alarms)} % were asked for."
    )
    if unknown.strange:
        caught = above(unknown.strange, unknown.threshold)
        text += (
            f' <span class="key s"></span> {caught[1]:,} images of no known class: {caught[0]:,} '
            f"({percent(ratio(caught))} %, 95 %: {interval(caught)}) are noticed."
        )
    return f"<figcaption>{text}</figcaption>"


def confusions(confusion: Confusion) -> list[str]:
    """What is taken for what most often, and the matrix."""
    counts, names = confusion.counts, confusion.names
    errors = sorted(
        ((counts[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j),
        key=lambda entry: (-entry[0], entry[1], entry[2]),
    )
    rows = [
        [safe(names[i]), safe(names[j]), f"{n:,} of {sum(counts[i]):,}", interval((n, sum(counts[i])))]
        for n, i, j in errors[:15]
        if n
    ]  # fmt: skip
    parts = ["<section><h2>What is taken for what</h2>"]
    if not rows:
        return [*parts, "<p>No image was taken for another class.</p></section>"]
    heads = ("class", "taken for", "images", "95 %, %")
    parts.append(table("The most frequent errors", heads, rows, 2))
    some = f"the {SHOWN} classes with most errors" if len(names) > SHOWN else "all classes"
    drawn = f'<div class="wide" tabindex="0">{confusion_figure(confusion)}</div>'
    words = "rows are true classes, columns in the same order what they were taken for"
    parts.append(
        more(
            f"Confusion matrix of {some}",
            f"<figure>{drawn}<figcaption>{words}</figcaption></figure>",
        )
    )
    return [*parts, "</section>"]


def gallery(
    title: str, text: str, pictures: Sequence[Picture], kind: Literal["sure", "score"]
) -> list[str]:
    """Pictures with what the model says of them; nothing for none."""
    if not pictures:
        return []
    lines = [f'<section><h2>{title}</h2><p>{text}</p><ul class="pictures">']
    for picture in pictures:
        encoded = base64.b64encode(picture.jpeg).decode()
        value = (
            f"{percent(picture.value)} % sure" if kind == "sure" else f"score {picture.value:.4g}"
        )
        label = f"; folder: {picture.label}" if picture.label else ""
        of = f"of {picture.label}, " if picture.label else ""
        alt = safe(f"image {of}taken for {picture.predicted}, {value}")
        lines.append(
            f'<li><img src="data:image/jpeg;base64,{encoded}" alt="{alt}" loading="lazy">'
            f"<b>{safe(picture.predicted)}</b><span>{value}{safe(label)}</span>"
            f"<span>{safe(picture.file)}</span></li>"
        )
    return [*lines, "</ul></section>"]


def above(scores: Sequence[float], threshold: float) -> Count:
    """How many scores are above a threshold; one that is no number is."""
    return sum(not score <= threshold for score in scores), len(scores)
