"""Pretrained backbones: any vision model of Hugging Face ``transformers``, from a folder or the hub."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.adapt import blocks_of, last_blocks
from holdfast.learner.network import Backbone
from holdfast.learner.preparation import Preparation
from holdfast.learner.weights import digest


class Pretrained(Backbone):
    """A vision model of ``transformers`` as backbone: frozen, or trained in its last layers.

    Frozen layers stay in eval mode and record no graph; copies of a wholly frozen one share it.
    Features are the model's pooled output, or the mean over places where it has none that was
    trained. Only safetensors weights are read, and no code that comes with a model is run.

    Args:
        name: a folder with ``config.json``, ``preprocessor_config.json`` and weights, or the hub's
            owner/name. Or what ``written`` says: the same network, without weights yet.
        channels: of the input; one channel is repeated where the model wants three.
        tune_layers: how many of the last blocks are trained, with what follows them.

    Attributes:
        sha256: of the weights as they were loaded.
        written: the network but for its weights, as JSON text; a saved learner needs neither the
            folder nor the hub again.

    Raises:
        ConfigError: if ``transformers`` is missing, or the model cannot be used.
    """

    normalises = True

    def __init__(self, name: str, channels: int = 3, tune_layers: int = 0):
        super().__init__()
        if name.startswith("{"):
            self.model, self.prepare, description = rebuild(name)
            self.pooled, self.sha256, name = (
                description["pooled"],
                description["sha256"],
                description["name"],
            )
        else:
            self.model, self.prepare, untrained = load(name)
            self.pooled = not any(key.startswith("pooler") for key in untrained)
            self.sha256 = digest(self.model)
        wanted = getattr(self.model.config, "num_channels", 3)
        if channels not in (1, wanted):
            raise ConfigError(f"'{name}' takes images of {wanted} channels, not of {channels}.")
        self.repeats = wanted if channels == 1 else 1
        self.tuned = self._unfreeze(tune_layers, name)
        self.size, self.resize, self.fit = self.prepare.wanted
        description = {"name": name, "pooled": self.pooled, "sha256": self.sha256}
        parts = {"config": self.model.config.to_dict(), "prepare": asdict(self.prepare)}
        self.written = json.dumps(description | parts, default=str)
        self.train()
        with torch.no_grad():
            self.features = self(torch.zeros(1, channels, 32, 32)).shape[1]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images in [0, 1], of any size, to pooled features."""
        output = self.model(
            pixel_values=self.prepare(x.expand(-1, x.shape[1] * self.repeats, -1, -1))
        )
        pooled = getattr(output, "pooler_output", None)
        if pooled is None or not self.pooled:
            last = output.last_hidden_state
            pooled = last.mean((2, 3)) if last.ndim == 4 else last.mean(1)
        return pooled.flatten(1)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Its blocks."""
        return tuple(blocks_of(self.model))

    def _unfreeze(self, layers: int, name: str) -> tuple[nn.Module, ...]:
        """Freeze all but the last ``layers`` blocks and the modules that follow them."""
        self.model.requires_grad_(False)
        if layers < 1:
            return ()
        tuned = last_blocks(self.model, layers, name)
        for module in tuned:
            module.requires_grad_(True)
        return tuned


def rebuild(text: str) -> tuple[Any, Preparation, dict[str, Any]]:
    """A network from what `Pretrained.written` says, with random weights; nothing is fetched or run.

    Raises:
        ConfigError: if ``transformers`` is missing, or the text describes no network.
    """
    transformers = library("the saved backbone")
    try:
        description = json.loads(text)
        config = dict(description["config"])
        kind = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        model = transformers.AutoModel.from_config(kind, trust_remote_code=False)
        prepare: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in description["prepare"].items()
        }
        return vision(model).eval(), Preparation(**prepare), description
    except Exception as error:  # whatever the library's checks may raise
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ConfigError(f"the saved backbone cannot be rebuilt ({reason}).") from None


def library(name: str) -> Any:
    """The module ``transformers`` (ConfigError if it is missing)."""
    try:
        import transformers
    except ImportError:
        raise ConfigError(
            f"{name} needs transformers: pip install 'holdfast[pretrained]'."
        ) from None
    return transformers


def vision(model: Any) -> Any:
    """The part of a model of images and texts that sees."""
    return getattr(model, "vision_model", model)


def load(name: str) -> tuple[Any, Preparation, list[str]]:
    """A vision model, how its inputs are prepared, and the names of weights it came without.

    Raises:
        ConfigError: if ``transformers`` is missing, or there is no such model, or not of images.
    """
    transformers = library(f"the backbone '{name}'")
    source = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    if name[:1] in "./~" and not Path(source).is_dir():
        raise ConfigError(
            f"there is no folder {name}: a backbone is a folder or a hub's owner/name."
        )
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, info = transformers.AutoModel.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        config = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
        preparation = Preparation.read(config.to_dict())
    except Exception as error:  # whatever a hub, a file or a model's code may raise
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ConfigError(
            f"'{name}' cannot be used as a backbone ({reason}): give a folder or the hub's "
            "owner/name of a vision model with safetensors weights and a preprocessor_config.json."
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    model = vision(model)
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise ConfigError(f"'{name}' is no vision model: it takes {model.main_input_name}.")
    missing = sorted(info["missing_keys"])
    lost = [key for key in missing if not key.startswith("pooler")]
    if lost:
        raise ConfigError(f"'{name}' comes without the weights {lost[0]}: it was not saved whole.")
    return model, preparation, missing
