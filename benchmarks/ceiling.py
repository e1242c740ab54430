"""What is in the network of a run: softmax regressions on all of its stream's training images.

    python benchmarks/ceiling.py RUN [RUN ...] [--data PATH]

A run is a folder of ``holdfast run`` or of a grid. Its last network is read as the run left it, by features
and by all stages in each way, at three weight decays each; test Class-IL in percent, beside what
the run's own readout says. Three decays are tried on the test images, so that the best is a bound from
above: no readout that was chosen honestly has seen them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from holdfast.cli.diagnose import stream_of
from holdfast.core.output import outputs
from holdfast.core.rows import cat
from holdfast.diagnose.stored import check_stream, network_of, read_result
from holdfast.memory import NoMemory
from holdfast.readout import FitContext, LinearProbe
from holdfast.readout.readout import Space
from holdfast.recipes import make
from holdfast.stream.task import Stream, Task
from holdfast.train.setup import Setup

DECAYS = (1e-3, 1e-2, 1e-1)
SPACES: tuple[Space, ...] = ("features", "stages", "pyramid", "moments", "mirrored")


def main() -> None:
    """A block of lines a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, help="where the data are now, if they have moved")
    options = parser.parse_args()
    for folder in options.runs:
        print(folder.name, flush=True)
        result = read_result(folder)
        for name, read in result["readouts"].items():
            print(f"  {name:28}{100 * read['class_il']['final']:6.1f}")
        stream = stream_of(folder, result, options.data)
        check_stream(folder, result, stream)
        learner = network_of(folder, result, stream.shape)
        learner.show_stages(SPACES[1:])
        setup = Setup(augment=result["config"]["setup"]["augment"])
        learner.mirror = setup.augment_of(make(result["recipe"]), stream.shape).flip
        best = max(probed(learner, stream))
        print(f"  best of them {best[0]:.1f}, {best[1]}", flush=True)


def probed(learner, stream: Stream):
    """Test accuracy in percent by every space and decay, with its name."""
    tables = [cat([getattr(task, part) for task in stream]) for part in ("train", "test")]
    task = Task(len(stream) - 1, stream.seen(len(stream) - 1), *tables)
    context = FitContext(learner, task, NoMemory(), task.classes)
    test = outputs(learner, task.test)
    for on in SPACES:
        for decay in DECAYS:
            probe = LinearProbe(on, decay)
            probe.fit(context)
            right = probe.scores(test).argmax(1) == task.test.y
            name = f"probe on {on}, decay {decay:g}"
            print(f"  {name:28}{100 * right.float().mean():6.1f}", flush=True)
            yield 100 * float(right.float().mean()), name


if __name__ == "__main__":
    main()
