"""What a classifier loses when it goes on without its data: labels by its own head against true ones.

Shelf photographs of ../shared/data/grocery by the frozen features of lite0, 16 classes a trial. A head
(logistic regression) learns eight of them from half of their images. The other half is its traffic:
its sure answers stand in for labels (`confident`), and the statistics of these images are beside
eight new classes with true labels. Against that: as many images of the traffic with true labels.
With --strange, images of nine classes that nobody learned are in the traffic too.

    python benchmarks/import_model.py [--trials 3] [--strange] [--features FILE.npz]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from holdfast import Continual, recipes
from holdfast.core.settings import Network
from holdfast.statistics.sure import confident
from holdfast.train.setup import Setup

DATA = Path(__file__).parents[2] / "shared" / "data" / "grocery"
CLASSES, OLD = 16, 8
READOUT = "stale-gaussian:shrinkage=0.5"


def features_of(part: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 1280) features of lite0, and the class of each."""
    from holdfast.learner import make_backbone
    from holdfast.stream.folder import read_folder

    network = make_backbone("lite0", (3, 224, 224)).eval()
    data = read_folder(DATA / part, network.size, fit=network.fit, resize=network.resize)
    with torch.no_grad():
        rows = [network(x.float() / 255) for x in data.x.split(32)]
    return torch.cat(rows).double().numpy(), np.array(data.labels)


def features(file: Path | None) -> dict[str, np.ndarray]:
    """Of both parts; from a file if it is there, and into it if one is named."""
    if file is not None and file.exists():
        return dict(np.load(file))
    columns = {}
    for part in ("train", "golden"):
        columns[part], columns[f"{part}_y"] = features_of(part)
    if file is not None:
        np.savez(file, **columns)
    return columns


def accuracy(x: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """Percent right of a model of frozen features."""
    setup = Setup(network=Network(backbone="identity"))
    core = Continual(recipes.make("frozen", decide=READOUT), (x.shape[1],), setup)
    core.learn(core.arrive(torch.from_numpy(x), labels.tolist()))
    best = core.scores(torch.from_numpy(test)).argmax(1).tolist()
    return 100 * float(np.mean([core.labels[k] == name for k, name in zip(best, truth)]))


def trial(columns: dict[str, np.ndarray], seed: int, strange: bool) -> dict[str, float]:
    """One choice of classes, halves and traffic."""
    chance = np.random.default_rng(seed)
    x, y = columns["train"].astype(float), columns["train_y"]
    names = chance.permutation(np.unique(y))
    old, new = names[:OLD], names[OLD:CLASSES]
    learned = np.zeros(len(y), bool)
    for name in old:
        mine = chance.permutation(np.flatnonzero(y == name))
        learned[mine[: len(mine) // 2]] = True
    traffic = np.isin(y, old) & ~learned
    if strange:
        traffic |= np.isin(y, names[CLASSES:])
    head = LogisticRegression(C=0.1, max_iter=1000).fit(x[learned], y[learned])
    p = torch.from_numpy(head.predict_proba(x[traffic]))
    used = confident(p).numpy()
    called = head.classes_[p.argmax(1).numpy()[used]]
    truth = []
    for name in old:
        mine = chance.permutation(np.flatnonzero((y == name) & np.isin(y, old) & ~learned))
        truth.append(mine[: int((called == name).sum())])
    true = np.concatenate(truth)
    later = np.isin(y, new)
    test = np.isin(columns["golden_y"], names[:CLASSES])
    asked = (columns["golden"][test].astype(float), columns["golden_y"][test])
    both = lambda rows, labels: accuracy(
        np.concatenate([rows, x[later]]), np.concatenate([labels, y[later]]), *asked
    )
    return {
        "its own answers": both(x[traffic][used], called),
        "true labels": both(x[true], y[true]),
        "share used": 100 * float(used.mean()),
        "rightly called": 100 * float((called == y[traffic][used]).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--strange", action="store_true")
    parser.add_argument("--features", type=Path, help="a file that features are kept in")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is not there")
        return
    columns = features(options.features)
    rows = [trial(columns, seed, options.strange) for seed in range(options.trials)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:16} {' '.join(f'{value:6.1f}' for value in values)}   {np.mean(values):6.1f}")


if __name__ == "__main__":
    main()
