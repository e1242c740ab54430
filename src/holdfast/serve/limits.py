"""What a server takes of one request, and of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

from holdfast.core.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """The bounds of a server. A request beyond one is answered with a sentence, and costs little.

    Attributes:
        body: bytes of one request.
        images: inputs in one request.
        pixels: of one image, counted before it is decoded.
        seconds: for one request, from its first byte to its answer.
        waiting: requests that are read or answered at the same time; more are told to come again.
        connections: open at the same time.

    Raises:
        ConfigError: for a bound that is not above 0.
    """

    body: int = 20 * 2**20
    images: int = 64
    pixels: int = 40_000_000
    seconds: float = 30.0
    waiting: int = 32
    connections: int = 256

    def __post_init__(self) -> None:
        for f in fields(self):
            if not getattr(self, f.name) > 0:
                raise ConfigError(
                    f"the limit {f.name} must be above 0, not {getattr(self, f.name)}."
                )


class RequestError(Exception):
    """A request that is not answered with a prediction.

    Args:
        status: of HTTP.
        sentence: what is wrong, and what would be right.
        retry: seconds after which it may be sent again; None if that would not help.
    """

    def __init__(self, status: int, sentence: str, retry: int | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.retry = status, sentence, retry
