"""A log: the figures of a run as lines of a table, while it learns."""

from collections.abc import Mapping

from holdfast.log import About


class Lines:
    """A line ``step,name,value`` for each figure, in the file ``figures.csv`` of the run's folder.

    Args:
        about: the run.
        only: the beginning of the names that are written, such as ``class_il``.
    """

    def __init__(self, about: About, only: str = ""):
        about.folder.mkdir(parents=True, exist_ok=True)
        self.path, self.only = about.folder / "figures.csv", only

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add the lines of a step."""
        names = [name for name in values if name.startswith(self.only)]
        with self.path.open("a") as file:
            file.writelines(f"{step},{name},{values[name]:.6g}\n" for name in names)

    def finish(self, status: str) -> None:
        """Every line is written already."""
