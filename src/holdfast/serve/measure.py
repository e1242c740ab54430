"""An exported file measured: how often it is right, how large and how fast it is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.report.wilson import wilson
from holdfast.serve.onnx_file import session_of

RUNS = 20  # of one input, of which the median counts


@dataclass(frozen=True)
class Measured:
    """A file on labelled inputs.

    Attributes:
        right, total: inputs of known classes whose class it says, of how many.
        bytes: size of the file.
        seconds: for one input alone, on one thread: the median of several.
        labels: (N,) what it says of each input.
    """

    right: int
    total: int
    bytes: int
    seconds: float
    labels: np.ndarray

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """The share that is right, and its interval of 95 % (`wilson`)."""
        low, high = wilson(self.right, self.total)
        return self.right / max(self.total, 1), low, high


def measure(path: Path, x: Shaped[Tensor, "n ..."], labels: Sequence[str]) -> Measured:
    """Run a file with a sidecar on labelled inputs, as onnxruntime runs it on one CPU thread.

    Args:
        path: of the ONNX file.
        x: inputs as the file takes them.
        labels: the class of each.
    """
    notes = json.loads(path.with_name(f"{path.name}.json").read_text())
    session, name = session_of(path), notes["input"]["name"]
    pieces = [session.run(["logits"], {name: piece.numpy()})[0].argmax(1) for piece in x.split(32)]
    classes = np.concatenate(pieces)
    one, seconds = {name: x[:1].numpy()}, []
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(None, one)
        seconds.append(time.perf_counter() - started)
    right = sum(notes["classes"][k] == label for k, label in zip(classes.tolist(), labels))
    return Measured(right, len(labels), path.stat().st_size, median(seconds), classes)


def agreement(a: Measured, b: Measured) -> float:
    """Share of inputs of which two files say the same class."""
    return float(torch.from_numpy(a.labels == b.labels).double().mean())
