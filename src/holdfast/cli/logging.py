"""The logs of a run of the command line: made, fed, and ended however the run ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from holdfast.cli.entry import complain
from holdfast.log.logs import Logs
from holdfast.store.folder import RunFolder
from holdfast.train.runner import Run


@contextmanager
def followed(work: Run, folder: RunFolder, text: str, epochs: Sequence[int]) -> Iterator[Logs]:
    """Inside, the logs that ``--log`` names, from where the run stands.

    Args:
        work: the run.
        folder: of it.
        text: names of logs; none for an empty one.
        epochs: of each task.
    """
    about = {"method": work.continual.method.name, "stream": work.stream.name}
    config = about | dict(work.result.config)
    tell = lambda words: complain("warning:", words)
    logs = Logs(text, folder.path, folder.path.name, config, tell)
    logs.begin(epochs, work.progress.task, work.progress.epochs)
    try:
        yield logs
    except BaseException as error:
        logs.finish(f"stopped: {error or 'interrupted'}")
        raise
    logs.finish(work.result.status)
