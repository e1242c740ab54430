"""What a request asks about: the images or feature vectors that its body carries, in any of three forms."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from holdfast.serve.limits import Limits, RequestError
from holdfast.stream.pixels import opened

RAW = ("application/octet-stream", "binary/octet-stream")
FORMS = (
    "send an image with 'Content-Type: image/jpeg' (or another image type), files as "
    "multipart/form-data, or JSON as application/json"
)


@dataclass(frozen=True)
class Asked:
    """The inputs of a request: images, or feature vectors.

    Attributes:
        images: encoded, as they came.
        names: of the images, where they have any.
        features: (N, D) vectors; None for images.
    """

    images: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    features: Float64[Tensor, "n d"] | None = None

    @classmethod
    def read(cls, kind: str, body: bytes, limits: Limits) -> Asked:
        """From a body and its content type.

        Raises:
            RequestError: 415 for another content type, 422 for a body that is not what its type says,
                413 for more inputs than the limit.
        """
        media = kind.partition(";")[0].strip().lower()
        if media.startswith("image/") or media in RAW:
            asked = cls([body], [None])
        elif media == "multipart/form-data":
            asked = cls(*_parts(kind, body, limits.images))
        elif media == "application/json":
            asked = _json(body, limits.images)
        else:
            shown = ascii(media)[1:81].rstrip("'") or "none"
            raise RequestError(415, f"the content type {shown} is not read: {FORMS}.")
        if not len(asked) or not all(asked.images):
            raise RequestError(422, f"the request holds no image or an empty one: {FORMS}.")
        _few(len(asked), limits.images)
        return asked

    def __len__(self) -> int:
        return len(self.images) if self.features is None else len(self.features)


def too_large(image: bytes, limits: Limits) -> RequestError | None:
    """The refusal of an image with more pixels than the limit, by its header alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(image) as header:
                width, height = header.size
    except Exception as error:  # what a broken file raises depends on its format
        if type(error).__name__ != "DecompressionBombError":
            return None  # it is told when it is decoded
        return RequestError(413, f"an image has far more than {limits.pixels:,} pixels: shrink it.")
    if width * height <= limits.pixels:
        return None
    return RequestError(
        413,
        f"an image has {width} x {height} pixels, and this server takes {limits.pixels:,} at most: "
        "shrink it.",
    )


def _few(count: int, limit: int) -> None:
    if count > limit:
        raise RequestError(
            413, f"the request holds more than {limit} inputs: send at most {limit} at a time."
        )


def _parts(kind: str, body: bytes, limit: int) -> tuple[list[bytes], list[str | None]]:
    """The files of multipart/form-data (RFC 7578), and their names."""
    boundary = re.search(r'boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))', kind)
    if not boundary:
        raise RequestError(422, "the multipart body has no boundary in its content type.")
    mark = b"--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    if body.count(mark) > limit + 65:  # before memory is taken for each
        _few(limit + 1, limit)
    images, names, ended = [], [], False
    for piece in (b"\r\n" + body).split(b"\r\n" + mark)[1:]:
        ended = piece.startswith(b"--")
        head, there, content = piece.partition(b"\r\n\r\n")
        name = re.search(rb'filename="([^"\r\n]*)"', head)
        if not ended and there and name:
            images.append(content)
            names.append(name[1].decode("utf-8", "replace"))
    if not ended:
        raise RequestError(422, "the multipart body is cut short or has another boundary.")
    return images, names


def _json(body: bytes, limit: int) -> Asked:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(422, "the body is no JSON.") from None
    match data:
        case {"image": str(text)}:
            return Asked([_decoded(text)], [None])
        case {"images": list(texts)} if all(isinstance(text, str) for text in texts):
            _few(len(texts), limit)
            return Asked([_decoded(text) for text in texts], [None] * len(texts))
        case {"features": list(rows)} if rows:
            rows = rows if isinstance(rows[0], list) else [rows]
            _few(len(rows), limit)
            return Asked(features=_vectors(rows))
    raise RequestError(
        422,
        'the JSON must be {"image": base64}, {"images": [base64, ...]} or {"features": [[numbers], ...]}.',
    )


def _decoded(text: str) -> bytes:
    """Base64, perhaps as a data URI."""
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(422, "an image of the JSON is no base64.") from None


def _vectors(rows: list[Any]) -> Float64[Tensor, "n d"]:
    """Rows of finite numbers, all of one length."""
    plain = all(
        isinstance(row, list)
        and len(row) == len(rows[0])
        and all(type(v) in (int, float) for v in row)
        for row in rows
    )
    try:
        finite = plain and all(math.isfinite(v) for row in rows for v in row)
    except OverflowError:  # a whole number beyond the floats
        finite = False
    if not plain or not finite or not rows[0]:
        raise RequestError(422, "features must be rows of finite numbers, all of one length.")
    return torch.tensor(rows, dtype=torch.float64)
