"""Tuning without a look at what is reported: first tasks, held-out training images, a block apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from holdfast.compare.arrival import Data
from holdfast.compare.tuned import FORMAT, Tuned
from holdfast.core.errors import ConfigError, DivergedError
from holdfast.recipes.catalogue import resolve
from holdfast.recipes.presets import Preset, find_preset
from holdfast.recipes.search import Search, searched
from holdfast.store.atomic import atomic_write
from holdfast.store.lock import locked
from holdfast.stream import PixelStore, Stream, peek_shape
from holdfast.train.blueprint import Blueprint
from holdfast.train.runner import run

BLOCK = 1000  # seed and order of tuning, which no grid reaches
Score = Callable[[Mapping[str, float]], float]
Watch = Callable[[int, float | None, Mapping[str, float]], object]
SPREAD = 10.0  # around the preset's learning rate


@dataclass(frozen=True)
class Tuning:
    """A protocol by which a recipe is tuned.

    Attributes:
        recipe: by name, perhaps with settings that stay.
        data: what arrives; its order and validation are the protocol's.
        preset: by name.
        first: how many tasks are seen, of those of the stream.
        share: of their training images, what is held out and measured on.
        settings: of the run, such as ``epochs``, by name.
    """

    recipe: str
    data: Data = Data()
    preset: str = "auto"
    first: int = 2
    share: float = 0.2
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"final Class-IL of the first {self.first} tasks of {self.data.stream}, on {self.share:g} of "
            f"their training images; seed and order {BLOCK}"
        )

    @property
    def name(self) -> str:
        """Recipe and a hash of the whole protocol."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return f"{self.recipe} {hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def prepared(self, store: PixelStore | None = None) -> tuple[Stream, Preset]:
        """The tasks that tuning sees, and the preset (ConfigError, DataError).

        Args:
            store: takes the pixels of images that would not fit into memory.
        """
        shape = peek_shape(self.data.stream, self.data.data)
        preset = find_preset(self.preset, shape, self.data.stream)
        data = replace(self.data, order_seed=BLOCK, validation=self.share)
        whole = data.cut(data.source(store), preset)
        if not 0 < self.first < len(whole):
            raise ConfigError(
                f"tuning sees the first tasks, fewer than the {len(whole)} of the stream, not {self.first}."
            )
        tasks = whole.tasks[: self.first]
        count = max(whole.seen(self.first - 1)) + 1
        return replace(whole, tasks=tasks, names=whole.names[:count]), preset


def tune(
    tuning: Tuning,
    out: str | Path,
    trials: int,
    watch: Watch = lambda *_: None,
) -> Tuned:
    """Look for the parameters of a recipe; called again, it goes on where it was stopped.

    The first trial is the recipe as the preset has it. Trials are kept in ``study.db``, the best of
    them in ``tuned.json``, which a grid takes (`plan.Grid`).

    Args:
        tuning: the protocol.
        out: the folder.
        trials: in all, with those of before.
        watch: called with the number of each trial, its score (None if it diverged), and its values.

    Raises:
        ConfigError: for a recipe without a parameter to look for, another protocol than before, or no
            trial that learned; if optuna is not installed.
        StoreError: if another process tunes in the folder.
    """
    if trials < 1:
        raise ConfigError(f"tuning needs at least one trial, not {trials}.")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"the tuning in {out}"):
        stream, preset = tuning.prepared(PixelStore(out / "pixels"))
        entry, values = resolve(tuning.recipe, preset)
        base = Blueprint.of(entry.name, stream.shape, preset, values, **tuning.settings)
        rate = base.setup.training.lr
        spaces = searched(entry.value) | {"lr": Search(rate / SPREAD, rate * SPREAD, log=True)}
        defaults = {
            n: v for n, v in (_defaults(entry.value) | values | {"lr": rate}).items() if n in spaces
        }

        def score(chosen: Mapping[str, float]) -> float:
            settings = dict(tuning.settings) | {"lr": chosen["lr"], "seed": BLOCK}
            mine = values | {name: v for name, v in chosen.items() if name != "lr"}
            blueprint = Blueprint.of(entry.name, stream.shape, preset, mine, **settings)
            return run(blueprint.method(), stream, blueprint.setup).class_il.final

        best, best_score = _search(tuning.name, out, trials, spaces, defaults, score, watch)
        mine = values | {name: v for name, v in best.items() if name != "lr"}
        tuned = Tuned(entry.name, mine, {"lr": best["lr"]}, trials, best_score, str(tuning))
        text = json.dumps({"format": FORMAT, **asdict(tuned)}, indent=2, default=str) + "\n"
        atomic_write(out / "tuned.json", lambda to: to.write_text(text))
        return tuned


def _search(
    name: str,
    out: Path,
    trials: int,
    spaces: Mapping[str, Search],
    defaults: Mapping[str, float],
    score: Score,
    watch: Watch,
) -> tuple[dict[str, float], float]:
    """The best values of a study on disk, after as many trials as were asked for in all."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("holdfast tune needs optuna: pip install 'holdfast[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{out.resolve() / 'study.db'}")
    try:
        others = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
        if others and name not in others:
            raise ConfigError(f"{out} was tuned by another protocol: choose another --out.")
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        _take_up(study, defaults)
        while (done := len(_ended(study))) < trials:
            study.sampler = optuna.samplers.TPESampler(seed=BLOCK + done)
            watch(done + 1, *_tried(study, spaces, score))
        if not any(trial.value is not None for trial in _ended(study)):
            raise ConfigError("every trial diverged: try a preset with a smaller learning rate.")
        return dict(study.best_trial.params), float(study.best_value)
    finally:
        storage.engine.dispose()


def _take_up(study: Any, defaults: Mapping[str, float]) -> None:
    """Begin with the recipe as it is; a trial that was stopped is made again."""
    for trial in study.get_trials():
        if trial.state.name == "RUNNING":
            study.tell(trial.number, state=type(trial.state).PRUNED)
            study.enqueue_trial(trial.params or dict(defaults))
    if not study.trials:
        study.enqueue_trial(dict(defaults))


def _tried(
    study: Any, spaces: Mapping[str, Search], score: Score
) -> tuple[float | None, dict[str, float]]:
    """One trial: its score, None where it diverged, and its values."""
    trial = study.ask()
    values = {n: trial.suggest_float(n, s.low, s.high, log=s.log) for n, s in spaces.items()}
    try:
        value = score(values)
    except DivergedError:
        from optuna.trial import TrialState

        study.tell(trial, state=TrialState.FAIL)
        return None, values
    study.tell(trial, value)
    return value, values


def _ended(study: Any) -> list[Any]:
    """The trials that came to an end, those that diverged among them."""
    return [trial for trial in study.get_trials() if trial.state.name in ("COMPLETE", "FAIL")]


def _defaults(recipe: Callable[..., Any]) -> dict[str, Any]:
    import inspect

    return {name: p.default for name, p in inspect.signature(recipe).parameters.items()}
