"""Whether a default model is worth deploying: photographs, embeddings, many classes.

    python benchmarks/useful.py [grocery] [tiny50] [many] --cache FOLDER

Medians over three orders of the classes, with the least and the largest in brackets. Class-IL, strict,
the last model, settings at their defaults. Needs ../shared/data and the extra ``holdfast[lite]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from holdfast import Continual, recipes
from holdfast.learner.cache import FeatureCache
from holdfast.learner.embed import embed
from holdfast.learner.learner import Learner
from holdfast.metrics import expected_calibration_error
from holdfast.metrics.conformal import coverage, mean_size
from holdfast.metrics.openset import auroc
from holdfast.readout import SharedGaussian, Streaming
from holdfast.store.embedded import embed_folder

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS = (0, 1, 2)


def line(what: str, values: list[float], note: str = "") -> None:
    """One row: median, least, largest."""
    print(
        f"{what:58s} {statistics.median(values):6.2f} [{min(values):.2f}, {max(values):.2f}] {note}"
    )


def learn(x: torch.Tensor, y: np.ndarray, order: np.ndarray, each: int, decide: str = "select"):
    """A learner that was taught classes in an order, so many at a time."""
    core = Continual(recipes.make("frozen", decide=decide), (x.shape[1],))
    for start in range(0, len(order), each):
        rows = np.isin(y, order[start : start + each]).nonzero()[0]
        core.learn(core.arrive(x[rows], y[rows].tolist()))
    return core


def answers(core: Continual, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, columns in the order of arrival, and whether each input is unknown."""
    readout, out = core.readouts[core.readout], core.out(x)
    return readout.probabilities(out), readout.unknown(out, 0.05)


def grocery(cache: FeatureCache) -> None:
    """Five updates of five classes, judged on photographs of other days."""
    learner = Learner((3, 224, 224), "lite0", dim=0)
    parts = {
        part: embed_folder(DATA / "grocery" / part, learner, cache)
        for part in ("train", "golden", "unseen")
    }
    x, y = parts["train"].x, np.array(parts["train"].labels)
    golden, strange = parts["golden"], parts["unseen"].x
    truth, rows = np.array(golden.labels), {}
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(np.unique(y))
        core, joint = learn(x, y, order, 5), learn(x, y, order, 25)
        labels = np.array(core.labels)
        p, unknown = answers(core, golden.x)
        right = labels[p.argmax(1)] == truth
        target = torch.tensor([core.labels.index(name) for name in truth])
        whole = np.array(joint.labels)[answers(joint, golden.x)[0].argmax(1)] == truth
        plain = learn(x, y, order, 5, "stale-gaussian").readouts["stale-gaussian"]
        assert isinstance(plain, SharedGaussian)
        readout = core.readouts[core.readout]
        known, new = core.out(golden.x), core.out(strange)
        assert isinstance(readout, Streaming)
        sets = readout.sets(p, 0.9)
        for name, value in {
            "grocery: accuracy": 100 * right.mean(),
            "grocery: the same readout, all at once": 100 * whole.mean(),
            "grocery: share of that": right.mean() / whole.mean(),
            "grocery: calibration error (ECE)": 100 * expected_calibration_error(p, target),
            "grocery: mean confidence": 100 * float(p.amax(1).mean()),
            "grocery: known called unknown at 5 %": 100 * float(unknown.double().mean()),
            "grocery: sets at 90 % hold the true class": 100 * coverage(sets, target),
            "grocery: classes in a set": mean_size(sets),
            "grocery: AUROC on unseen": auroc(readout.strange(known), readout.strange(new)),
            "grocery: AUROC of plain Mahalanobis": auroc(
                plain.distance(known), plain.distance(new)
            ),
        }.items():
            rows.setdefault(name, []).append(float(value))
    for name, values in rows.items():
        line(name, values)


def tiny50(cache: FeatureCache) -> None:
    """Ten updates of five classes, against batch classifiers of scikit-learn on the same features."""
    learner = Learner((3, 224, 224), "lite0", dim=0)
    parts = {}
    for part in ("train", "test"):
        table = pq.read_table(DATA / "tiny50" / f"{part}.parquet")
        images = [image["bytes"] for image in table["image"].to_pylist()]
        parts[part] = embed(learner, images, cache).features, np.array(table["label"].to_pylist())
    (x, y), (test, truth) = parts["train"], parts["test"]
    batch = {
        "incremental LDA, shrinkage 0.5": LinearDiscriminantAnalysis("lsqr", shrinkage=0.5),
        "GaussianNB": GaussianNB(),
        "logistic regression, C 0.001": make_pipeline(
            StandardScaler(), LogisticRegression(C=0.001)
        ),
        "logistic regression, C 0.01": make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
    }
    for name, model in batch.items():
        score = 100 * model.fit(x.numpy(), y).score(test.numpy(), truth)
        print(f"tiny50: {name:50s} {score:6.2f}")
    accuracy, error, held = [], [], []
    for seed in SEEDS:
        core = learn(x, y, np.random.default_rng(seed).permutation(50), 5)
        p, _ = answers(core, test)
        target = torch.tensor([core.labels.index(label) for label in truth.tolist()])
        accuracy.append(100 * float((p.argmax(1) == target).double().mean()))
        error.append(100 * expected_calibration_error(p, target))
        readout = core.readouts[core.readout]
        assert isinstance(readout, Streaming)
        held.append(100 * coverage(readout.sets(p, 0.9), target))
    line("tiny50: holdfast, ten updates", accuracy)
    line("tiny50: calibration error (ECE)", error)
    line("tiny50: sets at 90 % hold the true class", held)


def many(_: FeatureCache) -> None:
    """1,000 classes of 20 rows of 768 numbers in 100 calls."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(1000, 768)) * 0.25
    y = np.repeat(np.arange(1000), 20)
    x, test = (centres[y] + chance.normal(size=(len(y), 768)) for _ in range(2))
    core, seconds = Continual(recipes.make("frozen"), (768,)), []
    for call in range(100):
        rows = slice(200 * call, 200 * (call + 1))
        started = time.process_time()
        core.learn(core.arrive(torch.from_numpy(x[rows]), y[rows].tolist()))
        seconds.append(time.process_time() - started)
    for what, part in (("6 to 15", seconds[5:15]), ("91 to 100", seconds[90:])):
        line(f"many: CPU s a call, calls {what}", part, f"mean {statistics.mean(part):.2f}")
    line("many: CPU s a call, all", seconds, f"mean {statistics.mean(seconds):.2f}")
    ours = core.scores(torch.from_numpy(test)).argmax(1).numpy()
    print(f"many: accuracy {100 * (ours == y).mean():.2f}")
    lda = LinearDiscriminantAnalysis("lsqr", shrinkage="auto").fit(x, y)
    print(f"many: LDA on all at once {100 * lda.score(test, y):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["grocery", "tiny50", "many"])
    parser.add_argument("--cache", type=Path, default=Path("features.cache"))
    asked = parser.parse_args()
    for part in asked.parts:
        globals()[part](FeatureCache(asked.cache))
