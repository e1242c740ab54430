"""Settle: a version that was learned is published with its page, or kept for somebody to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.release.page import write_page
from holdfast.release.teaching import Teaching
from holdfast.store.manifest import Manifest


@dataclass(frozen=True)
class Settled:
    """How an update ended.

    Attributes:
        manifest: of the version; None if it was not published.
        reasons: what the gate says against it.
        notes: on how it came about.
        page: that shows it; None if there is none.
    """

    manifest: Manifest | None
    reasons: list[str]
    notes: Mapping[str, Any]
    page: Path | None = None


def settled(teaching: Teaching) -> Settled:
    """Publish what was learned if the gate lets it through, or ``yes`` was asked; else keep it.

    Args:
        teaching: the update, learned.

    Raises:
        StoreError: if it cannot be written.
    """
    reasons, notes = teaching.verdict().reasons, teaching.notes()
    if reasons and not teaching.asked.yes:
        teaching.update.keep(must=True)
        return Settled(None, reasons, notes)
    manifest = teaching.update.publish(notes)
    return Settled(manifest, reasons, notes, write_page(teaching, manifest))
