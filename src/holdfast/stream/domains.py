"""Domains: the ways in which one source is seen, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.grammar import coerce, pieces
from holdfast.stream.changes import in_order, pixel_order, rotated
from holdfast.stream.corruptions import CORRUPTIONS, SEVERITIES, corrupted

WAYS = ("rotated", "permuted", "corrupted")
LONGEST = 360.0  # degrees


@dataclass(frozen=True)
class Domains:
    """The ways in which a source is seen.

        >>> Domains.of("corrupted:clean,haze,jpeg@5:severity=2").values
        ('clean', 'haze@2', 'jpeg@5')

    Attributes:
        way: ``rotated``, ``permuted`` or ``corrupted``.
        values: of each domain: degrees counter-clockwise; the number of an order of pixels, of which 0 is
            their own; or ``clean``, or a corruption and its severity.
        mix: whether every task has rows of all domains, in place of a task a domain.
    """

    way: str
    values: tuple[str, ...]
    mix: bool = False

    @classmethod
    def of(cls, text: str) -> Domains:
        """From a text: ``rotated:0,30,60``, ``permuted:3``, ``corrupted:clean,haze@5:severity=2:mix=yes``.

        Args:
            text: the way; its domains with commas between, for ``permuted`` how many; and settings:
                ``mix``, and for ``corrupted`` the ``severity`` where none stands behind an ``@``.

        Raises:
            ConfigError: for anything else, in a sentence.
        """
        way, *rest = [piece.strip() for _, piece in pieces(text, ":")]
        if way not in WAYS:
            raise unknown("way of making domains", way, WAYS)
        listed = (
            [part.strip() for part in rest[0].split(",")] if rest and "=" not in rest[0] else []
        )
        settings = _settings(text, way, rest[bool(listed) :])
        values = _values(way, [part for part in listed if part], settings["severity"])
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise ConfigError(f"the domains of '{text}' hold {repeated[0]} twice: name each once.")
        if len(values) < 2:
            raise ConfigError(
                f"'{text}' makes fewer than two domains: write two or more, as in {_example(way)}."
            )
        return cls(way, values, settings["mix"] == "yes")

    @property
    def text(self) -> str:
        """In a form that `of` takes."""
        values = str(len(self.values)) if self.way == "permuted" else ",".join(self.values)
        return f"{self.way}:{values}" + (":mix=yes" if self.mix else "")

    def seen(
        self, x: Tensor, domain: int, rows: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        """Inputs as they are in a domain.

        Args:
            x: (N, C, H, W) uint8 images; or (N, D) features, which can be permuted alone.
            domain: its number.
            rows: numbers of the rows in their source; None counts from 0.
            seed: of the orders of pixels.

        Raises:
            ConfigError: for features that cannot be changed so, or colours that images lack.
        """
        value = self.values[domain]
        if self.way == "permuted":
            return in_order(x, pixel_order(x, int(value), seed))
        if x.ndim != 4:
            raise ConfigError(f"feature vectors cannot be {self.way}: only images can.")
        if self.way == "rotated":
            return rotated(x, float(value))
        name, _, severity = value.partition("@")
        return x.clone() if name == "clean" else corrupted(x, name, int(severity), rows)


def _values(way: str, listed: Sequence[str], severity: str) -> tuple[str, ...]:
    """The domains of a way, checked."""
    if way == "permuted":
        count = coerce(listed[0], int, "the number of permuted domains") if len(listed) == 1 else 0
        if count < 1:
            raise ConfigError("permuted takes how many domains there are, as in permuted:3.")
        return tuple(map(str, range(count)))
    if way == "rotated":
        degrees = [coerce(value, float, "an angle of rotated domains") for value in listed]
        wide = [angle for angle in degrees if not abs(angle) <= LONGEST]
        if wide:
            raise ConfigError(
                f"an angle of rotated domains lies between -360 and 360, not {wide[0]:g}."
            )
        return tuple(f"{angle:g}" for angle in degrees)
    return tuple(_corruption(value, severity) for value in listed)


def _corruption(value: str, severity: str) -> str:
    """A corruption with its severity, checked."""
    name, at, level = value.partition("@")
    if name == "clean" and not at:
        return name
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, ("clean", *CORRUPTIONS))
    level = level if at else severity
    if level not in map(str, SEVERITIES):
        raise ConfigError(
            f"the severity of {name} must be a whole number from 1 to 5, not '{level}'."
        )
    return f"{name}@{level}"


def _settings(text: str, way: str, rest: Sequence[str]) -> dict[str, str]:
    """What follows the domains."""
    settings = {"mix": "no", "severity": "3"}
    for piece in rest:
        key, equals, value = piece.partition("=")
        allowed = ("mix", "severity") if way == "corrupted" else ("mix",)
        if not equals or key not in allowed:
            raise ConfigError(
                f"'{piece}' of '{text}' is no setting of {way} domains: {_example(way)}."
            )
        settings[key] = value.strip()
    if settings["mix"] not in ("yes", "no"):
        raise ConfigError(f"mix of '{text}' must be yes or no, not '{settings['mix']}'.")
    return settings


def _example(way: str) -> str:
    """How domains of a way are written."""
    return {
        "rotated": "rotated:0,30,60",
        "permuted": "permuted:3",
        "corrupted": "corrupted:clean,haze,jpeg@5:severity=2",
    }[way] + " or with :mix=yes"
