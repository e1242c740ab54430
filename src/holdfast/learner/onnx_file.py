"""A frozen backbone from an ONNX file, run by ``onnxruntime``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone
from holdfast.learner.preparation import Preparation
from holdfast.stream.fit import FITS, Fit

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224  # where neither the file nor a setting says one


class OnnxBackbone(Backbone):
    """The network of an ONNX file: one input (N, 3, S, S), float or uint8; its first output (N, f).

    The file's bytes are part of the state, so that a stored model needs no file. Float inputs are
    normalised by mean and deviation; uint8 ones are pixels.

    Args:
        text: how it was named, or what ``written`` says: the same network, its bytes to be loaded.
        file: of the network; None to rebuild one from ``written``.
        mean, std: of each channel, in [0, 1].
        size: S; 0 takes that of the file.
        fit: how images become squares.

    Raises:
        ConfigError: if ``onnxruntime`` is missing, or the file is no such network.
    """

    normalises = True
    tuned = ()
    file: Tensor

    def __init__(
        self,
        text: str,
        file: Path | None = None,
        mean: tuple[float, ...] = IMAGENET[0],
        std: tuple[float, ...] = IMAGENET[1],
        size: int = 0,
        fit: Fit = "crop",
    ):
        super().__init__()
        self._session: Any = None
        if file is None:
            self._rebuild(json.loads(text))
            self.written = text
            return
        content = _content(file)
        self.register_buffer("file", torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.sha256, self.name = hashlib.sha256(content).hexdigest(), text
        shape = self._opened().get_inputs()[0].shape
        fixed = shape[2] if len(shape) == 4 and isinstance(shape[2], int) else 0
        if len(shape) != 4 or (size and fixed and size != fixed):
            raise ConfigError(f"{file} takes inputs of shape {shape}, not images of side {size}.")
        self._prepare(size or fixed or SIDE, fit, mean, std)
        out = self._run(torch.zeros(2, 3, self.side, self.side))
        if out.ndim != 2 or len(out) != 2 or not np.isfinite(out).all():
            raise ConfigError(
                f"{file} gives {out.shape} for two images, not finite features (2, f): export the network "
                "without its head, pooled."
            )
        self.features = out.shape[1]
        self.written = json.dumps(
            {"kind": "onnx", "name": text, "sha256": self.sha256, "features": self.features}
            | {"size": self.side, "fit": fit, "mean": list(mean), "std": list(std)}
            | {"bytes": str(len(content))}
        )

    def _rebuild(self, about: dict[str, Any]) -> None:
        self.register_buffer("file", torch.zeros(int(about["bytes"]), dtype=torch.uint8))
        self.sha256, self.name = str(about["sha256"]), str(about["name"])
        self.features = int(about["features"])
        self._prepare(int(about["size"]), about["fit"], tuple(about["mean"]), tuple(about["std"]))

    def _prepare(
        self, side: int, fit: Fit, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        if fit not in FITS or len(mean) not in (1, 3) or len(std) not in (1, 3):
            raise ConfigError(f"fit is one of {', '.join(FITS)}; mean and std are 3 numbers each.")
        self.side, self.fit = side, fit
        self.size, self.resize = side, round(side * 256 / 224) if fit == "crop" else 0
        sides = (self.resize,) if fit == "crop" else (side, side)
        self.prepare = Preparation(sides, (side, side), mean, std, "bicubic")

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self)) | {"_session": None}

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images in [0, 1] to features."""
        return torch.from_numpy(self._run(x.expand(-1, 3, -1, -1))).float().to(x.device)

    def _run(self, x: Tensor) -> np.ndarray:
        session = self._opened()
        asked = session.get_inputs()[0]
        x = self.prepare(x.detach().float().cpu())
        if asked.type == "tensor(uint8)":
            mean, std = (
                x.new_tensor(v).view(1, -1, 1, 1) for v in (self.prepare.mean, self.prepare.std)
            )
            x = ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        elif asked.type == "tensor(float16)":
            x = x.half()
        parts = x.split(1) if asked.shape[0] == 1 else (x,)
        out = [session.run(None, {asked.name: part.numpy()})[0] for part in parts]
        return np.concatenate(out)

    def _opened(self) -> Any:
        """The session, made when it is first needed (ConfigError if it cannot be)."""
        if self._session is not None:
            return self._session
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                "an ONNX backbone needs onnxruntime: pip install 'holdfast[export]'."
            ) from None
        content = self.file.cpu().numpy().tobytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ConfigError(f"the bytes of '{self.name}' are not those it was made with.")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever the library may raise
            reason = " ".join(str(error).split()).rstrip(".")[:200]
            raise ConfigError(
                f"'{self.name}' cannot be run ({reason}): give one ONNX file that holds its weights."
            ) from None
        return self._session


def _content(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"the backbone {file} cannot be read ({error.strerror}).") from None
