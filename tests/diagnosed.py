"""diagnostics.json as ``holdfast run --diagnose`` leaves it, with figures of a test's choice."""

import json
import math

import numpy as np

EXPLAIN = {
    "nc1": {"title": "spread within classes", "unit": "", "better": "down", "section": "22.1"},
    "probe": {"title": "probe", "unit": "%", "better": "up", "section": "22.11"},
    "drift": {"title": "drift of class means", "unit": "", "better": "down", "section": "22.11"},
    "funnel": {
        "title": "depth of the funnel",
        "unit": "layers",
        "better": "none",
        "section": "22.7",
    },
}


def diagnostics(tasks=3, per_class=12, seed=0, classes=2):
    """Figures and an embedding after each task, in which every class is a cloud about its prototype."""
    draw = np.random.default_rng(seed)
    output = []
    for task in range(tasks):
        seen = classes * (task + 1)
        angles = [2 * math.pi * k / seen for k in range(seen)]
        middles = np.array([[math.cos(a), math.sin(a)] for a in angles])
        labels = np.repeat(np.arange(seen), per_class)
        points = middles[labels] + 0.2 * draw.standard_normal((len(labels), 2))
        output.append(
            {
                "task": task,
                "figures": {
                    "nc1": 0.4 + task / 10, "probe": 91.0 - 7 * task, "funnel": 3,
                    "drift": None if task == 0 else 0.0123 * task,
                },
                "reasons": {"drift": "there is no earlier network"} if task == 0 else {},
                "verdicts": ["old classes are invaded by new ones"] if task else [],
                "embedding": {
                    "points": points.tolist(), "labels": labels.tolist(),
                    "prototypes": middles.tolist(), "prototype_labels": list(range(seen)),
                    "explained": 0.83,
                },
            }
        )  # fmt: skip
    watched = {"rows": per_class * classes * tasks, "per_class": per_class, "source": "test rows"}
    return {"format": 1, "watched": watched, "seconds": 1.25, "explain": EXPLAIN, "tasks": output}


def write_diagnostics(folder, data=None, **options):
    (folder / "diagnostics.json").write_text(json.dumps(data or diagnostics(**options)))
