"""The picture of a study: every effect with its interval, as an SVG that stands alone."""

from __future__ import annotations

import math

from holdfast.compare.axes import ticks
from holdfast.report.markup import safe
from holdfast.report.svg import write
from holdfast.study.analysis import Analysis, Measured

LEFT, WIDE, STEP, TOP = 230, 430, 24, 30
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#444}.name{fill:#111}.end{text-anchor:end}"
    ".middle{text-anchor:middle}.grid{stroke:#ddd}.zero{stroke:#222}.unseen{fill:#e4e8ea}"
    ".whisker{stroke:#222;stroke-width:2}.dot{fill:#1f6f8b;stroke:#fff}.open{fill:#fff;stroke:#1f6f8b;"
    "stroke-width:2}.paper{fill:#fff}</style>"
)


def effects_chart(analysis: Analysis) -> str:
    """Effects on final accuracy; filled where told from 0, and a grey bar for what would not be seen."""
    known = [one for one in analysis.effects if one.contrast is not None]
    ends = [abs(v) for one in known for v in _reach(one)] or [1.0]
    far = 1.05 * (max(ends) or 1.0)
    x = lambda value: LEFT + WIDE * (value + far) / (2 * far)
    tall = TOP + STEP * len(known) + 46
    parts = [
        '<rect width="100%" height="100%" class="paper"/>',
        write(8, 18, analysis.study.question, "name"),
    ]
    for value in ticks(-far, far, 8):
        kind = "zero" if value == 0 else "grid"
        parts.append(
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{tall - 40}" class="{kind}"/>'
        )
        parts.append(write(x(value), tall - 25, f"{value:g}".replace("-", "−"), "middle"))
    words = "points of final Class-IL accuracy; grey: smaller ones would not be seen"
    parts.append(write(LEFT + WIDE / 2, tall - 8, words, "middle"))
    for k, one in enumerate(known):
        parts += _line(one, TOP + 14 + k * STEP, x)
    label = safe(f"{analysis.study.question} {len(known)} effects with 95 % intervals")
    size = f'viewBox="0 0 {LEFT + WIDE + 20} {tall}" width="{LEFT + WIDE + 20}" height="{tall}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
    return f"{head}{STYLE}{''.join(parts)}</svg>\n"


def _reach(one: Measured) -> list[float]:
    """Values that the axis must hold."""
    assert one.contrast is not None
    estimate = one.contrast.estimate
    half = estimate.half_width()
    seen = [estimate.mean - half, estimate.mean + half] if math.isfinite(half) else [estimate.mean]
    return [*seen, estimate.detectable] if math.isfinite(estimate.detectable) else seen


def _line(one: Measured, y: float, x) -> list[str]:  # type: ignore[no-untyped-def]
    """An effect's bar, interval, mark and name."""
    assert one.contrast is not None
    estimate, parts = one.contrast.estimate, []
    if math.isfinite(seen := estimate.detectable):
        parts.append(
            f'<rect x="{x(-seen):.1f}" width="{x(seen) - x(-seen):.1f}" y="{y - 8:.1f}" height="16" '
            'class="unseen"/>'
        )
    if math.isfinite(half := estimate.half_width()):
        left, right = x(estimate.mean - half), x(estimate.mean + half)
        parts.append(f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" class="whisker"/>')
    kind = "dot" if one.effect.asked and one.verdict.startswith(("higher", "lower")) else "open"
    parts.append(f'<circle cx="{x(estimate.mean):.1f}" cy="{y}" r="4.5" class="{kind}"/>')
    return [*parts, write(LEFT - 10, y + 4, one.effect.name, "name end")]
