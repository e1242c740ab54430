"""How far the reported readout may be believed, in a line or three."""

from __future__ import annotations

from holdfast.train.result import Result


def belief_lines(result: Result) -> list[str]:
    """Calibration in percent, and what drift maps left: residuals, and forecasts where there were any."""
    reading, lines = result.readings[result.readout], []
    if reading.calibration_error is not None:
        lines.append(f"expected calibration error {100 * reading.calibration_error:.1f}")
    for name in ("residual", "forecast"):
        values = getattr(reading, f"drift_{name}s")
        if values and (name == "residual" or any(v is not None for v in values)):
            texts = ("-" if v is None else f"{v:.2f}" for v in values)
            lines.append(f"drift {name} {', '.join(texts)}")
    return lines
