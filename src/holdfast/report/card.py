"""A model card in the form of the Hugging Face hub: metadata in YAML, then what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.core.text import printable


@dataclass(frozen=True)
class CardFigure:
    """One figure of a card.

    Attributes:
        name: for people.
        value: in percent or another unit, as it is shown.
        certainty: how well it is known, in words.
        result: the plain number for the metadata; None for a figure that stands in the text alone.
        kind: of the metric in the metadata.
    """

    name: str
    value: str
    certainty: str = ""
    result: float | None = None
    kind: str = "accuracy"


@dataclass(frozen=True)
class Card:
    """What a model card says.

    Attributes:
        name: of the model.
        summary: one sentence.
        facts: by section, each with names and values.
        figures: what was measured, on ``measured_on``.
        measured_on: data, in words.
        stream: short name of the data.
        load: code by language, that loads it.
        limits: a sentence each.
        datasets: by their names on the hub.
        tags: further ones.
        license: unset where nobody said one.
        pixels: whether inputs are images.
    """

    name: str
    summary: str
    facts: Mapping[str, Mapping[str, str]]
    figures: Sequence[CardFigure]
    measured_on: str
    stream: str
    load: Mapping[str, str]
    limits: Sequence[str]
    datasets: Sequence[str] = ()
    tags: Sequence[str] = ()
    license: str | None = None
    pixels: bool = True
    base: Sequence[str] = field(default=("continual-learning", "class-incremental-learning"))


def card_text(card: Card) -> str:
    """The whole README.md."""
    lines = [
        "---",
        metadata(card).strip(),
        "---",
        "",
        f"# {plain(card.name)}",
        "",
        plain(card.summary),
    ]
    for title, facts in card.facts.items():
        lines += ["", f"## {plain(title)}", ""]
        lines += [f"- {plain(name)}: {plain(value)}" for name, value in facts.items()]
    lines += ["", "## Figures", "", f"Measured on {plain(card.measured_on)}.", ""]
    if card.figures:
        lines += ["| figure | value | how well it is known |", "|---|---:|---|"]
        lines += [
            f"| {plain(f.name)} | {plain(f.value)} | {plain(f.certainty)} |" for f in card.figures
        ]
    else:
        lines.append("Nothing was measured.")
    lines += ["", "## How to load it"]
    for language, code in card.load.items():
        lines += ["", f"```{language}", code.strip(), "```"]
    lines += ["", "## Limits", "", *(f"- {plain(words)}" for words in card.limits)]
    return "\n".join(lines) + "\n"


def metadata(card: Card) -> str:
    """The YAML of the header, as huggingface_hub writes and reads it."""
    from huggingface_hub import EvalResult, ModelCardData

    kind = "image-classification" if card.pixels else "tabular-classification"
    results = [
        EvalResult(
            task_type=kind, dataset_type=printable(card.stream), dataset_name=printable(card.stream),
            metric_type=figure.kind, metric_name=printable(figure.name),
            metric_value=round(figure.result, 4),
        )
        for figure in card.figures
        if figure.result is not None
    ]  # fmt: skip
    data = ModelCardData(
        library_name="holdfast", pipeline_tag=kind if card.pixels else None, license=card.license,
        tags=[*card.base, *map(printable, card.tags)], datasets=list(card.datasets) or None,
        metrics=list(dict.fromkeys(r.metric_type for r in results)) or None,
        model_name=printable(card.name), eval_results=results or None,
    )  # fmt: skip
    return data.to_yaml()


def plain(text: str) -> str:
    r"""A text in which nothing is Markdown or HTML.

    >>> plain("a|b <c> `d` [e](f)\n#")
    'a\\|b &lt;c> \\`d\\` \\[e](f)\\n#'
    """
    output = printable(text).replace("<", "&lt;")
    for mark in ("|", "`", "[", "*"):
        output = output.replace(mark, f"\\{mark}")
    return output
