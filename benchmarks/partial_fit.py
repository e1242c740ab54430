"""Digits, two classes a call and no row kept: HoldfastClassifier beside scikit-learn's partial_fit.

Mean and deviation over seeds (split and weights) of the accuracy over all ten digits after five
calls. SGDClassifier and MLPClassifier see each call's rows 20 times, as HoldfastClassifier does in
its first; GaussianNB needs them once.

    python benchmarks/partial_fit.py [--seeds 5]
"""

import argparse
import statistics
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from holdfast import HoldfastClassifier

CASES = {
    "SGDClassifier": (lambda seed: SGDClassifier(random_state=seed), 20),
    "MLPClassifier": (lambda seed: MLPClassifier(256, random_state=seed), 20),
    "GaussianNB": (lambda seed: GaussianNB(), 1),
    "HoldfastClassifier, vectors": (lambda seed: HoldfastClassifier(random_state=seed), 1),
    "HoldfastClassifier, images": (lambda seed: HoldfastClassifier(random_state=seed), 1),
}


def accuracy(name: str, seed: int) -> float:
    """After five calls with two digits each."""
    make, passes = CASES[name]
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8) / 16 if name.endswith("images") else x / 16
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    model = make(seed)
    for first in range(0, 10, 2):
        now = (y == first) | (y == first + 1)
        for _ in range(passes):
            model.partial_fit(x[now], y[now], classes=np.arange(10))
    return 100 * model.score(test_x, test_y)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    for name in CASES:
        started = time.perf_counter()
        found = [accuracy(name, seed) for seed in seeds]
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        seconds = (time.perf_counter() - started) / len(found)
        print(f"{name:28} {statistics.mean(found):5.1f} +- {spread:.1f}   {seconds:.1f} s")


if __name__ == "__main__":
    main()
