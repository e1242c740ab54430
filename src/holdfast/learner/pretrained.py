"""Pretrained backbones: any vision model of Hugging Face ``transformers``, from a folder or the hub."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.errors import ConfigError
from holdfast.learner.network import Backbone
from holdfast.learner.preparation import Preparation


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
            self.model, self.prepare, told = rebuild(name)
            self.pooled, self.sha256, name = told["pooled"], told["sha256"], told["name"]
        else:
            self.model, self.prepare, untrained = load(name)
            self.pooled = not any(key.startswith("pooler") for key in untrained)
            self.sha256 = digest(self.model)
        wanted = getattr(self.model.config, "num_channels", 3)
        if channels not in (1, wanted):
            raise ConfigError(f"'{name}' takes images of {wanted} channels, not of {channels}.")
        self.repeats = wanted if channels == 1 else 1
        self.tuned = self._unfreeze(tune_layers, name)
        told = {"name": name, "pooled": self.pooled, "sha256": self.sha256}
        parts = {"config": self.model.config.to_dict(), "prepare": asdict(self.prepare)}
        self.written = json.dumps(told | parts, default=str)
        self.train()
        with torch.no_grad():
            self.features = self(torch.zeros(1, channels, 32, 32)).shape[1]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images in [0, 1], of any size, to pooled features."""
        said = self.model(
            pixel_values=self.prepare(x.expand(-1, x.shape[1] * self.repeats, -1, -1))
        )
        pooled = getattr(said, "pooler_output", None)
        if pooled is None or not self.pooled:
            last = said.last_hidden_state
            pooled = last.mean((2, 3)) if last.ndim == 4 else last.mean(1)
        return pooled.flatten(1)

    def train(self, mode: bool = True) -> Pretrained:
        """Only what is tuned changes its mode."""
        super().train(False)
        for module in self.tuned or ():
            module.train(mode)
        self.training = mode
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Pretrained:
        if not self.tuned:  # it cannot change
            return self
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(vars(self), memo))
        return made

    def _unfreeze(self, layers: int, name: str) -> tuple[nn.Module, ...]:
        """Freeze all but the last ``layers`` blocks and the modules that follow them."""
        self.model.requires_grad_(False)
        if layers < 1:
            return ()
        blocks = [m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m)]
        chain = max(blocks, key=_weight, default=nn.ModuleList())
        if layers > len(chain):
            raise ConfigError(f"'{name}' has {len(chain)} layers to tune, not {layers}.")
        order = list(self.model.modules())
        inside = set(chain.modules())
        last = max(place for place, module in enumerate(order) if module in inside)
        after = [m for m in order[last + 1 :] if not list(m.children()) and list(m.parameters())]
        tuned = (*chain[-layers:], *after)
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
        told = json.loads(text)
        config = dict(told["config"])
        kind = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        model = transformers.AutoModel.from_config(kind, trust_remote_code=False)
        prepare: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in told["prepare"].items()
        }
        return vision(model).eval(), Preparation(**prepare), told
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
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
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
        logging.enable_progress_bar()
    model = vision(model)
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise ConfigError(f"'{name}' is no vision model: it takes {model.main_input_name}.")
    missing = sorted(info["missing_keys"])
    lost = [key for key in missing if not key.startswith("pooler")]
    if lost:
        raise ConfigError(f"'{name}' comes without the weights {lost[0]}: it was not saved whole.")
    return model, preparation, missing


def digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights, whatever files they came in."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _weight(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
